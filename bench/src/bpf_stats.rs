//! The kernel's own account of what BPF programs cost (`kernel.bpf_stats_enabled`).

use std::{collections::BTreeMap, fs};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Keeps the account on until it is dropped. It costs each program run two clock reads.
pub(crate) struct Enabled {
    before: String,
}

impl Enabled {
    pub(crate) fn new() -> Result<Self, String> {
        let error = |error| format!("{SWITCH}: {error}");
        let before = fs::read_to_string(SWITCH).map_err(error)?;
        fs::write(SWITCH, "1").map_err(error)?;
        Ok(Self { before })
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = fs::write(SWITCH, &self.before);
    }
}

/// What a program has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) run_time_ns: u64,
    pub(crate) run_count: u64,
}

/// By program id, for all programs that a process holds by file descriptor.
pub(crate) fn of_process(pid: u32) -> BTreeMap<u32, Cost> {
    let fdinfo = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    fdinfo
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| parse(&fs::read_to_string(entry.path()).ok()?))
        .collect()
}

fn parse(fdinfo: &str) -> Option<(u32, Cost)> {
    let field = |name: &str| {
        let line = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    // Links have a `prog_id` too, but no run time.
    let cost = Cost {
        run_time_ns: field("run_time_ns:")?,
        run_count: field("run_cnt:")?,
    };
    Some((field("prog_id:")? as u32, cost))
}

/// The names of programs, as far as the kernel tells.
pub(crate) fn names(ids: impl Iterator<Item = u32>) -> BTreeMap<u32, String> {
    ids.filter_map(|id| Some((id, name(id)?))).collect()
}

/// BPF_PROG_GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD (bpf(2)).
fn name(id: u32) -> Option<String> {
    #[repr(C)]
    struct ById {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    #[repr(C)]
    struct InfoByFd {
        fd: u32,
        length: u32,
        info: u64,
    }
    /// Where `name` stands in `struct bpf_prog_info` (include/uapi/linux/bpf.h).
    const NAME: usize = 64;
    let mut by_id = ById {
        id,
        next_id: 0,
        open_flags: 0,
    };
    let mut info = [0_u8; NAME + 16];
    // SAFETY: the attributes and the buffer are valid and of the sizes that are given.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, 13, &raw mut by_id, size_of::<ById>());
        if fd < 0 {
            return None;
        }
        let mut by_fd = InfoByFd {
            fd: fd as u32,
            length: info.len() as u32,
            info: info.as_mut_ptr() as u64,
        };
        let status = libc::syscall(libc::SYS_bpf, 15, &raw mut by_fd, size_of::<InfoByFd>());
        libc::close(fd as i32);
        if status != 0 {
            return None;
        }
    }
    let name = &info[NAME..];
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_a_run_time_and_a_link_has_none() {
        let program = "pos:\t0\nprog_type:\t26\nprog_id:\t7\nrun_time_ns:\t900\nrun_cnt:\t3\n";
        let cost = Cost {
            run_time_ns: 900,
            run_count: 3,
        };
        assert_eq!(parse(program), Some((7, cost)));
        assert_eq!(parse("pos:\t0\nlink_id:\t2\nprog_id:\t7\n"), None);
    }
}
