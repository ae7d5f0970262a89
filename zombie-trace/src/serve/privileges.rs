//! Giving privileges up. What is open stays usable: the ring buffer, the counters and the iterators
//! are descriptors and mapped memory.

use std::fs;

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{Gid, Uid, User, getresuid, setgroups, setresgid, setresuid},
};

use crate::{kernel::Release, notice::warn};

/// Whom root becomes where there is no user `nobody`.
const NOBODY: u32 = 65_534;

/// Becomes nobody, if this is root, and keeps no capability.
///
/// Capabilities are a thread's own: there must be no other thread yet.
///
/// # Errors
/// The kernel refuses to take something back.
pub(super) fn give_up(release: &Release) -> anyhow::Result<()> {
    let kept = kept(release);
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    if getresuid()?.effective.is_root() {
        // Or else all are lost with the user.
        prctl::set_keepcaps(true).context("cannot keep capabilities")?;
        match become_nobody() {
            Ok(()) => {}
            Err(Errno::EPERM) => warn(
                "stays root, though without capabilities: becoming nobody needs CAP_SETUID and \
                 CAP_SETGID",
            ),
            Err(error) => return Err(error).context("cannot become nobody"),
        }
    }
    for (set, capabilities) in [
        (CapSet::Ambient, &CapsHashSet::new()),
        (CapSet::Inheritable, &CapsHashSet::new()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, capabilities)
            .with_context(|| format!("cannot give capabilities up ({set:?})"))?;
    }
    Ok(())
}

/// Starting an iterator is a bpf(2) call, all of which need CAP_BPF before 5.19 unless
/// kernel.unprivileged_bpf_disabled is 0; later only those that create (kernel/bpf/syscall.c).
fn kept(release: &Release) -> CapsHashSet {
    let open = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")
        .is_ok_and(|setting| setting.trim() == "0");
    if open || release.is_at_least(5, 19) == Some(true) {
        CapsHashSet::new()
    } else {
        CapsHashSet::from([Capability::CAP_BPF])
    }
}

fn become_nobody() -> nix::Result<()> {
    let nobody = User::from_name("nobody").ok().flatten();
    let (uid, gid) = nobody.map_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)), |user| {
        (user.uid, user.gid)
    });
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}
