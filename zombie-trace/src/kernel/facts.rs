//! What the programs must know of the running kernel.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use aya::Endianness;
use zombie_trace_common::MISSING;

#[cfg(feature = "stacks")]
use super::btf::BtfError;
use super::{KernelError, btf::Btf, offsets, trial};
use crate::system::{ForeignKernel, Machine, OURS, confinement};

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
    has_task_pt_regs: bool,
    has_preemptible_tracepoints: bool,
    /// Maps and programs count against RLIMIT_MEMLOCK.
    pub(super) counts_locked_memory: bool,
    /// For the programs that copy stacks.
    #[cfg(feature = "stacks")]
    pub(super) stack_offsets: Result<Vec<(&'static str, u32)>, BtfError>,
    /// A task iterator can be about a single thread (6.1 and later).
    #[cfg(feature = "stacks")]
    pub(super) iterates_one_thread: bool,
}

impl KernelTypes {
    /// Reads the kernel's own BTF, or the given file where the kernel has none.
    pub(super) fn read(given: Option<&Path>) -> Result<Self, KernelError> {
        let own = Path::new(BTF_PATH);
        let (path, bytes) = match given {
            Some(path) => (path, vouched_for(path, own, confinement::is_root())?),
            None => (own, contents(own).map_err(|error| no_btf(own, error))?),
        };
        let in_btf = |source| KernelError::Btf {
            path: path.to_owned(),
            source,
        };
        let types = Btf::parse(&bytes).map_err(in_btf)?;
        check_registers(&types, OURS).map_err(KernelError::ForeignKernel)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: bytes.len(),
            offsets: offsets::resolve(&types).map_err(in_btf)?,
            #[cfg(feature = "stacks")]
            stack_offsets: offsets::resolve_for_stacks(&types),
            #[cfg(feature = "stacks")]
            iterates_one_thread: types.offset("bpf_iter_link_info.task.tid").is_ok(),
            exit_args: types.tracepoint_args("sched_process_exit"),
            has_task_pt_regs: types.has_enumerator("bpf_func_id", "BPF_FUNC_task_pt_regs"),
            has_preemptible_tracepoints: types.offset_in_bits(OF_7_2).is_ok(),
            counts_locked_memory: types.offset(BEFORE_5_11).is_ok(),
            btf: aya::Btf::parse(&bytes, Endianness::default())
                .map_err(|error| KernelError::refused("its own BTF", error))?,
        })
    }
}

/// Kernels before 6.1 name their architecture only where an emulator can change it. The names of their
/// registers show it.
fn check_registers(types: &Btf<'_>, ours: &Machine) -> Result<(), ForeignKernel> {
    match types.offset(ours.register) {
        Ok(_) => Ok(()),
        Err(_) => Err(ForeignKernel::new(None)),
    }
}

/// A field that came with the release that made tracepoint programs preemptible. The change itself shows
/// in no type.
const OF_7_2: &str = "signal_struct.autoreap";

/// How much locked memory a map took, for as long as that was counted.
const BEFORE_5_11: &str = "bpf_map.memory";

/// The given file, if it is what the kernel itself says. Wrong offsets would give wrong figures that
/// look right, and let whoever gives the file read other parts of the kernel's memory.
fn vouched_for(path: &Path, own: &Path, is_root: bool) -> Result<Vec<u8>, KernelError> {
    let bytes = contents(path).map_err(|source| KernelError::ReadBtf {
        path: path.to_owned(),
        source,
    })?;
    match contents(own) {
        Ok(kernels) if kernels == bytes => Ok(bytes),
        Ok(_) => Err(KernelError::OtherBtf {
            path: path.to_owned(),
            own: own.to_owned(),
        }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(no_btf(own, error)),
        Err(_) if is_root => Ok(bytes),
        Err(_) => Err(KernelError::UncheckedBtf {
            path: path.to_owned(),
        }),
    }
}

/// Why the kernel's own can't be read.
fn no_btf(own: &Path, source: io::Error) -> KernelError {
    let path = own.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => KernelError::NoBtf { path },
        _ => KernelError::ReadBtf { path, source },
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    /// No kernel's is as large; a device has no end.
    const MAX_LEN: u64 = 256 << 20;
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len().min(MAX_LEN);
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(MAX_LEN).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == MAX_LEN {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// What is set as globals before the programs are loaded.
pub(super) struct KernelFacts {
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

impl KernelFacts {
    /// From its types and from what it takes, never from its release: distributions bring new features
    /// to old kernels, and setarch(8) makes a kernel name an older release.
    pub(super) fn new(types: &KernelTypes) -> Self {
        Self {
            exit_has_group_dead: types.exit_args > Some(1),
            exit_can_be_skipped: types.has_preemptible_tracepoints,
            has_compare_exchange: trial::compares_and_exchanges(),
            has_typed_current: types.has_task_pt_regs,
            has_io_waitid: types
                .offsets
                .iter()
                .filter(|(global, _)| global.starts_with("IO_"))
                .all(|(_, offset)| *offset != MISSING),
            offsets: types.offsets.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_our_registers_are_refused() {
        // A header, no type, and an empty string.
        let words = [24, 0, 0, 0, 1_u32];
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.push(0);
        let types = Btf::parse(&bytes).unwrap();
        let message = check_registers(&types, OURS).unwrap_err().to_string();
        assert!(message.contains("for another architecture"), "{message}");
        match fs::read(BTF_PATH) {
            Ok(own) => check_registers(&Btf::parse(&own).unwrap(), OURS).unwrap(),
            Err(_) => eprintln!("skipped: this kernel has no {BTF_PATH}"),
        }
    }

    #[test]
    fn the_kernels_own_word_counts() {
        let directory = std::env::temp_dir().join(format!("zt-btf-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let (own, copy) = (file("own", b"types"), file("copy", b"types"));
        let (other, none) = (file("other", b"typos"), directory.join("none"));
        assert_eq!(vouched_for(&copy, &own, false).unwrap(), b"types");
        for is_root in [false, true] {
            let error = vouched_for(&other, &own, is_root).unwrap_err();
            assert!(matches!(error, KernelError::OtherBtf { .. }), "{error}");
        }
        assert_eq!(vouched_for(&other, &none, true).unwrap(), b"typos");
        let error = vouched_for(&other, &none, false).unwrap_err();
        assert!(matches!(error, KernelError::UncheckedBtf { .. }), "{error}");
        let error = vouched_for(&none, &own, true).unwrap_err();
        assert!(matches!(error, KernelError::ReadBtf { .. }), "{error}");
        fs::remove_dir_all(directory).unwrap();
    }
}
