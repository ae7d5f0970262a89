//! What helps, by cause and by what the parent runs on.
//!
//! "Ignore SIGCHLD" is given with its price, and never for a runtime that reaps by itself: there it
//! breaks the waiting for the program's own children.

use super::Facts;
use crate::model::{Cause, LanguageRuntime};

/// What helps one parent: an imperative sentence without a full stop; `None` if nothing needs to be done
/// or nobody can say.
pub(super) fn advice(cause: Cause, Facts { parent, .. }: Facts<'_>) -> Option<String> {
    let runtime = parent.and_then(|parent| parent.runtime);
    let pid = parent.map(|parent| parent.pid);
    let cgroup = parent.and_then(|parent| parent.cgroup.as_deref());
    advise(cause, runtime, pid, cgroup)
}

/// The same for a cause alone, where the parent is not known any more.
pub fn general_advice(cause: Cause, runtime: Option<LanguageRuntime>) -> Option<String> {
    advise(cause, runtime, None, None)
}

fn advise(
    cause: Cause,
    runtime: Option<LanguageRuntime>,
    pid: Option<u32>,
    cgroup: Option<&str>,
) -> Option<String> {
    let pid = pid.map_or_else(|| "PPID".to_owned(), |pid| pid.to_string());
    Some(match cause {
        Cause::LeaderWithThreads => {
            "end the process by exit_group (exit(3)), not by ending the main thread alone".into()
        }
        Cause::HeldByTracer => "let the tracer wait for it, or end the tracer".into(),
        Cause::ParentFrozen => thaw(cgroup),
        Cause::ParentStopped => format!("continue the parent: kill -CONT {pid}"),
        Cause::ParentTraced => "continue the parent in its debugger, or detach it".into(),
        Cause::ParentUninterruptible => format!(
            "find out what the parent waits for (a disk, a network file system, a driver): \
             sudo cat /proc/{pid}/stack"
        ),
        Cause::ParentStarved => format!(
            "give the parent CPU time: look at its priority (ps -o ni,cls {pid}) and at cpu.max of \
             its cgroup"
        ),
        Cause::ParentBusy => busy(runtime).into(),
        Cause::ForeignChild | Cause::InitNeverWaits => {
            "put an init that reaps in front of it, such as tini (docker run --init), so that orphans \
             go there"
                .into()
        }
        Cause::ParentInVfork => {
            "find out why the new child does not get to exec: it may wait for a file system".into()
        }
        Cause::ParentReadsPipe => {
            "close the pipe's write end in processes that outlive the child (redirect their output), or \
             wait for the child before the pipe's end"
                .into()
        }
        Cause::WaitsWithoutFlags => {
            "add WEXITED (waitid), or __WALL for a cloned child, to the options of the wait, and leave \
             __WNOTHREAD out"
                .into()
        }
        Cause::NoSigchld => "wait with __WALL, or create the child with SIGCHLD".into(),
        Cause::IgnoresSigchld => {
            "ignore SIGCHLD before the first child is created (statuses are lost then), or wait for what \
             died before"
                .into()
        }
        Cause::BlocksSigchld => {
            "unblock SIGCHLD, or read it (signalfd, sigwait), and then wait until nothing is left".into()
        }
        Cause::SignalfdLeavesIt => {
            "signals coalesce, so one siginfo can stand for several deaths: after each read of the \
             signalfd call waitpid(-1, …, WNOHANG) until it returns 0 or ECHILD"
                .into()
        }
        Cause::HoldsPidfd
        | Cause::ReapsLate
        | Cause::WaitsForOther
        | Cause::HandlerLeavesIt
        | Cause::SignalsCoalesced
        | Cause::NeverWaits => reap(runtime, cause).into(),
        Cause::ParentExiting | Cause::Unknown => return None,
    })
}

fn thaw(cgroup: Option<&str>) -> String {
    match cgroup {
        Some(path) if path != "/" => {
            format!("thaw its cgroup: echo 0 > /sys/fs/cgroup{path}/cgroup.freeze")
        }
        _ => "thaw its cgroup (write 0 to its cgroup.freeze)".into(),
    }
}

fn busy(runtime: Option<LanguageRuntime>) -> &'static str {
    match runtime {
        Some(LanguageRuntime::Node) => {
            "keep the event loop free: move long work to a worker thread; Node reaps when the loop runs"
        }
        Some(LanguageRuntime::Python) => {
            "call poll() or wait() on its Popen objects between the steps of its work, or let the event \
             loop run"
        }
        Some(LanguageRuntime::Php) => {
            "call pcntl_async_signals(true), or pcntl_signal_dispatch() in the loop"
        }
        _ => "let the parent wait between the steps of its work, or in a thread of its own",
    }
}

/// How a program of this runtime reaps its children.
fn reap(runtime: Option<LanguageRuntime>, cause: Cause) -> &'static str {
    match runtime {
        Some(LanguageRuntime::Go) => {
            "call cmd.Wait() for every cmd.Start(), for example in a goroutine: go cmd.Wait()"
        }
        Some(LanguageRuntime::Node) => {
            "keep the event loop running; Node reaps what child_process started, and nothing else"
        }
        Some(LanguageRuntime::Python) => {
            "call wait() or poll() on the Popen object, or await the asyncio process while its loop runs"
        }
        Some(LanguageRuntime::Java) => {
            "start the child with ProcessBuilder, whose reaper thread waits for it; native code has to \
             wait for its own children"
        }
        Some(LanguageRuntime::Php) if cause == Cause::HandlerLeavesIt => {
            "call pcntl_async_signals(true), and in the handler pcntl_waitpid(-1, $status, WNOHANG) \
             until it returns 0 or -1"
        }
        Some(LanguageRuntime::Php) => {
            "call pcntl_waitpid(-1, $status, WNOHANG) in a loop, or proc_close() for proc_open()"
        }
        Some(LanguageRuntime::Ruby) => "call Process.wait(pid), or Process.detach(pid) at once",
        Some(LanguageRuntime::Perl) => {
            "call waitpid(-1, WNOHANG) until it returns 0 or -1, for example in $SIG{CHLD}"
        }
        Some(LanguageRuntime::Shell) => {
            "call wait; a shell that execs another program must not leave background jobs behind"
        }
        Some(LanguageRuntime::Rust)
            if matches!(cause, Cause::HandlerLeavesIt | Cause::SignalsCoalesced) =>
        {
            "with tokio, keep the Child and await child.wait() while the runtime runs; in a handler of \
             your own, wait for each child (WNOHANG), as one SIGCHLD can stand for several deaths"
        }
        Some(LanguageRuntime::Rust) => {
            "call wait() or try_wait() on the Child; with tokio, keep the Child, await child.wait(), and \
             keep the runtime running"
        }
        Some(LanguageRuntime::C) | None => match cause {
            Cause::HandlerLeavesIt | Cause::SignalsCoalesced => {
                "signals coalesce, so one SIGCHLD can stand for several deaths: call \
                 waitpid(-1, …, WNOHANG) in a loop until it returns 0 or ECHILD"
            }
            Cause::WaitsForOther => {
                "wait for any child (waitpid(-1)), or handle SIGCHLD, instead of waiting for one child"
            }
            Cause::ReapsLate => {
                "reap all that have died each time: waitpid(-1, …, WNOHANG) in a loop until it returns 0 \
                 or ECHILD"
            }
            Cause::HoldsPidfd => {
                "poll the pidfd, and call waitid(P_PIDFD, …, WEXITED) when it is readable"
            }
            _ => {
                "let the parent wait for its children; if you can't change it, restart it: init then reaps \
                 its zombies"
            }
        },
    }
}
