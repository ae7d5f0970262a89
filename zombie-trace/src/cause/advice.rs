//! What helps, by cause and by what the parent runs on.
//!
//! "Ignore SIGCHLD" is given with its price, and never for a runtime that reaps by itself: there it
//! breaks the waiting for the program's own children.

use super::{Disposition, Facts, Frozen, ParentFacts, ThreadFacts, ZombieFacts};
use crate::{
    model::{Cause, LanguageRuntime},
    text::quoted,
};

/// What helps one parent: an imperative sentence without a full stop; `None` if nothing needs to be done
/// or nobody can say.
pub(super) fn advice(cause: Cause, facts: Facts<'_>) -> Option<String> {
    let Some(parent) = facts.parent else {
        return advise(cause, None, None);
    };
    special(cause, facts.zombie, parent).or_else(|| advise(cause, parent.runtime, Some(parent.pid)))
}

/// How to thaw a process, if what froze it can be seen from here.
pub fn thaw(frozen: &Frozen) -> Option<String> {
    let files: Vec<_> = frozen.files.iter().map(|file| quoted(file)).collect();
    (!files.is_empty()).then(|| {
        format!(
            "thaw its cgroup: echo {} | sudo tee {}",
            frozen.thaw,
            files.join(" ")
        )
    })
}

/// What helps in a case that is known better than its cause alone.
fn special(cause: Cause, zombie: &ZombieFacts, parent: &ParentFacts) -> Option<String> {
    let pid = parent.pid;
    match cause {
        Cause::HeldByTracer => {
            let tracer = zombie.tracer.as_ref().filter(|tracer| tracer.stopped)?;
            Some(format!(
                "continue the tracer (kill -CONT {}), or end it",
                tracer.pid
            ))
        }
        Cause::ParentFrozen => thaw(parent.frozen.as_ref()?),
        Cause::ParentStopped => parent.background.then(|| {
            format!(
                "bring it to the foreground (fg in its shell), or continue it: kill -CONT {pid}; if it \
                 uses its terminal in the background, that stops it again"
            )
        }),
        Cause::ParentStarved => {
            let limit = parent.cpu_limit.as_ref().filter(|it| it.throttled > 0)?;
            let file = quoted(&limit.file);
            Some(format!(
                "give the parent CPU time: raise the limit in {file}, or look at its priority \
                 (ps -o ni,cls {pid})"
            ))
        }
        Cause::ParentUninterruptible => {
            let mut threads = parent.threads.iter();
            let is_over = |thread: &ThreadFacts| {
                let function = thread.wchan.as_deref();
                function.is_some_and(|function| function.contains("mem_cgroup"))
            };
            threads.any(is_over).then(|| {
                "its memory cgroup is at its limit: raise that (memory.high, memory.max; in cgroup v1 \
                 memory.limit_in_bytes), or end other processes in it"
                    .into()
            })
        }
        Cause::WaitsForOther => {
            let blocks = |thread: &ThreadFacts| thread.blocks_sigchld;
            let is_in_system = parent.ignores_keyboard && parent.threads.iter().any(blocks);
            is_in_system.then(|| {
                "do not run a long command by system(): start it (fork and exec, posix_spawn, in Python \
                 subprocess.Popen), and reap until it ends"
                    .into()
            })
        }
        Cause::ParentReadsPipe => parent.pipe.as_ref()?.is_terminal.then(|| {
            "end the processes that outlive the child and hold the pseudoterminal open, or wait for the child \
             before its end"
                .into()
        }),
        Cause::NeverWaits => {
            let is_default = parent.sigchld == Disposition::Default;
            let blocks = |thread: &ThreadFacts| thread.blocks_sigchld;
            let is_useless = is_default
                && parent.has_signalfd == Some(true)
                && !parent.threads.iter().any(blocks);
            is_useless.then(|| {
                "block SIGCHLD (sigprocmask) before the first child is created, so that the signalfd gets it; \
                 then wait for all that have died after each read of it"
                    .into()
            })
        }
        _ => None,
    }
}

/// The same for a cause alone, where the parent is not known any more.
pub fn general_advice(cause: Cause, runtime: Option<LanguageRuntime>) -> Option<String> {
    advise(cause, runtime, None)
}

fn advise(cause: Cause, runtime: Option<LanguageRuntime>, pid: Option<u32>) -> Option<String> {
    let pid = pid.map_or_else(|| "PPID".to_owned(), |pid| pid.to_string());
    Some(match cause {
        Cause::LeaderWithThreads => {
            "end the process by exit_group (exit(3)), not by ending the main thread alone".into()
        }
        Cause::HeldByTracer => "let the tracer wait for it, or end the tracer".into(),
        Cause::ParentFrozen => {
            "thaw its cgroup, or the one above it that is frozen: write 0 to cgroup.freeze, in cgroup v1 \
             THAWED to freezer.state"
                .into()
        }
        Cause::ParentStopped => format!("continue the parent: kill -CONT {pid}"),
        Cause::ParentTraced => "continue the parent in its debugger, or detach it".into(),
        Cause::ParentUninterruptible => format!(
            "find out what the parent waits for (a disk, a network file system, a driver): \
             sudo cat /proc/{pid}/stack"
        ),
        Cause::ParentStarved => format!(
            "give the parent CPU time: look at its priority (ps -o ni,cls {pid}) and at cpu.max of \
             its cgroup (cgroup v1: cpu.cfs_quota_us)"
        ),
        Cause::ParentBusy => busy(runtime).into(),
        Cause::ForeignChild => {
            "it is harmless unless such zombies pile up: start the program from a shell that waits \
             instead of exec, or the helper by setsid --fork; for orphans put an init that reaps in front, \
             such as tini (docker run --init)"
                .into()
        }
        Cause::InitNeverWaits => {
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
        Cause::IgnoresSigchld if reaps_by_pid(runtime) => {
            "do not ignore SIGCHLD here: the runtime then loses the statuses of its own children, and what \
             died before stays until it is waited for"
                .into()
        }
        Cause::IgnoresSigchld => {
            "ignore SIGCHLD before the first child is created (all statuses are lost then, and programs that \
             it executes inherit that), or wait for what died before"
                .into()
        }
        Cause::BlocksSigchld => {
            "unblock SIGCHLD (the mask is inherited over exec: whoever starts it may block it), or read \
             it (signalfd, sigwait), and then wait until nothing is left"
                .into()
        }
        Cause::SignalfdLeavesIt if reaps_by_pid(runtime) => {
            "signals coalesce, so one SIGCHLD can stand for several deaths: after each read of the signalfd \
             wait for each child by its pid (WNOHANG)"
                .into()
        }
        Cause::SignalfdLeavesIt => {
            "signals coalesce, so one SIGCHLD can stand for several deaths: after each read of the \
             signalfd (or sigwait) call waitpid(-1, …, WNOHANG) until it returns 0 or ECHILD"
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

/// The runtime, or its library, waits for each child by its pid: whoever waits for any child steals from it.
fn reaps_by_pid(runtime: Option<LanguageRuntime>) -> bool {
    use LanguageRuntime::{Go, Java, Node, Python, Rust};
    runtime.is_some_and(|runtime| matches!(runtime, Go | Java | Node | Python | Rust))
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
            "keep the event loop of the thread that started it running (execSync, spawnSync, Atomics.wait and \
             long work hold it up); Node reaps what child_process started, and nothing else"
        }
        Some(LanguageRuntime::Python) if cause == Cause::HandlerLeavesIt => {
            "in the handler, or after it, wait for each child by its pid: poll() on the Popen object, or \
             os.waitpid(pid, os.WNOHANG) after os.fork()"
        }
        Some(LanguageRuntime::Python) => {
            "call wait() or poll() on the Popen object (join() on a multiprocessing Process, os.waitpid(pid, \
             0) after os.fork()), or await the asyncio process while its loop runs"
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
            "call wait in the shell; it must not leave background jobs behind when it execs a program"
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
            Cause::HandlerLeavesIt => {
                "call waitpid(-1, …, WNOHANG) in the handler, or soon after it, in a loop until it returns 0 \
                 or ECHILD: one SIGCHLD can stand for several deaths"
            }
            Cause::SignalsCoalesced => {
                "signals coalesce, so one SIGCHLD can stand for several deaths: call \
                 waitpid(-1, …, WNOHANG) in a loop until it returns 0 or ECHILD"
            }
            Cause::WaitsForOther => {
                "wait for any child (waitpid(-1)), or reap in a SIGCHLD handler, instead of waiting for one \
                 child"
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
