//! Whatever becomes of the tracer, the kernel keeps nothing of it.

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, ensure,
    kernel_objects::{self, Kind, Object},
    puppet::Puppet,
    tracer::Tracer,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("residue::35-killed", || after(libc::SIGKILL)),
        Test::new("residue::terminated", || after(libc::SIGTERM)),
        Test::new("residue::killed-with-command", killed_with_command),
    ]
}

fn after(signal: libc::c_int) -> Outcome {
    let puppet = Puppet::start(Stdio::inherit())?;
    let before = kernel_objects::all()?;
    let mut tracer = Tracer::json(["-P", &puppet.pid().to_string()]).start()?;
    let held = kernel_objects::held_by(tracer.pid());
    ensure!(
        held.iter().any(|object| object.kind == Kind::Program),
        "no program held: {held:?}"
    );
    // What it made but holds no descriptor of, such as a program kept by its attachment alone.
    let made: BTreeSet<Object> = kernel_objects::all()?
        .difference(&before)
        .copied()
        .chain(held)
        .collect();
    tracer.signal(signal);
    tracer.finish()?;
    gone(&made)?;
    ensure!(pinned().is_empty(), "pinned: {:?}", pinned());
    Ok(())
}

/// The command outlives a tracer that is killed, or not; the kernel's objects do not.
fn killed_with_command() -> Outcome {
    let before = kernel_objects::all()?;
    let mut tracer = Tracer::json([""; 0])
        .scenario(["fork-until-killed"])
        .start()?;
    std::thread::sleep(Duration::from_millis(100));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", tracer.pid()));
    let made: BTreeSet<Object> = kernel_objects::all()?
        .difference(&before)
        .copied()
        .chain(kernel_objects::held_by(tracer.pid()))
        .collect();
    tracer.signal(libc::SIGKILL);
    // The command holds the pipes: it has to go before the tracer's end can be read.
    let command = children
        .ok()
        .and_then(|text| text.trim().parse::<libc::pid_t>().ok());
    let Some(command) = command else {
        return Err("the tracer has no one child".into());
    };
    let outcome = gone(&made);
    // SAFETY: no pointers; it is the orphan of our tracer, which lives for 30 s or until now.
    unsafe { libc::kill(command, libc::SIGKILL) };
    tracer.finish()?;
    outcome
}

/// Objects are freed a grace period later, unless someone else holds them.
pub(crate) fn gone(made: &BTreeSet<Object>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let existing = kernel_objects::all()?;
        let left: BTreeSet<_> = made.intersection(&existing).copied().collect();
        let others = kernel_objects::held_by_anyone();
        let left: Vec<_> = left.difference(&others).collect();
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the kernel still has {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What could be ours by its name.
fn pinned() -> Vec<String> {
    let entries = fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("zombie"))
        .collect()
}
