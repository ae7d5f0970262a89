use nix::libc::{self, c_int};

use super::{
    Disposition, Facts, ParentFacts, State, ThreadFacts, Wait, WaitTarget, ZombieFacts,
    facts::WNOTHREAD,
};
use crate::model::{Cause, Diagnosis};

/// Why the zombie is still there, as far as the facts prove it.
pub fn diagnose(facts: Facts<'_>) -> Diagnosis {
    let (cause, finding) = find(facts);
    Diagnosis {
        cause,
        finding: finding.into(),
    }
}

fn find(Facts { zombie, parent }: Facts<'_>) -> (Cause, String) {
    if !zombie.live_threads.is_empty() {
        return (Cause::LeaderWithThreads, still_running(zombie));
    }
    if let Some(tracer) = &zombie.tracer
        && parent.is_none_or(|parent| parent.pid != tracer.pid)
    {
        let finding = format!(
            "process {} ({}) traces it and has not waited for it",
            tracer.pid,
            tracer.comm.to_str()
        );
        return (Cause::HeldByTracer, finding);
    }
    let Some(parent) = parent else {
        let finding = "its parent can't be seen from here".to_owned();
        return (Cause::Unknown, finding);
    };
    let (cause, what) = of_parent(zombie, parent);
    let name = format!("the parent {} ({})", parent.pid, parent.comm.to_str());
    (cause, format!("{name} {what}"))
}

fn still_running(zombie: &ZombieFacts) -> String {
    const NAMED: usize = 5;
    let count = zombie.live_threads.len();
    let mut names: Vec<_> = zombie.live_threads[..count.min(NAMED)]
        .iter()
        .map(|comm| comm.to_str())
        .collect();
    names.dedup();
    let more = if count > NAMED { ", …" } else { "" };
    let live = if count == 1 {
        "thread lives"
    } else {
        "threads live"
    };
    format!(
        "its main thread has ended, but {count} {live} on ({}{more}): it can't be reaped before",
        names.join(", ")
    )
}

/// The rest of a sentence that begins with the parent.
fn of_parent(zombie: &ZombieFacts, parent: &ParentFacts) -> (Cause, String) {
    let threads = &parent.threads;
    let all = |test: fn(&ThreadFacts) -> bool| !threads.is_empty() && threads.iter().all(test);
    let say = |cause, text: &str| (cause, text.to_owned());

    if threads.is_empty() || parent.exiting {
        return say(
            Cause::ParentExiting,
            "is ending itself; another process then inherits its zombies",
        );
    }
    let refrigerated = |thread: &ThreadFacts| {
        let functions = ["do_freezer_trap", "__refrigerator"];
        thread
            .wchan
            .as_deref()
            .is_some_and(|wchan| functions.contains(&wchan))
    };
    if parent.frozen == Some(true) || threads.iter().all(refrigerated) {
        return say(Cause::ParentFrozen, "is frozen with its cgroup");
    }
    if all(|thread| thread.state == State::Stopped) {
        return say(Cause::ParentStopped, "is stopped (state T)");
    }
    if all(|thread| thread.state == State::TracingStop) {
        return say(
            Cause::ParentTraced,
            "is stopped by its tracer, such as a debugger (state t)",
        );
    }

    let waiting = |thread: &&ThreadFacts| eligible(thread, zombie, parent);
    if threads.iter().any(|thread| waiting(&thread)) {
        return say(Cause::Unknown, "waits for it, and should have reaped it");
    }
    if all(|thread| thread.starved) {
        return say(
            Cause::ParentStarved,
            "could run, but got no CPU while it was watched (state R)",
        );
    }
    if all(|thread| thread.state == State::Uninterruptible) {
        let function = threads.iter().find_map(|thread| thread.wchan.as_deref());
        let place = function.map_or_else(String::new, |function| format!(" in {function}"));
        return (
            Cause::ParentUninterruptible,
            format!("is in uninterruptible sleep{place} (state D)"),
        );
    }
    if threads.iter().any(|thread| thread.wait == Wait::Foreign) {
        return say(
            Cause::Unknown,
            "is in a wait whose arguments can't be read (a 32-bit program?)",
        );
    }
    if let Some(found) = threads
        .iter()
        .find_map(|thread| misses(thread, zombie, parent))
    {
        return found;
    }
    if let Some(signal) = zombie.exit_signal
        && signal != libc::SIGCHLD
    {
        return (Cause::NoSigchld, other_signal(signal));
    }

    let unreadable = threads.iter().find_map(|thread| match thread.wait {
        Wait::Unreadable(why) => Some(why),
        _ => None,
    });
    let pending = parent.pending || threads.iter().any(|thread| thread.pending);
    let blocked = all(|thread| thread.blocks_sigchld);
    if pending && blocked {
        let sleeps = if unreadable.is_some() {
            "has not taken it"
        } else {
            "does not wait"
        };
        return (
            Cause::BlocksSigchld,
            format!("blocks SIGCHLD, which is pending, and {sleeps}"),
        );
    }
    if let Some(why) = unreadable {
        let does = match parent.sigchld {
            Disposition::Default => "does not handle",
            Disposition::Ignore => "ignores",
            Disposition::Handler => "handles",
        };
        return (
            Cause::Unknown,
            format!("{does} SIGCHLD; whether it waits for another child can't be read {why}"),
        );
    }
    match parent.sigchld {
        Disposition::Ignore => say(
            Cause::IgnoresSigchld,
            "ignores SIGCHLD now, but did not yet when it died, and does not wait",
        ),
        Disposition::Handler if pending => {
            say(Cause::Unknown, "has SIGCHLD pending, but has not taken it")
        }
        Disposition::Handler => say(
            Cause::HandlerLeavesIt,
            "handles SIGCHLD, which is not pending any more, but has not reaped it and does not \
             wait",
        ),
        Disposition::Default if parent.is_init => say(
            Cause::InitNeverWaits,
            "is the first process of its pid namespace, so it inherits orphans, but it neither \
             handles SIGCHLD nor waits: it is no init",
        ),
        Disposition::Default if threads.iter().any(|thread| thread.state == State::Runnable) => {
            say(
                Cause::ParentBusy,
                "does not handle SIGCHLD, and is running instead of waiting",
            )
        }
        Disposition::Default => {
            let function = threads.first().and_then(|thread| thread.wchan.as_deref());
            let place =
                function.map_or_else(String::new, |function| format!(": it sleeps in {function}"));
            (
                Cause::NeverWaits,
                format!("neither handles SIGCHLD nor waits{place}"),
            )
        }
    }
}

fn other_signal(signal: c_int) -> String {
    let signal = match signal {
        0 => "no signal".to_owned(),
        _ => nix::sys::signal::Signal::try_from(signal)
            .map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string()),
    };
    format!(
        "was sent {signal} at its death (exit_signal), not SIGCHLD, and does not wait with __WALL \
         or __WCLONE"
    )
}

/// Whether a thread's wait would reap it (`eligible_child` and `eligible_pid`, kernel/exit.c).
fn eligible(thread: &ThreadFacts, zombie: &ZombieFacts, parent: &ParentFacts) -> bool {
    let Wait::For { target, options } = thread.wait else {
        return false;
    };
    targets(target, zombie, parent)
        && flags_fit(options, zombie)
        && looks_at(thread, options, zombie) == Some(true)
}

/// Whether the wait looks at it at all; `None` if it can't be told which thread made it.
fn looks_at(thread: &ThreadFacts, options: u32, zombie: &ZombieFacts) -> Option<bool> {
    if options & WNOTHREAD == 0 {
        return Some(true);
    }
    let pid = zombie.pids.first()?;
    Some(thread.own_children.as_ref()?.contains(pid))
}

fn flags_fit(options: u32, zombie: &ZombieFacts) -> bool {
    let has = |flag: c_int| options & flag.cast_unsigned() != 0;
    let clone_child = zombie
        .exit_signal
        .is_some_and(|signal| signal != libc::SIGCHLD);
    has(libc::WEXITED) && (has(libc::__WALL) || clone_child == has(libc::__WCLONE))
}

fn targets(target: WaitTarget, zombie: &ZombieFacts, parent: &ParentFacts) -> bool {
    let seen_by_parent = |numbers: &[u32]| numbers.get(parent.pid_level).copied();
    match target {
        WaitTarget::Any => true,
        WaitTarget::Pid(pid) => seen_by_parent(&zombie.pids) == Some(pid),
        WaitTarget::Group(0) => seen_by_parent(&zombie.groups) == Some(parent.group),
        WaitTarget::Group(group) => seen_by_parent(&zombie.groups) == Some(group),
        WaitTarget::Pidfd(pid) => zombie.pids.first() == Some(&pid),
    }
}

/// Why a wait does not reap it.
fn misses(
    thread: &ThreadFacts,
    zombie: &ZombieFacts,
    parent: &ParentFacts,
) -> Option<(Cause, String)> {
    let Wait::For { target, options } = thread.wait else {
        return None;
    };
    if targets(target, zombie, parent) {
        let cause = Cause::WaitsWithoutFlags;
        let (cause, how) = if options & libc::WEXITED.cast_unsigned() == 0 {
            (cause, "without WEXITED: for stops, not for ends")
        } else if !flags_fit(options, zombie) {
            (
                cause,
                "for children of the other kind (__WCLONE, or neither __WALL nor __WCLONE)",
            )
        } else if looks_at(thread, options, zombie) == Some(false) {
            (
                cause,
                "with __WNOTHREAD for the children of one thread, and another thread made this one",
            )
        } else {
            (
                Cause::Unknown,
                "with __WNOTHREAD, and which of its threads made this one can't be read",
            )
        };
        return Some((cause, format!("waits {how}")));
    }
    let whom = match target {
        WaitTarget::Any => return None,
        WaitTarget::Pid(pid) | WaitTarget::Pidfd(pid) if pid != 0 => format!("process {pid}"),
        WaitTarget::Pid(_) | WaitTarget::Pidfd(_) => "another process".to_owned(),
        WaitTarget::Group(0) => "its own process group".to_owned(),
        WaitTarget::Group(group) => format!("process group {group}"),
    };
    Some((
        Cause::WaitsForOther,
        format!("is blocked in a wait for {whom} alone"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cause::{Tracer, Unreadable},
        model::Comm,
    };

    fn zombie() -> ZombieFacts {
        ZombieFacts {
            exit_signal: Some(libc::SIGCHLD),
            pids: vec![100, 7],
            groups: vec![90, 3],
            ..ZombieFacts::default()
        }
    }

    fn thread() -> ThreadFacts {
        ThreadFacts {
            tid: 50,
            state: State::Sleeping,
            starved: false,
            blocks_sigchld: false,
            pending: false,
            wchan: None,
            wait: Wait::None,
            own_children: None,
        }
    }

    fn parent() -> ParentFacts {
        ParentFacts {
            pid: 50,
            comm: Comm::from("parent"),
            sigchld: Disposition::Default,
            pending: false,
            is_init: false,
            frozen: Some(false),
            pid_level: 0,
            group: 90,
            threads: vec![thread()],
            exiting: false,
        }
    }

    fn cause(zombie: &ZombieFacts, parent: &ParentFacts) -> Cause {
        diagnose(Facts {
            zombie,
            parent: Some(parent),
        })
        .cause
    }

    fn with(change: impl FnOnce(&mut ParentFacts)) -> Cause {
        let mut parent = parent();
        change(&mut parent);
        cause(&zombie(), &parent)
    }

    fn waiting(target: WaitTarget, options: c_int) -> Wait {
        Wait::For {
            target,
            options: options.cast_unsigned(),
        }
    }

    #[test]
    fn the_disposition_tells() {
        assert_eq!(with(|_| {}), Cause::NeverWaits);
        assert_eq!(with(|parent| parent.is_init = true), Cause::InitNeverWaits);
        let handles = |parent: &mut ParentFacts| parent.sigchld = Disposition::Handler;
        assert_eq!(with(handles), Cause::HandlerLeavesIt);
        let ignores = |parent: &mut ParentFacts| parent.sigchld = Disposition::Ignore;
        assert_eq!(with(ignores), Cause::IgnoresSigchld);
    }

    #[test]
    fn a_blocked_signal_is_blocked_by_every_thread() {
        let block = |parent: &mut ParentFacts| {
            parent.pending = true;
            parent.threads[0].blocks_sigchld = true;
        };
        assert_eq!(with(block), Cause::BlocksSigchld);
        let one_of_two = |parent: &mut ParentFacts| {
            block(parent);
            parent.sigchld = Disposition::Handler;
            parent.threads.push(thread());
        };
        assert_eq!(with(one_of_two), Cause::Unknown);
    }

    #[test]
    fn the_state_of_the_parent_tells() {
        let states = [
            (State::Stopped, Cause::ParentStopped),
            (State::TracingStop, Cause::ParentTraced),
            (State::Uninterruptible, Cause::ParentUninterruptible),
        ];
        for (state, expected) in states {
            assert_eq!(with(|parent| parent.threads[0].state = state), expected);
            let one_of_two = |parent: &mut ParentFacts| {
                parent.threads[0].state = state;
                parent.threads.push(thread());
            };
            assert_eq!(with(one_of_two), Cause::NeverWaits);
        }
        assert_eq!(
            with(|parent| parent.frozen = Some(true)),
            Cause::ParentFrozen
        );
        let trapped = |parent: &mut ParentFacts| {
            parent.frozen = None;
            parent.threads[0].wchan = Some("do_freezer_trap".to_owned());
        };
        assert_eq!(with(trapped), Cause::ParentFrozen);
        assert_eq!(
            with(|parent| parent.threads.clear()),
            Cause::ParentExiting,
            "of a parent without threads"
        );
    }

    #[test]
    fn a_runnable_parent_is_busy_or_starved() {
        let run = |starved| {
            with(|parent| {
                parent.threads[0].state = State::Runnable;
                parent.threads[0].starved = starved;
            })
        };
        assert_eq!(run(false), Cause::ParentBusy);
        assert_eq!(run(true), Cause::ParentStarved);
    }

    #[test]
    fn a_wait_is_for_it_or_for_another() {
        let waits = |target, options| {
            with(|parent| parent.threads[0].wait = waiting(target, libc::WEXITED | options))
        };
        assert_eq!(waits(WaitTarget::Any, 0), Cause::Unknown);
        assert_eq!(waits(WaitTarget::Pid(100), 0), Cause::Unknown);
        assert_eq!(waits(WaitTarget::Pid(101), 0), Cause::WaitsForOther);
        assert_eq!(waits(WaitTarget::Group(0), 0), Cause::Unknown);
        assert_eq!(waits(WaitTarget::Group(4), 0), Cause::WaitsForOther);
        assert_eq!(waits(WaitTarget::Pidfd(100), 0), Cause::Unknown);
        assert_eq!(waits(WaitTarget::Pidfd(0), 0), Cause::WaitsForOther);
        assert_eq!(
            waits(WaitTarget::Any, libc::__WCLONE),
            Cause::WaitsWithoutFlags
        );
        let stops_only = with(|parent| {
            parent.threads[0].wait = waiting(WaitTarget::Any, libc::WSTOPPED);
        });
        assert_eq!(stops_only, Cause::WaitsWithoutFlags);
    }

    #[test]
    fn a_parent_in_a_nested_namespace_has_numbers_of_its_own() {
        let waits = |pid| {
            with(|parent| {
                parent.pid_level = 1;
                parent.threads[0].wait = waiting(WaitTarget::Pid(pid), libc::WEXITED);
            })
        };
        assert_eq!(waits(7), Cause::Unknown);
        assert_eq!(waits(100), Cause::WaitsForOther);
    }

    #[test]
    fn one_waiting_thread_of_several_is_enough() {
        let cause = with(|parent| {
            parent.threads.push(ThreadFacts {
                wait: waiting(WaitTarget::Any, libc::WEXITED),
                ..thread()
            });
        });
        assert_eq!(cause, Cause::Unknown);
    }

    /// Not unknown for another reason, such as a wait that can't be read.
    #[test]
    fn a_wait_that_should_have_reaped_it_is_told() {
        let all = libc::WEXITED;
        for (target, options, pid_level) in [
            (WaitTarget::Any, all, 0),
            (WaitTarget::Any, all | libc::__WALL, 0),
            (WaitTarget::Pid(100), all, 0),
            (WaitTarget::Group(0), all, 0),
            (WaitTarget::Pidfd(100), all, 0),
            (WaitTarget::Pid(7), all, 1),
        ] {
            for thread_before in [false, true] {
                let mut parent = parent();
                parent.pid_level = pid_level;
                if thread_before {
                    parent.threads.insert(0, thread());
                }
                let last = parent.threads.last_mut().unwrap();
                last.wait = waiting(target, options);
                let (zombie, parent) = (&zombie(), Some(&parent));
                let found = diagnose(Facts { zombie, parent });
                assert_eq!(found.cause, Cause::Unknown);
                assert!(found.finding.contains("should have reaped it"), "{found:?}");
            }
        }
    }

    #[test]
    fn a_clone_child_needs_flags() {
        let child = ZombieFacts {
            exit_signal: Some(0),
            ..zombie()
        };
        let mut parent = parent();
        assert_eq!(cause(&child, &parent), Cause::NoSigchld);
        for (options, expected) in [
            (0, Cause::WaitsWithoutFlags),
            (libc::__WALL, Cause::Unknown),
            (libc::__WCLONE, Cause::Unknown),
        ] {
            parent.threads[0].wait = waiting(WaitTarget::Any, libc::WEXITED | options);
            assert_eq!(cause(&child, &parent), expected, "{options:x}");
        }
    }

    #[test]
    fn a_thread_may_wait_for_its_own_children_alone() {
        let waits = |own_children: Option<Vec<u32>>| {
            let mut parent = parent();
            parent.threads[0].wait = waiting(WaitTarget::Any, libc::WEXITED | libc::__WNOTHREAD);
            parent.threads[0].own_children = own_children;
            let (zombie, parent) = (&zombie(), Some(&parent));
            diagnose(Facts { zombie, parent })
        };
        let own = waits(Some(vec![99, 100]));
        assert_eq!(own.cause, Cause::Unknown);
        assert!(own.finding.contains("should have reaped it"), "{own:?}");
        assert_eq!(waits(Some(vec![99])).cause, Cause::WaitsWithoutFlags);
        let unread = waits(None);
        assert_eq!(unread.cause, Cause::Unknown);
        assert!(!unread.finding.contains("reaped"), "{unread:?}");
    }

    #[test]
    fn a_tracer_goes_first_unless_it_is_the_parent() {
        let traced = |pid| ZombieFacts {
            tracer: Some(Tracer {
                pid,
                comm: Comm::from("strace"),
            }),
            ..zombie()
        };
        assert_eq!(cause(&traced(60), &parent()), Cause::HeldByTracer);
        assert_eq!(cause(&traced(50), &parent()), Cause::NeverWaits);
    }

    #[test]
    fn threads_that_live_on_are_named() {
        let leader = ZombieFacts {
            live_threads: vec![Comm::from("worker"), Comm::from("worker")],
            ..zombie()
        };
        let diagnosis = diagnose(Facts {
            zombie: &leader,
            parent: Some(&parent()),
        });
        assert_eq!(diagnosis.cause, Cause::LeaderWithThreads);
        assert!(
            diagnosis.finding.contains("2 threads live on (worker)"),
            "{}",
            diagnosis.finding
        );
    }

    #[test]
    fn what_cant_be_read_is_not_guessed() {
        let unreadable = |parent: &mut ParentFacts| {
            parent.threads[0].wait = Wait::Unreadable(Unreadable::NoCapability);
        };
        assert_eq!(with(unreadable), Cause::Unknown);
        let foreign = |parent: &mut ParentFacts| parent.threads[0].wait = Wait::Foreign;
        assert_eq!(with(foreign), Cause::Unknown);
        let unseen = diagnose(Facts {
            zombie: &zombie(),
            parent: None,
        });
        assert_eq!(unseen.cause, Cause::Unknown);
    }
}
