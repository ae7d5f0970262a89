//! Programs for the tests of the tracer as a command runner.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use libc::c_int;
use zombie_trace_e2e::{Expect, Span, Truth, now};

use crate::{
    process::{Gate, Proc, Refine, has_state, print_line, wait_for},
    sys,
};

/// `exit CODE`: says nothing and exits.
pub(crate) fn exit(args: &[String]) {
    let code = args
        .first()
        .map_or(0, |arg| arg.parse().expect("exit CODE"));
    sys::exit_group(code);
}

/// Forks at once, three times.
pub(crate) fn quick(_: &[String]) {
    for _ in 0..3 {
        let child = Proc::new("child");
        child.fork(|| 0);
        child.reap();
        child.truth().emit();
    }
}

/// A command name with an escape sequence, control characters and invalid UTF-8.
pub(crate) fn odd_comm(_: &[String]) {
    const NAME: &[u8] = b"\x1b[31m\xff\xfe\t\rodd\"\\";
    let child = Proc::new("child");
    child.fork(|| {
        sys::set_comm(NAME);
        3
    });
    child.poll_birth();
    sys::sleep_ms(2);
    child.reap();
    let comm = String::from_utf8_lossy(NAME).into_owned();
    Truth {
        comm: Some(comm),
        ..child.truth()
    }
    .emit();
}

static TERMINATED: AtomicBool = AtomicBool::new(false);

extern "C" fn terminate(_: c_int) {
    TERMINATED.store(true, SeqCst);
}

/// Waits for SIGTERM or SIGINT, which it survives; then it ends a child.
pub(crate) fn wait_term(_: &[String]) {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        sys::sigaction(signal, terminate as *const () as libc::sighandler_t, 0);
    }
    let child = Proc::new("child");
    print_line(&zombie_trace_e2e::Line::Done {
        pid: sys::global_pid(),
    });
    wait_for(|| TERMINATED.load(SeqCst).then_some(()));
    child.fork(|| 3);
    child.poll_birth();
    child.reap();
    child.truth().emit();
}

/// Ends while a descendant, which lives as long as its tracer, still has a zombie.
pub(crate) fn leave_alive(_: &[String]) {
    let [middle, holder, zombie] = [
        Proc::new("middle"),
        Proc::new("holder"),
        Proc::new("zombie"),
    ];
    let gate = Gate::new();
    let tracer = sys::global_ppid();
    middle.fork(|| {
        holder.fork(|| {
            sys::detach_stdio();
            gate.wait();
            zombie.fork(|| 3);
            zombie.poll_birth();
            // A pid that is another process's by then only makes it live longer.
            let proc = format!("/proc/{tracer}");
            wait_for(|| (has_state(tracer, 'Z') || !Path::new(&proc).exists()).then_some(()));
            0
        });
        0
    });
    middle.reap();
    gate.open();
    zombie.wait_birth();
    sys::sleep_ms(20);
    // It is a zombie at least until this process has ended, as the holder outlives it.
    zombie.reaped_by(
        holder,
        Span {
            lo: now(),
            hi: now(),
        },
    );
    let truth = zombie.truth().code(3);
    Truth {
        expect: Expect::Alive,
        reaper_pid: None,
        reaper_comm: None,
        ..truth
    }
    .emit();
    Truth {
        expect: Expect::Nothing,
        ..holder.truth()
    }
    .emit();
    middle.truth().emit();
}

/// Forks and reaps until it is killed, without a truth of its own.
pub(crate) fn fork_until_killed(_: &[String]) {
    loop {
        let pid = sys::fork();
        if pid == 0 {
            sys::exit_group(0);
        }
        sys::wait4(pid, 0);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

/// Handles SIGTERM and SIGINT, but can't: it is blocked in vfork until its child ends.
pub(crate) fn stay_in_vfork(_: &[String]) {
    extern "C" fn child(_: *mut libc::c_void) -> c_int {
        print_line(&zombie_trace_e2e::Line::Done {
            pid: sys::global_pid(),
        });
        // Dies with its parent, or soon after it: nobody else would end it.
        // SAFETY: it cannot fail.
        let parent = || unsafe { libc::getppid() };
        let first = parent();
        while parent() == first {
            sys::sleep_ms(20);
        }
        sys::exit_group(0)
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        sys::sigaction(signal, terminate as *const () as libc::sighandler_t, 0);
    }
    let mut stack = vec![0_u64; 1 << 15];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has the stack for itself, and does not return from its function.
    unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(child, top.cast(), flags, std::ptr::null_mut());
    }
}

/// `push-keys TEXT`: tries to type on every terminal it has, by TIOCSTI, and says how that went.
pub(crate) fn push_keys(args: &[String]) {
    let tty = std::fs::File::open("/dev/tty");
    let tty = tty.as_ref().map_or(-1, std::os::fd::AsRawFd::as_raw_fd);
    for fd in [0, 1, 2, tty] {
        let results: Vec<_> = args
            .iter()
            .flat_map(|text| text.bytes())
            // SAFETY: the byte lives.
            .map(|byte| unsafe { libc::ioctl(fd, libc::TIOCSTI, &raw const byte) })
            .collect();
        println!("push-keys: {fd}: {results:?}");
    }
}
