use std::fs;

/// /proc/sys/kernel/pid_max: no pid is as large, so that no more processes can exist at once.
pub(crate) fn pid_max() -> Option<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?;
    text.trim().parse().ok()
}
