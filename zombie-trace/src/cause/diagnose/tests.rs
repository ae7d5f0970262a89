use super::*;
use crate::{
    cause::{Frozen, PipeFacts, Rivals, TracerFacts, Unreadable, rivals},
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
        frozen: None,
        pid_level: 0,
        group: 90,
        threads: vec![thread()],
        exiting: false,
        runtime: None,
        background: false,
        ignores_keyboard: false,
        has_signalfd: Some(false),
        pidfds: Vec::new(),
        vfork: None,
        pipe: None,
        mask_from: None,
        age_ns: None,
        cpu_limit: None,
    }
}

fn cause(zombie: &ZombieFacts, parent: &ParentFacts) -> Cause {
    diagnose(Facts {
        zombie,
        parent: Some(parent),
        history: None,
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
fn a_mask_may_be_inherited() {
    let found = with_history(old(), |parent| {
        parent.pending = true;
        parent.threads[0].blocks_sigchld = true;
        parent.mask_from = Some(other(9));
    });
    assert_eq!(found.cause, Cause::BlocksSigchld);
    assert!(
        found.finding.ends_with(
            "; process 9 (other), its own parent, blocks it too: the mask may be inherited"
        ),
        "{found:?}"
    );
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
        with(|parent| parent.frozen = Some(frozen(&["/cg/a/cgroup.freeze"]))),
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
            let found = diagnose(Facts {
                zombie,
                parent,
                history: None,
            });
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
fn a_wait_that_cannot_be_read_may_be_one_for_clone_children() {
    let child = ZombieFacts {
        exit_signal: Some(0),
        ..zombie()
    };
    let mut parent = parent();
    parent.threads[0].wait = Wait::Unreadable(Unreadable::NoCapability);
    let found = diagnose(Facts {
        zombie: &child,
        parent: Some(&parent),
        history: None,
    });
    assert_eq!(found.cause, Cause::Unknown);
    assert!(
        found.finding.ends_with(
            "gets no signal for this child instead of SIGCHLD (its exit_signal); whether it waits with \
             __WALL or __WCLONE can't be read without CAP_SYS_PTRACE"
        ),
        "{}",
        found.finding
    );
}

#[test]
fn the_kernel_knows_that_nobody_waits_where_system_calls_cannot_be_read() {
    let diagnosis = |parent: &ParentFacts| {
        diagnose(Facts {
            zombie: &zombie(),
            parent: Some(parent),
            history: None,
        })
    };
    let mut parent = parent();
    parent.threads[0].wait = Wait::Unreadable(Unreadable::NoCapability);
    parent.threads[0].wchan = None;
    assert_eq!(diagnosis(&parent).cause, Cause::Unknown);
    parent.waits_for_nobody();
    let found = diagnosis(&parent);
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(
        found.finding.ends_with("is not waiting now"),
        "{}",
        found.finding
    );
    // A wait that can be read stays.
    parent.threads[0].wait = waiting(WaitTarget::Pid(7), libc::WEXITED);
    parent.waits_for_nobody();
    assert_ne!(parent.threads[0].wait, Wait::None);
}

#[test]
fn a_thread_may_wait_for_its_own_children_alone() {
    let waits = |own_children: Option<Vec<u32>>| {
        let mut parent = parent();
        parent.threads[0].wait = waiting(WaitTarget::Any, libc::WEXITED | libc::__WNOTHREAD);
        parent.threads[0].own_children = own_children;
        let (zombie, parent) = (&zombie(), Some(&parent));
        diagnose(Facts {
            zombie,
            parent,
            history: None,
        })
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
        tracer: Some(TracerFacts {
            pid,
            comm: Comm::from("strace"),
            stopped: false,
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
        history: None,
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
        history: None,
    });
    assert_eq!(unseen.cause, Cause::Unknown);
}

/// Nothing is known but that the zombie is not new.
fn old() -> History {
    History {
        age_ns: 1_000_000_000,
        ..History::default()
    }
}

#[test]
fn a_new_zombie_has_no_cause_yet() {
    let history = History {
        age_ns: 2_000_000,
        ..History::default()
    };
    let found = with_history(history, |parent| parent.sigchld = Disposition::Handler);
    assert_eq!(found.cause, Cause::Unknown);
    assert!(found.finding.ends_with("has had only 2.00 ms to reap it"));
    let stopped = with_history(history, |parent| parent.threads[0].state = State::Stopped);
    assert_eq!(stopped.cause, Cause::ParentStopped);
}

#[test]
fn an_init_that_waits_for_one_child_is_not_called_idle() {
    let found = with_history(old(), |parent| {
        parent.is_init = true;
        parent.threads[0].wait = waiting(WaitTarget::Pid(101), libc::WEXITED);
    });
    assert_eq!(found.cause, Cause::InitNeverWaits);
    assert!(
        found
            .finding
            .ends_with("but it is blocked in a wait for process 101 alone"),
        "{found:?}"
    );
}

#[test]
fn an_init_that_takes_sigchld_has_a_second() {
    let found = |age_ns, runtime| {
        let history = History {
            age_ns,
            ..History::default()
        };
        with_history(history, |parent| {
            parent.is_init = true;
            parent.sigchld = Disposition::Handler;
            parent.runtime = Some(runtime);
        })
    };
    use LanguageRuntime::{C, Node};
    assert_eq!(found(900_000_000, C).cause, Cause::Unknown);
    assert_eq!(found(1_100_000_000, C).cause, Cause::InitNeverWaits);
    assert_eq!(found(900_000_000, Node).cause, Cause::InitNeverWaits);
}

#[test]
fn a_thread_that_waits_for_signals_takes_them() {
    let found = with_history(old(), |parent| {
        parent.threads[0].blocks_sigchld = true;
        let waits = ThreadFacts {
            tid: 51,
            wchan: Some("do_sigtimedwait".to_owned()),
            ..thread()
        };
        parent.threads.push(waits);
    });
    assert_eq!(found.cause, Cause::SignalfdLeavesIt);
    assert!(found.finding.contains("(thread 51 is in it)"), "{found:?}");
}

fn with_history(history: History, change: impl FnOnce(&mut ParentFacts)) -> Diagnosis {
    let mut parent = parent();
    change(&mut parent);
    diagnose(Facts {
        zombie: &zombie(),
        parent: Some(&parent),
        history: Some(&history),
    })
}

fn other(pid: u32) -> OtherProcess {
    OtherProcess {
        pid,
        comm: "other".into(),
        wchan: Some("fuse_dev".to_owned()),
    }
}

#[test]
fn time_needs_a_history() {
    let (zombie, parent) = (&zombie(), &parent());
    let now = diagnose(Facts {
        zombie,
        parent: Some(parent),
        history: None,
    });
    assert_eq!(
        &*now.finding,
        "the parent 50 (parent) does not handle SIGCHLD and is not waiting now"
    );
    let watched = with_history(
        History {
            watched_ns: 12_300_000_000,
            age_ns: 1_000_000_000,
            reaps: Some(ReapHistory::default()),
            ..old()
        },
        |_| {},
    );
    assert!(
        watched
            .finding
            .ends_with("has reaped no child in the 12.3 s that it was watched"),
        "{watched:?}"
    );
}

/// Reaps one child per second; each waits for its turn.
fn slow() -> (History, ReapHistory, Pace) {
    let pace = Pace {
        rounds: 10,
        reaped: 10,
        every_ns: 1_000_000_000,
        longest_ns: 1_100_000_000,
        longest_zombie_ns: 6_000_000_000,
        before_starts: false,
    };
    let reaps = ReapHistory {
        count: 10,
        since_last_ns: 500_000_000,
        passed_over: 0,
        passed_over_more: false,
        pace: Some(pace),
    };
    let history = History {
        watched_ns: 10_000_000_000,
        age_ns: 7_000_000_000,
        zombies: 67,
        reaps: Some(reaps),
        handler: None,
    };
    (history, reaps, pace)
}

fn reaping(history: History, reaps: ReapHistory, pace: Pace) -> Diagnosis {
    let reaps = ReapHistory {
        pace: Some(pace),
        ..reaps
    };
    let history = History {
        reaps: Some(reaps),
        ..history
    };
    with_history(history, |_| {})
}

#[test]
fn one_that_reaps_in_its_own_time_reaps_late() {
    let (history, reaps, pace) = slow();
    let found = with_history(history, |_| {});
    assert_eq!(found.cause, Cause::ReapsLate);
    assert!(
        found
            .finding
            .contains("reaps one child every 1.00 s on average")
    );
    assert!(
        found.finding.ends_with("and has 67 zombies now"),
        "{found:?}"
    );
    let three = Pace { reaped: 30, ..pace };
    let finding = reaping(history, reaps, three).finding;
    assert!(finding.contains("every 1.00 s on average, 3.0 children each time"));
    let before = Pace {
        before_starts: true,
        ..pace
    };
    let finding = reaping(history, reaps, before).finding;
    assert!(finding.contains("every 1.00 s on average, just before it starts the next child"));
}

#[test]
fn one_that_reaps_others_is_not_late_with_this_one() {
    let (history, reaps, pace) = slow();
    let stopped = ReapHistory {
        since_last_ns: 5_000_000_000,
        ..reaps
    };
    assert_eq!(reaping(history, stopped, pace).cause, Cause::NeverWaits);
    // It reaps at once what it waits for.
    let prompt = Pace {
        longest_zombie_ns: 1_000_000,
        ..pace
    };
    assert_eq!(reaping(history, reaps, prompt).cause, Cause::NeverWaits);
    let over = ReapHistory {
        passed_over: 3,
        ..reaps
    };
    assert_eq!(reaping(history, over, pace).cause, Cause::ReapsLate);
    let longer = History {
        age_ns: 60_000_000_000,
        ..history
    };
    let found = reaping(longer, over, pace);
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(
        found
            .finding
            .contains("although it has reaped 3 children that died after it")
    );
    let many = ReapHistory {
        passed_over: 16,
        passed_over_more: true,
        ..over
    };
    let found = reaping(longer, many, pace).finding;
    assert!(
        found.contains("it has reaped at least 16 children that died after it"),
        "{found}"
    );
}

#[test]
fn a_handler_coalesces_signals_only_if_it_reaps_one_each_time() {
    let found = |runs, deaths, count| {
        let history = History {
            watched_ns: 9_000_000_000,
            age_ns: 1_000_000_000,
            handler: Some(HandlerHistory { runs, deaths }),
            reaps: Some(ReapHistory {
                count,
                ..ReapHistory::default()
            }),
            ..old()
        };
        with_history(history, |parent| parent.sigchld = Disposition::Handler)
    };
    let one_each = found(2, 5, 2);
    assert_eq!(one_each.cause, Cause::SignalsCoalesced);
    let text =
        "ran 2 times for 5 deaths, and has reaped 2 children in the 9.00 s that it was watched";
    assert!(one_each.finding.contains(text), "{one_each:?}");
    assert_eq!(found(2, 5, 4).cause, Cause::HandlerLeavesIt);
    assert_eq!(found(3, 3, 2).cause, Cause::HandlerLeavesIt);
    assert_eq!(found(0, 1, 0).cause, Cause::HandlerLeavesIt);
}

#[test]
fn without_all_reaps_nothing_is_said_of_them() {
    let (history, ..) = slow();
    let history = History {
        reaps: None,
        ..history
    };
    let found = with_history(history, |_| {});
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(!found.finding.contains("reaped"), "{found:?}");
}

#[test]
fn a_handler_may_be_running() {
    let found = with_history(old(), |parent| {
        parent.sigchld = Disposition::Handler;
        parent.threads[0].blocks_sigchld = true;
    });
    assert_eq!(found.cause, Cause::HandlerLeavesIt);
    assert!(found.finding.contains("may be running"), "{found:?}");
}

#[test]
fn a_throttled_parent_is_called_that() {
    let found = with_history(old(), |parent| {
        parent.threads[0].starved = true;
        parent.cpu_limit = Some(CpuLimit {
            file: "/cg/my box/cpu.max".to_owned(),
            throttled: 7,
        });
    });
    assert_eq!(found.cause, Cause::ParentStarved);
    assert!(
        found
            .finding
            .ends_with("; /cg/my box/cpu.max has throttled its cgroup 7 times"),
        "{found:?}"
    );
    let advice = found.advice.unwrap_or_default();
    assert!(advice.contains("raise the limit in '/cg/my box/cpu.max'"));
}

#[test]
fn whose_child_it_is_goes_before_what_the_parent_does() {
    let of = |foreign, is_init| {
        let zombie = ZombieFacts {
            foreign,
            ..zombie()
        };
        let parent = ParentFacts {
            is_init,
            sigchld: Disposition::Handler,
            ..parent()
        };
        cause(&zombie, &parent)
    };
    assert_eq!(of(Some(true), false), Cause::ForeignChild);
    assert_eq!(of(Some(true), true), Cause::InitNeverWaits);
    assert_eq!(of(None, true), Cause::InitNeverWaits);
    assert_eq!(of(Some(false), true), Cause::HandlerLeavesIt);
    assert_eq!(of(None, false), Cause::HandlerLeavesIt);
}

#[test]
fn one_thread_that_waits_for_another_is_no_reason() {
    let wait = waiting(WaitTarget::Pid(101), libc::WEXITED);
    let threads = |threads: Vec<ThreadFacts>| with(|parent| parent.threads = threads);
    let waits = || ThreadFacts {
        wait: wait.clone(),
        ..thread()
    };
    let stuck = ThreadFacts {
        state: State::Uninterruptible,
        ..thread()
    };
    assert_eq!(threads(vec![waits(), waits()]), Cause::WaitsForOther);
    assert_eq!(threads(vec![waits(), thread()]), Cause::NeverWaits);
    assert_eq!(threads(vec![waits(), stuck]), Cause::WaitsForOther);
}

#[test]
fn system_is_known_by_what_it_does_with_signals() {
    let found = with_history(old(), |parent| {
        parent.ignores_keyboard = true;
        parent.threads[0].blocks_sigchld = true;
        parent.threads[0].wait = waiting(WaitTarget::Pid(101), libc::WEXITED);
    });
    assert_eq!(found.cause, Cause::WaitsForOther);
    assert!(found.finding.contains("system()") && found.finding.contains("process 101"));
}

#[test]
fn numbers_of_another_namespace_are_called_that() {
    let found = with_history(old(), |parent| {
        parent.pid_level = 1;
        parent.threads[0].wait = waiting(WaitTarget::Pid(20), libc::WEXITED);
    });
    assert!(
        found
            .finding
            .ends_with("process 20 of its own pid namespace alone"),
        "{found:?}"
    );
}

#[test]
fn descriptors_tell() {
    let signalfd = |pending| {
        with(|parent| {
            parent.has_signalfd = Some(true);
            parent.pending = pending;
            parent.threads[0].blocks_sigchld = true;
        })
    };
    assert_eq!(signalfd(false), Cause::SignalfdLeavesIt);
    assert_eq!(signalfd(true), Cause::BlocksSigchld);
    assert_eq!(with(|parent| parent.pidfds = vec![100]), Cause::HoldsPidfd);
    assert_eq!(with(|parent| parent.pidfds = vec![101]), Cause::NeverWaits);
    assert_eq!(
        with(|parent| parent.pipe = Some(pipe(50))),
        Cause::ParentReadsPipe
    );
    let found = found(|parent| {
        parent.pipe = Some(PipeFacts {
            is_terminal: true,
            ..pipe(50)
        });
    });
    assert!(
        found
            .finding
            .contains("is reading a pseudoterminal (descriptor 3)"),
        "{found:?}"
    );
}

fn pipe(tid: u32) -> PipeFacts {
    PipeFacts {
        tid,
        fd: 3,
        is_terminal: false,
        writer: other(7),
        group: 90,
        start_ticks: 5,
    }
}

fn found(change: impl FnOnce(&mut ParentFacts)) -> Diagnosis {
    let mut parent = parent();
    change(&mut parent);
    diagnose(Facts {
        zombie: &zombie(),
        parent: Some(&parent),
        history: None,
    })
}

#[test]
fn another_thread_reads_what_its_own_child_left() {
    let mut parent = parent();
    parent.threads.push(ThreadFacts {
        tid: 51,
        ..thread()
    });
    parent.pipe = Some(pipe(51));
    let of = |start_ticks, group| {
        let zombie = ZombieFacts {
            start_ticks,
            groups: vec![group],
            ..zombie()
        };
        diagnose(Facts {
            zombie: &zombie,
            parent: Some(&parent),
            history: None,
        })
    };
    let own = of(4, 90);
    assert_eq!(own.cause, Cause::ParentReadsPipe);
    assert!(own.finding.contains("has thread 51 reading a pipe"));
    // Of another group, or younger than who holds the pipe.
    assert_eq!(of(4, 91).cause, Cause::NeverWaits);
    assert_eq!(of(6, 90).cause, Cause::NeverWaits);
    assert_eq!(of(0, 90).cause, Cause::NeverWaits);
}

fn frozen(files: &[&str]) -> Frozen {
    Frozen {
        files: files.iter().map(|&file| file.to_owned()).collect(),
        thaw: "0",
    }
}

#[test]
fn the_advice_thaws_what_is_frozen() {
    let advice = |files: &[&str]| {
        let found = found(|parent| parent.frozen = Some(frozen(files)));
        found.advice.unwrap_or_default().to_string()
    };
    assert_eq!(
        advice(&["/cg/a/cgroup.freeze", r"/cg/b\x2d/cgroup.freeze"]),
        r"thaw its cgroup: echo 0 | sudo tee /cg/a/cgroup.freeze '/cg/b\x2d/cgroup.freeze'"
    );
    assert!(advice(&[]).starts_with("thaw its cgroup, or the one above it"));
}

#[test]
fn who_waits_for_another_child_waits_all_the_same() {
    let found = found(|parent| {
        parent.threads[0].wait = waiting(WaitTarget::Pid(60), libc::WEXITED);
        parent.threads[0].wchan = Some("do_wait".to_owned());
        parent.threads.push(ThreadFacts {
            tid: 51,
            ..thread()
        });
    });
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(
        found
            .finding
            .ends_with("is not waiting for it now: its main thread waits for process 60 alone"),
        "{found:?}"
    );
}

#[test]
fn a_signalfd_gets_only_what_is_blocked() {
    let found = found(|parent| parent.has_signalfd = Some(true));
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(
        found
            .finding
            .contains("gets none as no thread blocks SIGCHLD")
    );
    let advice = found.advice.unwrap_or_default();
    assert!(advice.starts_with("block SIGCHLD"), "{advice}");
}

#[test]
fn the_thread_in_the_handler_is_named() {
    let found = found(|parent| {
        parent.sigchld = Disposition::Handler;
        parent.threads[0].blocks_sigchld = true;
        parent.threads[0].wchan = Some("futex_do_wait".to_owned());
        parent.threads.push(ThreadFacts {
            tid: 51,
            ..thread()
        });
    });
    assert_eq!(found.cause, Cause::HandlerLeavesIt);
    assert!(
        found.finding.ends_with(
            ": its main thread sleeps in futex_do_wait; thread 50 may be in the handler, as it alone \
             blocks SIGCHLD"
        ),
        "{found:?}"
    );
}

#[test]
fn what_stopped_a_tracer_or_parent_decides_what_helps() {
    let zombie = ZombieFacts {
        tracer: Some(TracerFacts {
            pid: 77,
            comm: Comm::from("strace"),
            stopped: true,
        }),
        ..zombie()
    };
    let held = diagnose(Facts {
        zombie: &zombie,
        parent: Some(&parent()),
        history: None,
    });
    assert!(
        held.finding
            .ends_with("traces it, and is stopped (state T)")
    );
    assert!(held.advice.unwrap_or_default().contains("kill -CONT 77"));
    let stopped = found(|parent| {
        parent.threads[0].state = State::Stopped;
        parent.background = true;
    });
    assert!(
        stopped
            .finding
            .ends_with("in the background of its terminal")
    );
    assert!(
        stopped
            .advice
            .unwrap_or_default()
            .contains("fg in its shell")
    );
}

#[test]
fn a_wait_for_any_child_can_take_anothers() {
    let mut parent = parent();
    assert_eq!(rivals(&parent), None);
    parent.threads[0].wait = waiting(WaitTarget::Pid(60), libc::WEXITED);
    parent.threads.push(ThreadFacts {
        tid: 51,
        wait: waiting(WaitTarget::Any, libc::WEXITED),
        ..thread()
    });
    let both = Rivals {
        taker: 51,
        loser: 50,
        target: WaitTarget::Pid(60),
    };
    assert_eq!(rivals(&parent), Some(both));
    parent.threads[1].wait = waiting(WaitTarget::Any, libc::WEXITED | libc::__WNOTHREAD);
    assert_eq!(rivals(&parent), None);
    parent.threads[1].wait = waiting(WaitTarget::Any, libc::WSTOPPED);
    assert_eq!(rivals(&parent), None);
}

#[test]
fn a_worker_of_node_that_runs_is_named() {
    let found = found(|parent| {
        parent.sigchld = Disposition::Handler;
        parent.runtime = Some(LanguageRuntime::Node);
        parent.threads.push(ThreadFacts {
            tid: 51,
            state: State::Runnable,
            ..thread()
        });
    });
    assert_eq!(found.cause, Cause::NeverWaits);
    assert!(
        found.finding.ends_with("; thread 51 runs (state R)"),
        "{found:?}"
    );
}

#[test]
fn a_vfork_names_the_child() {
    let found = with_history(old(), |parent| {
        parent.threads[0].state = State::Uninterruptible;
        parent.vfork = Some(other(7));
    });
    assert_eq!(found.cause, Cause::ParentInVfork);
    assert!(
        found
            .finding
            .contains("its new child, process 7 (other), calls exec")
    );
    assert!(found.finding.ends_with("; process 7 sleeps in fuse_dev"));
}

#[test]
fn each_runtime_has_its_own_reason_and_advice() {
    let of = |runtime, state, sigchld| {
        with_history(old(), |parent| {
            parent.runtime = Some(runtime);
            parent.sigchld = sigchld;
            parent.threads[0].state = state;
        })
    };
    use Disposition::{Default, Handler};
    use LanguageRuntime::{C, Go, Java, Node, Php, Python};
    for (runtime, state, sigchld, cause, finding, advice) in [
        (
            Go,
            State::Sleeping,
            Handler,
            Cause::NeverWaits,
            "Wait() is called",
            "cmd.Wait()",
        ),
        (
            Node,
            State::Runnable,
            Handler,
            Cause::ParentBusy,
            "event loop",
            "worker thread",
        ),
        (
            Node,
            State::Sleeping,
            Handler,
            Cause::NeverWaits,
            "child_process",
            "event loop",
        ),
        (
            Java,
            State::Sleeping,
            Default,
            Cause::NeverWaits,
            "ProcessBuilder",
            "ProcessBuilder",
        ),
        (
            Php,
            State::Sleeping,
            Handler,
            Cause::HandlerLeavesIt,
            "dispatched",
            "pcntl_async",
        ),
        (
            Python,
            State::Sleeping,
            Default,
            Cause::NeverWaits,
            "not waiting now",
            "Popen",
        ),
        (
            C,
            State::Sleeping,
            Handler,
            Cause::HandlerLeavesIt,
            "not pending",
            "waitpid(-1",
        ),
    ] {
        let found = of(runtime, state, sigchld);
        assert_eq!(found.cause, cause, "{found:?}");
        assert!(found.finding.contains(finding), "{found:?}");
        assert!(found.advice.as_ref().unwrap().contains(advice), "{found:?}");
        assert_eq!(found.runtime, Some(runtime));
    }
}

#[test]
fn no_runtime_that_reaps_by_itself_is_told_to_break_it() {
    use LanguageRuntime::{Go, Java, Node, Python, Rust};
    for runtime in [Go, Java, Node, Python, Rust] {
        for cause in Cause::ALL {
            let parent = ParentFacts {
                runtime: Some(runtime),
                ..parent()
            };
            let facts = Facts {
                zombie: &zombie(),
                parent: Some(&parent),
                history: None,
            };
            let text = advice::advice(cause, facts).unwrap_or_default();
            let ignores = text.contains("gnore SIGCHLD") && !text.contains("not ignore SIGCHLD");
            assert!(
                !text.contains("waitpid(-1") && !ignores,
                "{runtime:?} {cause}: {text}"
            );
        }
    }
}
