use std::fs;

/// /proc/sys/kernel/pid_max: no pid is as large, so that no more processes can exist at once.
pub(crate) fn pid_max() -> Option<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?;
    text.trim().parse().ok()
}

/// /proc/sys/kernel/random/boot_id: another after each boot.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// The host name of our UTS namespace (gethostname(2)).
pub(crate) fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// The number of CPUs that are online (sysconf(3)), whichever we may run on.
pub(crate) fn cpus_online() -> Option<u32> {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    u32::try_from(count.ok()??).ok()
}
