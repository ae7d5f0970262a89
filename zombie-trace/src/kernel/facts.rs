//! What the programs must know of the running kernel.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::Endianness;
use zombie_trace_common::MISSING;

use super::{KernelError, Release, btf::Btf, offsets};

/// Where the kernel shows its own BTF.
const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// What the kernel's BTF tells.
pub(super) struct KernelTypes {
    /// The file.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: usize,
    /// For the loading of programs.
    pub(super) btf: aya::Btf,
    offsets: Vec<(&'static str, u32)>,
    exit_args: Option<usize>,
}

impl KernelTypes {
    /// Reads the given file, or the one where it usually is.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, KernelError> {
        let usual = path.is_none();
        let path = path.unwrap_or(Path::new(BTF_PATH));
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if usual => KernelError::NoBtf {
                path: path.to_owned(),
            },
            _ => KernelError::ReadBtf {
                path: path.to_owned(),
                source,
            },
        })?;
        let in_btf = |source| KernelError::Btf {
            path: path.to_owned(),
            source,
        };
        let types = Btf::parse(&bytes).map_err(in_btf)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: bytes.len(),
            offsets: offsets::resolve(&types).map_err(in_btf)?,
            exit_args: types.tracepoint_args("sched_process_exit"),
            btf: aya::Btf::parse(&bytes, Endianness::default())
                .map_err(|error| KernelError::refused("its own BTF", error))?,
        })
    }
}

/// What is set as globals before the programs are loaded.
pub(super) struct Facts {
    /// `sched_process_exit` tells whether it is the group's last thread.
    pub(super) exit_has_group_dead: bool,
    /// A program can be skipped because another task's run of it was preempted.
    pub(super) exit_can_be_skipped: bool,
    /// Programs can compare and exchange.
    pub(super) has_compare_exchange: bool,
    /// Programs get the running task's address with its type, and the registers that it entered the
    /// kernel with.
    pub(super) has_typed_current: bool,
    /// There is IORING_OP_WAITID.
    pub(super) has_io_waitid: bool,
    /// Globals and the offsets that they hold.
    pub(super) offsets: Vec<(&'static str, u32)>,
}

impl Facts {
    /// What can't be understood of the release is taken for the newest.
    pub(super) fn new(types: &KernelTypes, release: &Release) -> Self {
        Self {
            exit_has_group_dead: types.exit_args > Some(1),
            exit_can_be_skipped: release.is_at_least(7, 2) != Some(false),
            has_compare_exchange: release.is_at_least(5, 12) != Some(false),
            has_typed_current: release.is_at_least(5, 15) != Some(false),
            has_io_waitid: types
                .offsets
                .iter()
                .filter(|(global, _)| global.starts_with("IO_"))
                .all(|(_, offset)| *offset != MISSING),
            offsets: types.offsets.clone(),
        }
    }
}
