//! A digest over the sources that the eBPF object is made from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The folders and files that go into the object.
const SOURCES: [&str; 3] = [
    "zombie-trace-ebpf",
    "zombie-trace-common/src",
    "zombie-trace-common/Cargo.toml",
];

/// The SHA-256 over the names and contents of the sources below `root`.
pub(crate) fn digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root)?.as_os_str().as_encoded_bytes();
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // The lengths keep a name apart from what follows it.
        for part in [name, &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failure = || format!("cannot read {}", path.display());
    if path.metadata().with_context(failure)?.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(failure)? {
        let entry = entry.with_context(failure)?;
        if !is_ignored(&entry.file_name().to_string_lossy()) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// Build results, and what editors leave behind.
fn is_ignored(name: &str) -> bool {
    name == "target" || name.starts_with('.') || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_sources_count() {
        let root = std::env::temp_dir().join(format!("xtask-sources-{}", std::process::id()));
        for folder in ["zombie-trace-ebpf/target", "zombie-trace-common/src"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("zombie-trace-common/Cargo.toml"), "[package]").unwrap();
        fs::write(root.join("zombie-trace-ebpf/main.rs"), "fn main() {}").unwrap();
        let before = digest(&root).unwrap();

        fs::write(root.join("zombie-trace-ebpf/target/x"), "x").unwrap();
        fs::write(root.join("zombie-trace-ebpf/.main.rs.swp"), "x").unwrap();
        assert_eq!(digest(&root).unwrap(), before);

        fs::rename(
            root.join("zombie-trace-ebpf/main.rs"),
            root.join("zombie-trace-ebpf/other.rs"),
        )
        .unwrap();
        assert_ne!(digest(&root).unwrap(), before);
        fs::remove_dir_all(root).unwrap();
    }
}
