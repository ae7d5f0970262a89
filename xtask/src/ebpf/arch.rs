use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// An architecture of the machines that run the object. BPF code itself is the same for all; what
/// differs is `pt_regs`, from which kprobes read their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// rustc's flags, without the path remappings.
    pub(crate) fn rustflags(self) -> Vec<String> {
        vec![
            format!("--cfg=bpf_target_arch=\"{}\"", self.name()),
            // Without it for every crate, bpf-linker writes incomplete BTF (aya-rs/aya#1649).
            "-Cdebuginfo=2".into(),
            "-Clinker=bpf-linker".into(),
            "-Clink-arg=--btf".into(),
        ]
    }
}
