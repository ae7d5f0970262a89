//! Attacks on the tracer: processes that pretend that others ended, or that they reaped them.

use std::{
    hint, ptr,
    sync::atomic::{AtomicI32, Ordering::SeqCst},
    thread,
};

use libc::pid_t;
use zombie_trace_e2e::{Line, Many, Span, now};

use crate::{
    process::{Gate, LIFE_LIMIT, Proc, Refine, print_line, wait_for},
    sys, threads,
};

/// For how long an attacked zombie is left alone after its birth.
const HOLD_MS: u64 = 1;
/// Memory that takes a dying thread some milliseconds to give back, in bytes.
const SLOW_TO_END: usize = 48 << 20;
/// Ends an attack.
const STOP: u64 = u64::MAX;

/// What an attacker aims at, and what it has attacked already: pids.
#[derive(Clone, Copy)]
struct Aim {
    target: Gate,
    attacked: Gate,
}

impl Aim {
    fn new() -> Self {
        Self {
            target: Gate::new(),
            attacked: Gate::new(),
        }
    }

    /// Waits until an attack on this process is under way.
    fn at(self, pid: pid_t) {
        self.target.pass(pid as u64);
        wait_for(|| (self.attacked.get() == pid as u64).then_some(()));
    }

    /// Attacks one target after the other, as fast as it can.
    fn attack(self, mut attack: impl FnMut(pid_t)) {
        loop {
            match self.target.get() {
                0 => hint::spin_loop(),
                STOP => break,
                pid => {
                    attack(pid as pid_t);
                    self.attacked.pass(pid);
                }
            }
        }
    }

    /// Attacks one target by forgeries of the calling thread, which has to be the one that made it,
    /// while another thread waits for it.
    fn meanwhile<T: Send>(self, pid: pid_t, wait: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let waiting = scope.spawn(wait);
            while !waiting.is_finished() {
                sys::forge_sigchld(pid);
                self.attacked.pass(pid as u64);
            }
            waiting.join().expect("a panic ends the process")
        })
    }

    fn stop(self) {
        self.target.pass(STOP);
    }
}

/// `forge-notification stranger|other-parent|parent [N]`: SIGCHLDs say all the time that N children
/// ended, also while they do. A stranger sends them, the parent of another child, or the real
/// parent.
pub(crate) fn forge_notification(args: &[String]) {
    let (who, count) = arguments(args, 1000);
    sys::alarm(LIFE_LIMIT);
    let aim = Aim::new();
    let [forger, bystander] = [Proc::new("forger"), Proc::new("bystander")];
    if who != "parent" {
        forger.fork(|| {
            sys::alarm(LIFE_LIMIT);
            if who == "other-parent" {
                bystander.fork(|| sys::pause_forever());
            }
            forge_ignoring(aim);
            if who == "other-parent" {
                kill_and_reap(bystander);
            }
            0
        });
    }
    let (mut pids, mut longest) = (Vec::with_capacity(count), 0);
    for _ in 0..count {
        let begin = now();
        let pid = sys::fork();
        if pid == 0 {
            sys::alarm(LIFE_LIMIT);
            aim.at(sys::getpid());
            sys::exit_group(3);
        }
        pids.push(pid as u32);
        let reap = || {
            wait_until_zombie(pid);
            sys::sleep_ms(HOLD_MS);
            assert_eq!(sys::wait4(pid, 0), Some((pid, 3 << 8)), "the parent's wait");
        };
        if who == "parent" {
            aim.meanwhile(pid, reap);
        } else {
            reap();
        }
        longest = longest.max(now() - begin);
    }
    aim.stop();
    if who != "parent" {
        forger.reap();
        forger.truth().emit();
    }
    if who == "other-parent" {
        bystander.truth().emit();
    }
    print_line(&Line::Many(Many {
        comm: "scenario".into(),
        ppid: sys::global_pid(),
        pids,
        exit_code: 3,
        max_zombie_ns: longest,
    }));
}

/// `hide-zombie stranger|parent [N]`: N processes try to hide that they are zombies. The leader ends
/// first; while the last thread takes its time to end, an accomplice that ignores SIGCHLD pretends
/// that it has.
pub(crate) fn hide_zombie(args: &[String]) {
    let (who, count) = arguments(args, 20);
    sys::alarm(LIFE_LIMIT);
    let aim = Aim::new();
    let forger = Proc::new("forger");
    let children: Vec<_> = (0..count).map(|_| Proc::new("child")).collect();
    if who != "parent" {
        forger.fork(|| {
            sys::alarm(LIFE_LIMIT);
            forge_ignoring(aim);
            0
        });
    }
    for child in children {
        if who == "parent" {
            sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
        }
        child.fork(|| {
            sys::alarm(LIFE_LIMIT);
            sys::touch_memory(SLOW_TO_END);
            threads::leader_ends(5, move || {
                aim.at(sys::getpid());
                child.ends_now();
                sys::exit_thread(5)
            })
        });
        let truth = if who == "parent" {
            aim.meanwhile(child.local_pid(), || {
                wait_for(|| (child.ended() != 0).then_some(()));
                sys::sleep_ms(1);
                sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
                reap_unless_gone(child)
            })
        } else {
            child.poll_birth();
            hold_and_reap(child);
            child.truth()
        };
        truth.flag("leader-exited-early").emit();
    }
    aim.stop();
    if who != "parent" {
        forger.reap();
        forger.truth().emit();
    }
}

/// Reaps a child unless it ended while SIGCHLD was still ignored.
fn reap_unless_gone(child: Proc) -> zombie_trace_e2e::Truth {
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    let pid = child.local_pid();
    let zombie = wait_for(|| {
        let zombie = sys::waitid(libc::P_PID, pid as u32, options).is_some();
        (zombie || !sys::kill(pid, 0)).then_some(zombie)
    });
    if !zombie {
        return child.truth().code(5).autoreaped();
    }
    child.born(Span {
        lo: child.ended(),
        hi: now(),
    });
    hold_and_reap(child);
    child.truth()
}

/// `steal-reap [N]`: a thief says that it reaped the N children of another process, which reaps them
/// in a way that does not say which. The thief has a child of its own to wait for, and a thread that
/// writes the other's pid over what the kernel answers.
pub(crate) fn steal_reap(args: &[String]) {
    let count = args
        .first()
        .map_or(200, |arg| arg.parse().expect("steal-reap N"));
    sys::alarm(LIFE_LIMIT);
    let aim = Aim::new();
    let [thief, bait] = [Proc::new("thief"), Proc::new("bait")];
    let children: Vec<_> = (0..count).map(|_| Proc::new("child")).collect();
    thief.fork(|| {
        sys::alarm(LIFE_LIMIT);
        bait.fork(|| sys::pause_forever());
        steal(aim);
        kill_and_reap(bait);
        0
    });
    for child in &children {
        child.fork(|| 3);
        child.poll_birth();
        let pid = child.local_pid();
        child.reap_by(|| sys::waitid_null(libc::P_ALL, 0, libc::WEXITED).then_some((pid, 3 << 8)));
        // Until the kernel frees the child, some milliseconds later, anyone can say that it did it.
        aim.at(pid);
    }
    aim.stop();
    thief.reap();
    for child in children {
        let mut truth = child.truth().how("waitid").flag_maybe("bounded-end");
        // The tracepoint backend may have to leave open who did it.
        truth.how.push("unknown".into());
        truth.emit();
    }
    thief.truth().emit();
    bait.truth().emit();
}

/// Tries to steal each target's reap many times. Both threads go before all others, so that they
/// run at the same time.
fn steal(aim: Aim) {
    const TRIES: u32 = 300;
    sys::run_first(1);
    // SAFETY: all zero is a valid siginfo.
    let answer: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let answer = ptr::from_mut(Box::leak(Box::new(answer)));
    // SAFETY: `si_pid` is an aligned int of a siginfo that is never freed.
    let si_pid: &'static AtomicI32 = unsafe { &*answer.byte_add(16).cast() };
    let next = move || {
        let target = aim.target.get();
        (target != 0 && target != aim.attacked.get()).then_some(target)
    };
    thread::spawn(move || {
        loop {
            let target = wait_for(next) as pid_t;
            for _ in 0..1000 {
                si_pid.store(target, SeqCst);
            }
            // With one CPU, the other thread needs it.
            thread::yield_now();
        }
    });
    loop {
        match wait_for(next) {
            STOP => break,
            target => {
                for _ in 0..TRIES {
                    sys::waitid_to(answer, libc::WEXITED | libc::WNOHANG);
                }
                aim.attacked.pass(target);
            }
        }
    }
}

/// Forges while SIGCHLD is ignored, as if the kernel were to reap the target at once.
fn forge_ignoring(aim: Aim) {
    sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
    aim.attack(sys::forge_sigchld);
    sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
}

fn kill_and_reap(child: Proc) {
    child.pid();
    child.ends_now();
    sys::kill(child.local_pid(), libc::SIGKILL);
    child.poll_birth();
    child.reap();
}

fn hold_and_reap(child: Proc) {
    sys::sleep_ms(10);
    child.reap();
}

fn wait_until_zombie(pid: pid_t) {
    let options = libc::WEXITED | libc::WNOWAIT;
    let seen = sys::waitid(libc::P_PID, pid as u32, options);
    assert!(seen.is_some(), "the look");
}

fn arguments(args: &[String], count: usize) -> (&str, usize) {
    let who = args.first().expect("who attacks");
    let count = args
        .get(1)
        .map_or(count, |arg| arg.parse().expect("a number"));
    (who, count)
}
