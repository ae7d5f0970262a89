//! Whose processes /proc shows, and whether it shows all of them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use caps::{CapSet, Capability};
use nix::{
    sys::statfs::{PROC_SUPER_MAGIC, statfs},
    unistd::{getegid, geteuid, getgroups},
};

use super::files::Status;
use crate::{
    cause::Unreadable,
    system::{
        ForeignKernel, check_machine,
        confinement::in_initial_user_namespace,
        mounts::{self, MOUNTINFO, Mount},
    },
};

/// A /proc that shows the processes of our own pid namespace.
///
/// Everything about other processes is read through it, so that nobody takes a /proc that is
/// missing, or that numbers processes differently, for one without zombies.
#[derive(Clone, Debug)]
pub struct Proc {
    gap: Option<Gap>,
    /// Why a system call of another process can't be read, if it can't.
    unreadable: Unreadable,
}

/// Why /proc can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// Its system calls have other numbers, its registers other places.
    #[error(transparent)]
    ForeignKernel(#[from] ForeignKernel),
    /// Nothing, or something else, is mounted there.
    #[error("no procfs is mounted at /proc; run `mount -t proc proc /proc`")]
    Missing,
    /// Its numbers are not ours.
    #[error(
        "the procfs at /proc belongs to another pid namespace, so its pids are not ours; run \
         `mount -t proc proc /proc` in this namespace (`unshare --mount-proc` does it)"
    )]
    Foreign,
    /// It fails in some other way.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why /proc does not show every process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A mount option hides the processes of other users from us.
    Option(String),
    /// Something else does: not even process 1 is shown.
    NoInit,
    /// These processes are listed, but may not be looked at.
    Denied {
        /// How many.
        processes: usize,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(option) => write!(
                f,
                "/proc is mounted with {option}, which hides processes; remount it without hidepid"
            ),
            Self::NoInit => {
                f.write_str("/proc does not show process 1; a security module hides it")
            }
            Self::Denied { processes } => write!(
                f,
                "/proc denies access to {processes} processes; a security module forbids it"
            ),
        }?;
        match geteuid().is_root() {
            true => Ok(()),
            false => f.write_str(", or run it as root"),
        }
    }
}

impl Proc {
    /// Checks the /proc that is mounted now.
    ///
    /// # Errors
    /// It is missing, of another pid namespace or architecture, or can't be read.
    pub fn open() -> Result<Self, ProcError> {
        let root = Path::new("/proc");
        let is_procfs = statfs(root).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC);
        if !is_procfs {
            return Err(ProcError::Missing);
        }
        check_machine()?;
        let own = root.join("self");
        let status = match Status::read(&own) {
            Ok(status) => status,
            // A procfs in whose pid namespace we have no number.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ProcError::Foreign);
            }
            Err(source) => {
                return Err(ProcError::Unreadable {
                    path: own.join("status"),
                    source,
                });
            }
        };
        // Our numbers from the procfs's pid namespace down to our own.
        if status.numbers("NSpid").len() > 1 {
            return Err(ProcError::Foreign);
        }
        let mounts = mounts::read().map_err(|source| ProcError::Unreadable {
            path: MOUNTINFO.into(),
            source,
        })?;
        let may_trace_all =
            caps::has_cap(None, CapSet::Permitted, Capability::CAP_SYS_PTRACE).unwrap_or(false);
        let initial = in_initial_user_namespace();
        let exempt = |gid| {
            getegid().as_raw() == gid
                || getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
        };
        // Not even root sees everything everywhere.
        let no_init = !root.join("1").exists();
        let gap = match hidepid(&mounts) {
            Some(hiding) if no_init => Some(Gap::Option(hiding.option)),
            Some(_) if may_trace_all && initial => None,
            Some(hiding) if hiding.hides_from(exempt) => Some(Gap::Option(hiding.option)),
            _ => no_init.then_some(Gap::NoInit),
        };
        Ok(Self {
            gap,
            unreadable: why_unreadable(may_trace_all, initial, yama_scope()),
        })
    }

    /// Why it does not show every process, if it doesn't.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Why a system call that is denied to us can't be read.
    pub(super) fn unreadable(&self) -> Unreadable {
        self.unreadable
    }
}

/// What keeps us from reading what a process is blocked in (`ptrace_may_access`, kernel/ptrace.c).
fn why_unreadable(holds_ptrace: bool, initial_namespace: bool, yama: Option<u32>) -> Unreadable {
    /// No process may attach to another (Documentation/admin-guide/LSM/Yama.rst).
    const NO_ATTACH: u32 = 3;
    if yama == Some(NO_ATTACH) {
        Unreadable::Yama
    } else if !holds_ptrace {
        Unreadable::NoCapability
    } else if !initial_namespace {
        Unreadable::UserNamespace
    } else {
        Unreadable::SecurityModule
    }
}

/// None without Yama.
fn yama_scope() -> Option<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    text.trim().parse().ok()
}

/// A `hidepid` option (Documentation/filesystems/proc.rst).
#[derive(Debug, PartialEq, Eq)]
struct Hiding {
    /// As the mount has it.
    option: String,
    /// Members see everything.
    gid: Option<u32>,
}

impl Hiding {
    fn hides_from(&self, is_member: impl Fn(u32) -> bool) -> bool {
        // Root's group if no other is given.
        !(self.honours_group() && is_member(self.gid.unwrap_or(0)))
    }

    /// `ptraceable` asks for the right to trace and nothing else.
    fn honours_group(&self) -> bool {
        !matches!(self.option.as_str(), "hidepid=4" | "hidepid=ptraceable")
    }
}

/// That of the procfs at /proc; a mount on top of another comes later in the list.
fn hidepid(mounts: &[Mount]) -> Option<Hiding> {
    let is_ours = |mount: &&Mount| mount.point == Path::new("/proc") && mount.kind == "proc";
    let options = &mounts.iter().rfind(is_ours)?.options;
    let option = options
        .iter()
        .find(|option| option.starts_with("hidepid="))?;
    if matches!(option.as_str(), "hidepid=0" | "hidepid=off") {
        return None;
    }
    let gid = options
        .iter()
        .find_map(|option| option.strip_prefix("gid=")?.parse().ok());
    Some(Hiding {
        option: option.clone(),
        gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(options: &str) -> Option<Hiding> {
        let mountinfo = format!(
            "22 1 0:20 / /sys rw - sysfs sysfs rw\n\
             23 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n\
             40 1 0:33 / /chroot/proc rw - proc proc rw,hidepid=4\n\
             41 23 0:34 / /proc rw - proc proc {options}\n"
        );
        hidepid(&mounts::parse(mountinfo.as_bytes()))
    }

    #[test]
    fn the_uppermost_mount_decides() {
        assert_eq!(mounted("rw"), None);
        assert_eq!(mounted("rw,hidepid=off"), None);
        assert_eq!(mounted("rw,subset=pid"), None);
        let hiding = mounted("rw,gid=27,hidepid=invisible").unwrap();
        assert_eq!(
            (hiding.option.as_str(), hiding.gid),
            ("hidepid=invisible", Some(27))
        );
        assert_eq!(hidepid(&[]), None);
    }

    #[test]
    fn a_group_can_be_exempt() {
        for option in ["hidepid=1", "hidepid=2", "hidepid=invisible,gid=27"] {
            let hiding = mounted(option).unwrap();
            assert!(hiding.hides_from(|_| false), "{option}");
            assert!(
                !hiding.hides_from(|gid| gid == hiding.gid.unwrap_or(0)),
                "{option}"
            );
        }
        for option in ["hidepid=4", "hidepid=ptraceable,gid=27"] {
            assert!(mounted(option).unwrap().hides_from(|_| true), "{option}");
        }
    }

    #[test]
    fn the_reason_is_not_always_the_capability() {
        assert_eq!(why_unreadable(false, true, None), Unreadable::NoCapability);
        assert_eq!(
            why_unreadable(false, true, Some(1)),
            Unreadable::NoCapability
        );
        assert_eq!(why_unreadable(true, true, Some(3)), Unreadable::Yama);
        assert_eq!(
            why_unreadable(true, false, Some(1)),
            Unreadable::UserNamespace
        );
        assert_eq!(why_unreadable(true, true, None), Unreadable::SecurityModule);
    }

    #[test]
    fn our_own_is_ours() {
        Proc::open().unwrap();
    }
}
