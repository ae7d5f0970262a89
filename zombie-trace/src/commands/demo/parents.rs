//! What the parent of each kind does.

use std::{thread, time::Duration};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sched::{CloneFlags, unshare},
    sys::{
        ptrace,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction},
        wait::{Id, WaitPidFlag, waitid, waitpid},
    },
    unistd::{Pid, Uid},
};

use super::{
    Kind,
    stage::{Stage, child, fail, has_state, sleep_for_ever, until, until_zombie, zombie},
};

/// Runs in the parent's process; `ready` is called once its zombies are there.
pub(super) fn run(kind: Kind, stage: Stage, ready: &mut dyn FnMut()) {
    match kind {
        Kind::Classic => {
            let pid = zombie(0);
            ready();
            stage.wait_for_end();
            let _ = waitpid(pid, None);
        }
        Kind::NeverWaits => {
            zombie(1);
            ready();
            loop {
                thread::sleep(Duration::from_secs(1));
                zombie(1);
            }
        }
        Kind::Coalesced => coalesced(ready),
        Kind::Blocked => {
            block_sigchld();
            zombie(0);
            ready();
            sleep_for_ever();
        }
        Kind::IgnoredLate => {
            zombie(0);
            handle_sigchld(SigHandler::SigIgn);
            ready();
            sleep_for_ever();
        }
        Kind::Stopped => {
            zombie(0);
            ready();
            let _ = raise(Signal::SIGSTOP);
            sleep_for_ever();
        }
        Kind::Debugged => debugged(ready),
        // The demonstration moves it to its cgroup.
        Kind::Frozen => {
            zombie(0);
            ready();
            sleep_for_ever();
        }
        Kind::Uninterruptible => uninterruptible(ready),
        Kind::Busy | Kind::Starved => {
            zombie(0);
            ready();
            // Without a pause instruction, which takes emulators very long.
            loop {
                std::hint::black_box(());
            }
        }
        Kind::WaitsForOther => {
            zombie(0);
            let other = child(|| sleep_for_ever());
            ready();
            let _ = waitpid(other, None);
        }
        Kind::WaitsWithoutFlags => {
            zombie(0);
            child(|| sleep_for_ever());
            ready();
            loop {
                // A child that stops is none of ours.
                let _ = waitid(Id::All, WaitPidFlag::WSTOPPED);
            }
        }
        Kind::OtherThread => other_thread(ready),
        Kind::NoSigchld => {
            until_zombie(clone_without_signal());
            ready();
            sleep_for_ever();
        }
        Kind::Init => init(&stage, ready),
        Kind::Traced => traced(ready),
        Kind::ThreadLeader => {
            let leader = child(leave_a_thread);
            let leader = leader.as_raw().cast_unsigned();
            until("the main thread does not end", || has_state(leader, 'Z'));
            ready();
            let _ = waitpid(None, None);
        }
        Kind::Subreaper => subreaper(ready),
        Kind::Burst => {
            let children: Vec<Pid> = (0..1000).map(|_| child(|| 0)).collect();
            children.into_iter().for_each(until_zombie);
            ready();
            sleep_for_ever();
        }
        Kind::ForeignChild => {
            zombie(0);
            ready();
            let sleep = nix::unistd::execvp(c"sleep", &[c"sleep", c"86400"]);
            fail(&format!("sleep: {sleep:?}"));
        }
        Kind::InSystem => {
            zombie(0);
            ready();
            let command = c"exec sleep 86400 < /dev/null > /dev/null 2>&1";
            // SAFETY: the command is NUL-terminated.
            unsafe { libc::system(command.as_ptr()) };
        }
        Kind::OneAtATime => {
            for _ in 0..5 {
                zombie(0);
            }
            ready();
            loop {
                thread::sleep(Duration::from_secs(1));
                zombie(0);
                let _ = waitpid(None, None);
            }
        }
        Kind::Dying => dying(ready),
        Kind::Autoreap => {
            handle_sigchld(SigHandler::SigIgn);
            child(|| 0);
            ready();
            loop {
                thread::sleep(Duration::from_secs(1));
                child(|| 0);
            }
        }
    }
}

fn handle_sigchld(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does what is safe in one.
    if let Err(error) = unsafe { sigaction(Signal::SIGCHLD, &action) } {
        fail(&format!("sigaction: {error}"));
    }
}

fn block_sigchld() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    if let Err(error) = set.thread_block() {
        fail(&format!("sigprocmask: {error}"));
    }
}

fn unblock_sigchld() {
    let _ = SigSet::empty().thread_set_mask();
}

/// One child for each signal: the fault.
extern "C" fn reap_one(_: c_int) {
    // SAFETY: it is async-signal-safe (signal-safety(7)).
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
}

fn coalesced(ready: &mut dyn FnMut()) {
    handle_sigchld(SigHandler::Handler(reap_one));
    block_sigchld();
    for _ in 0..10 {
        zombie(0);
    }
    unblock_sigchld();
    ready();
    sleep_for_ever();
}

fn debugged(ready: &mut dyn FnMut()) {
    zombie(0);
    let us = Pid::this();
    // Some systems let only ancestors trace (ptrace_scope of Yama).
    // SAFETY: without memory it does nothing but allow it.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    let (go, tell) = match nix::unistd::pipe() {
        Ok(ends) => ends,
        Err(error) => fail(&format!("pipe: {error}")),
    };
    child(move || {
        // If it stopped us any earlier, nobody would ever hear that we are ready.
        let _ = nix::unistd::read(&go, &mut [0]);
        if let Err(error) = ptrace::seize(us, ptrace::Options::empty()) {
            fail(&format!("ptrace: {error}"));
        }
        let _ = ptrace::interrupt(us);
        let _ = waitpid(us, Some(WaitPidFlag::__WALL));
        sleep_for_ever()
    });
    ready();
    let _ = nix::unistd::write(&tell, b".");
    sleep_for_ever();
}

/// The parent of a vfork sleeps uninterruptibly until its child execs or ends.
fn uninterruptible(ready: &mut dyn FnMut()) {
    zombie(0);
    ready();
    // SAFETY: the child calls nothing but a system call, and never returns.
    unsafe {
        let pid = libc::syscall(
            libc::SYS_clone,
            libc::CLONE_VFORK | libc::SIGCHLD,
            0,
            0,
            0,
            0,
        );
        if pid == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            loop {
                libc::pause();
            }
        }
    }
    sleep_for_ever();
}

/// The main thread's child is not one that the other thread waits for.
fn other_thread(ready: &mut dyn FnMut()) {
    zombie(0);
    let waits = || {
        child(|| sleep_for_ever());
        let _ = waitpid(None, Some(WaitPidFlag::__WNOTHREAD));
    };
    if let Err(error) = thread::Builder::new().spawn(waits) {
        fail(&format!("cannot make a thread: {error}"));
    }
    ready();
    sleep_for_ever();
}

fn clone_without_signal() -> Pid {
    // SAFETY: as fork, but with no signal at the end.
    let pid = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    match pid {
        // SAFETY: the child ends at once.
        0 => unsafe { libc::_exit(0) },
        pid if pid > 0 => Pid::from_raw(pid as i32),
        _ => fail(&format!("clone: {}", Errno::last())),
    }
}

/// An application that runs as the first process of a new pid namespace.
fn init(stage: &Stage, ready: &mut dyn FnMut()) {
    let mut flags = CloneFlags::CLONE_NEWPID;
    if !Uid::effective().is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    if let Err(error) = unshare(flags) {
        fail(&format!("cannot make a pid namespace: {error}"));
    }
    let (told, tell) = match nix::unistd::pipe() {
        Ok(ends) => ends,
        Err(error) => fail(&format!("pipe: {error}")),
    };
    child(move || {
        // The middle process dies, and its child is an orphan that ends later.
        let middle = child(|| {
            child(|| 3);
            0
        });
        let _ = waitpid(middle, None);
        until_zombie_of_any();
        let _ = nix::unistd::write(&tell, b".");
        sleep_for_ever()
    });
    let mut byte = [0];
    if !matches!(nix::unistd::read(&told, &mut byte), Ok(1)) {
        fail("the first process of the namespace did not start");
    }
    ready();
    stage.wait_for_end();
}

fn until_zombie_of_any() {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::All, flags) == Err(Errno::EINTR) {}
}

fn traced(ready: &mut dyn FnMut()) {
    let traced = child(|| {
        // SAFETY: without memory it does nothing but allow it.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
        sleep_for_ever()
    });
    let (told, tell) = match nix::unistd::pipe() {
        Ok(ends) => ends,
        Err(error) => fail(&format!("pipe: {error}")),
    };
    child(move || {
        // The permission of the child may come a little later.
        let seized = || ptrace::seize(traced, ptrace::Options::empty()).is_ok();
        until("cannot trace a process", seized);
        let _ = nix::unistd::write(&tell, b".");
        sleep_for_ever()
    });
    let mut byte = [0];
    if !matches!(nix::unistd::read(&told, &mut byte), Ok(1)) {
        fail("the tracer did not start");
    }
    let _ = nix::sys::signal::kill(traced, Signal::SIGKILL);
    let pid = traced.as_raw().cast_unsigned();
    until("the traced process does not end", || has_state(pid, 'Z'));
    ready();
    let _ = waitpid(traced, None);
    sleep_for_ever();
}

/// The tracer never lets the child go on.
fn dying(ready: &mut dyn FnMut()) {
    let (go, tell) = match nix::unistd::pipe() {
        Ok(ends) => ends,
        Err(error) => fail(&format!("pipe: {error}")),
    };
    let exits = child(move || {
        // SAFETY: without memory it does nothing but allow it.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
        let _ = nix::unistd::read(&go, &mut [0]);
        7
    });
    child(move || {
        let options = ptrace::Options::PTRACE_O_TRACEEXIT;
        // The permission of the child may come a little later.
        let seized = || ptrace::seize(exits, options).is_ok();
        until("cannot trace a process", seized);
        let _ = nix::unistd::write(&tell, b".");
        sleep_for_ever()
    });
    let pid = exits.as_raw().cast_unsigned();
    until("the child does not exit", || has_state(pid, 't'));
    ready();
    let _ = waitpid(exits, None);
}

/// Ends the main thread alone.
fn leave_a_thread() -> i32 {
    let worker = thread::Builder::new().name("worker".to_owned());
    if let Err(error) = worker.spawn(|| sleep_for_ever()) {
        fail(&format!("cannot make a thread: {error}"));
    }
    // SAFETY: the thread's stack stays, as the process does.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    0
}

fn subreaper(ready: &mut dyn FnMut()) {
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        fail(&format!("cannot become a subreaper: {error}"));
    }
    let parent = child(|| {
        zombie(0);
        0
    });
    let _ = waitpid(parent, None);
    ready();
    sleep_for_ever();
}
