//! Parents that are held up: the zombie's time goes on until they wait.

use std::{fs, path::PathBuf};

use zombie_trace_e2e::Truth;

use crate::{
    process::{Gate, Proc, Refine},
    sys,
};

const HELD_MS: u64 = 25;

/// The parent is stopped.
pub(crate) fn stopped(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    parent.fork(|| {
        child.fork(|| 3);
        child.poll_birth();
        sys::kill(sys::getpid(), libc::SIGSTOP);
        child.reap();
        0
    });
    let pid = parent.local_pid();
    let stopped = sys::wait4(pid, libc::WUNTRACED);
    assert!(
        stopped.is_some_and(|(_, status)| libc::WIFSTOPPED(status)),
        "stopped"
    );
    sys::sleep_ms(HELD_MS);
    sys::kill(pid, libc::SIGCONT);
    parent.reap();
    child.truth().emit();
    parent.truth().emit();
}

/// The parent waits for another child.
pub(crate) fn waits_other(_: &[String]) {
    let [child, other] = [Proc::new("child"), Proc::new("other")];
    child.fork(|| 3);
    other.fork(|| {
        sys::sleep_ms(HELD_MS);
        4
    });
    child.poll_birth();
    other.reap();
    child.reap();
    child.truth().emit();
    other.truth().emit();
}

/// Where cgroup v2 is mounted.
fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem
            .starts_with("cgroup2 ")
            .then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// cgroup v2 with its freezer (5.2), and leave to make a cgroup.
pub(crate) fn no_freezer() -> Option<String> {
    let Some(mount) = cgroup2_mount() else {
        return Some("cgroup v2 is not mounted".into());
    };
    let group = mount.join(format!("zt-probe-{}", sys::getpid()));
    if let Err(error) = fs::create_dir(&group) {
        return Some(format!("{}: {error}", group.display()));
    }
    let missing = !group.join("cgroup.freeze").exists();
    let _ = fs::remove_dir(&group);
    missing.then(|| "this kernel's cgroup v2 has no freezer".into())
}

/// The parent's cgroup is frozen. Whoever runs this removes it: a name that is gone before the tracer looks it
/// up is one that nobody can tell.
pub(crate) fn frozen(_: &[String]) {
    let [parent, child] = [Proc::new("parent"), Proc::new("child")];
    let name = format!("zt-frozen-{}", sys::getpid());
    let group = cgroup2_mount().expect("probed").join(&name);
    fs::create_dir(&group).expect("probed");
    let write = |file, text| fs::write(group.join(file), text).expect(file);
    let thawed = Gate::new();
    parent.fork(|| {
        write("cgroup.procs", "0");
        child.fork(|| 3);
        child.poll_birth();
        thawed.wait();
        child.reap();
        0
    });
    child.wait_birth();
    write("cgroup.freeze", "1");
    sys::sleep_ms(HELD_MS);
    thawed.open();
    sys::sleep_ms(HELD_MS);
    write("cgroup.freeze", "0");
    parent.reap();
    let path = Some(format!("/{name}"));
    Truth {
        cgroup: path.clone(),
        ..child.truth()
    }
    .emit();
    Truth {
        cgroup: path,
        ..parent.truth()
    }
    .emit();
}
