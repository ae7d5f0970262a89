//! What the eBPF objects were made from, and with which tools.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::linker::Linker;
use super::rustflags::RUSTFLAGS;
use super::sources;
use super::toolchain::{CoreLibrary, RustcVersion, Toolchain};
use super::{Built, OBJECTS};
use crate::paths;

const HEADING: &str = "\
# Where the eBPF objects come from. Written by `cargo xtask build-ebpf`, proved by
# `cargo xtask check-ebpf`. See ARCHITECTURE.md.

";

/// The content of `provenance.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provenance {
    pub(crate) objects: ObjectFacts,
    pub(crate) rustc: RustcFacts,
    #[serde(rename = "bpf-linker")]
    pub(crate) linker: LinkerFacts,
}

/// The objects and their sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectFacts {
    /// The SHA-256 over zombie-trace-ebpf and zombie-trace-common, names and contents.
    pub(crate) sources_sha256: String,
    /// The flags of rustc, without the path remappings.
    pub(crate) rustflags: Vec<String>,
    /// The SHA-256 of each object, by the name of its file.
    pub(crate) sha256: BTreeMap<String, String>,
}

/// The compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RustcFacts {
    #[serde(flatten)]
    pub(crate) version: RustcVersion,
    /// Where its core library for eBPF comes from.
    pub(crate) core: CoreLibrary,
}

/// The linker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkerFacts {
    pub(crate) version: String,
    /// The version of its LLVM, which generates the code; none if LLVM is linked into it.
    pub(crate) llvm: Option<String>,
}

impl Provenance {
    /// Describes objects that were just made.
    pub(crate) fn of(built: &Built, toolchain: &Toolchain, linker: &Linker) -> Result<Self> {
        Ok(Self {
            objects: ObjectFacts {
                sources_sha256: sources::digest(paths::root())?,
                rustflags: RUSTFLAGS.map(String::from).to_vec(),
                sha256: OBJECTS
                    .iter()
                    .zip(built)
                    .map(|(object, bytes)| (object.file.to_owned(), sources::sha256(bytes)))
                    .collect(),
            },
            rustc: RustcFacts {
                version: toolchain.version.clone(),
                core: toolchain.core,
            },
            linker: LinkerFacts::of(linker),
        })
    }

    /// Reads the committed description.
    pub(crate) fn read() -> Result<Self> {
        let path = paths::provenance();
        let failure = || format!("cannot read {}", path.display());
        let text = fs::read_to_string(&path).with_context(failure)?;
        toml::from_str(&text).with_context(failure)
    }

    /// Writes the description to be committed.
    pub(crate) fn write(&self) -> Result<()> {
        let path = paths::provenance();
        fs::write(&path, self.to_toml()?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn to_toml(&self) -> Result<String> {
        Ok(format!("{HEADING}{}", toml::to_string(self)?))
    }

    /// Whether these tools made the object, so that they must give the same bytes again.
    pub(crate) fn is_made_with(&self, toolchain: &Toolchain, linker: &Linker) -> bool {
        self.rustc.version == toolchain.version
            && self.rustc.core == toolchain.core
            && self.linker == LinkerFacts::of(linker)
    }

    /// The tools in a few words.
    pub(crate) fn tools(&self) -> String {
        let linker = &self.linker;
        let llvm = linker.llvm.as_deref().unwrap_or("linked in");
        format!(
            "rustc {}, bpf-linker {}, LLVM {llvm}",
            self.rustc.version, linker.version
        )
    }
}

impl LinkerFacts {
    fn of(linker: &Linker) -> Self {
        Self {
            version: linker.version.clone(),
            llvm: linker.llvm.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let provenance = Provenance {
            objects: ObjectFacts {
                sources_sha256: "ff00".into(),
                rustflags: RUSTFLAGS.map(String::from).to_vec(),
                sha256: [("stacks.bpf.o".to_owned(), "00ff".to_owned())].into(),
            },
            rustc: RustcFacts {
                version: RustcVersion {
                    release: "1.96.0".into(),
                    commit_hash: "ac68faa20".into(),
                    llvm: "22.1.8".into(),
                },
                core: CoreLibrary::Prebuilt,
            },
            linker: LinkerFacts {
                version: "0.13.0".into(),
                llvm: None,
            },
        };
        let text = provenance.to_toml().unwrap();
        assert!(text.contains("core = \"prebuilt\""), "{text}");
        assert_eq!(toml::from_str::<Provenance>(&text).unwrap(), provenance);
    }
}
