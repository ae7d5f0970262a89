//! What is left to a `serve` that is attached, and to others against it.

use std::{fs, io, ops::RangeInclusive, process::Command};

use super::{serve, start};
use crate::{
    Outcome, Test,
    command::before_exec,
    context::{self, succeeds},
    ensure, privilege,
    tracer::Running,
};

pub(super) fn tests() -> Vec<Test> {
    let no_pidfd = !context::kernel_is_at_least(5, 6);
    vec![
        Test::new("serve::own-user", is_its_own_user),
        Test::new("serve::user", becomes_user),
        Test::new("serve::descriptors-stay-its-own", descriptors_stay_its_own)
            .unless(no_pidfd.then(|| "no pidfd_getfd before 5.6".into())),
        Test::new("serve::closes-maps", closes_maps),
    ]
}

/// User IDs that nothing else gives to anybody (systemd.io/UIDS-GIDS).
pub(super) fn own_user() -> RangeInclusive<u32> {
    60_578..=61_183
}

fn uid(tracer: &Running) -> Result<u32, String> {
    let path = format!("/proc/{}/status", tracer.pid());
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
    let uid = line.and_then(|line| line.split('\t').next()?.parse().ok());
    uid.ok_or(status)
}

/// Neither `nobody` nor another of its kind can stop it.
fn is_its_own_user() -> Outcome {
    let (first, _) = start(serve(&[]))?;
    let (second, _) = start(serve(&[]))?;
    let (one, other) = (uid(&first)?, uid(&second)?);
    ensure!(one != other, "both are user {one}");
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -0 $0", &first.pid().to_string()]);
    succeeds(&mut kill)?;
    privilege::only(&mut kill, 0);
    ensure!(succeeds(&mut kill).is_err(), "nobody can signal it");
    first.stop()?.expect_code(0)?;
    second.stop()?.expect_code(0).map(drop)
}

fn becomes_user() -> Outcome {
    let (tracer, _) = start(serve(&["--user", "nobody"]))?;
    let uid = uid(&tracer)?;
    ensure!(uid == privilege::NOBODY, "user {uid}");
    tracer.stop()?.expect_code(0)?;
    let set = 1 << privilege::BPF | 1 << privilege::PERFMON | 1 << privilege::DAC_READ_SEARCH;
    let tracer = serve(&["--user", "root"]).with(|command| privilege::only(command, set));
    let run = tracer.run()?;
    run.expect_code(1)?;
    ensure!(run.stderr.contains("--user"), "{}", run.stderr);
    Ok(())
}

/// Who runs it with capabilities cannot take its descriptors when those are gone.
fn descriptors_stay_its_own() -> Outcome {
    let mut set = 1 << privilege::BPF | 1 << privilege::PERFMON | 1 << privilege::DAC_READ_SEARCH;
    if !context::kernel_is_at_least(5, 11) {
        set |= 1 << privilege::SYS_RESOURCE;
    }
    let (tracer, _) = start(serve(&[]).with(|command| privilege::only(command, set)))?;
    let pid = tracer.pid() as libc::pid_t;
    let take = move || {
        // SAFETY: no pointers.
        let taken = unsafe {
            let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            libc::syscall(libc::SYS_pidfd_getfd, process, 2, 0)
        };
        match taken {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // Root can: the call itself is right.
    let mut thief = Command::new("true");
    before_exec(&mut thief, take);
    succeeds(&mut thief)?;
    let mut thief = Command::new("true");
    privilege::only(&mut thief, 0);
    before_exec(&mut thief, take);
    let error = succeeds(&mut thief).err();
    let denied = error
        .as_ref()
        .is_some_and(|error| error.contains("os error 1)"));
    ensure!(denied, "another process of its user: {error:?}");
    tracer.stop()?.expect_code(0).map(drop)
}

/// All but the ring buffer's.
fn closes_maps() -> Outcome {
    let (tracer, _) = start(serve(&[]))?;
    let path = format!("/proc/{}/fd", tracer.pid());
    let open = fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
    let targets = open
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok());
    let is_map = |target: &std::path::PathBuf| target.to_string_lossy().contains("bpf-map");
    let maps = targets.filter(is_map).count();
    ensure!(maps == 1, "{maps} maps are open");
    tracer.stop()?.expect_code(0).map(drop)
}
