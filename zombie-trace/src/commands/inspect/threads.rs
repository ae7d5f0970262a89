//! What a parent does with SIGCHLD, and what its threads do, in words.

use crate::{
    cause::{self, Disposition, ParentFacts, Rivals, State, ThreadFacts, Wait, WaitTarget},
    system::proc::Proc,
    text::printable,
};

/// What becomes of a SIGCHLD.
pub(crate) fn disposition(parent: &ParentFacts) -> String {
    let disposition = match parent.sigchld {
        Disposition::Default => "default action: nothing happens",
        Disposition::Ignore => "ignored",
        Disposition::Handler => "handled",
    };
    let pending = if parent.pending { ", pending" } else { "" };
    format!("{disposition}{pending}")
}

/// How many threads block SIGCHLD.
pub(crate) fn blocked(parent: &ParentFacts) -> String {
    let threads = parent.threads.iter();
    let blocking = threads.filter(|thread| thread.blocks_sigchld).count();
    match blocking {
        0 => "by no thread".to_owned(),
        all if all == parent.threads.len() => "by every thread".to_owned(),
        some => format!("by {some} of {} threads", parent.threads.len()),
    }
}

/// What the threads do, the most telling first, at most this number of them.
pub(crate) fn of(parent: &ParentFacts, proc: &Proc, most: usize) -> Vec<String> {
    let mut threads: Vec<_> = parent.threads.iter().collect();
    threads.sort_by_key(|thread| rank(thread, parent.pid));
    let threads = threads.into_iter().take(most);
    threads.map(|thread| doing(thread, parent, proc)).collect()
}

/// One of the threads can take the child that another waits for.
pub(crate) fn rivalry(parent: &ParentFacts, proc: &Proc) -> Option<String> {
    let Rivals {
        taker,
        loser,
        target,
    } = cause::rivals(parent)?;
    let child = match target {
        WaitTarget::Pid(pid) => numbered(pid, parent, proc),
        WaitTarget::Pidfd(pid) => format!("process {pid}"),
        WaitTarget::Any | WaitTarget::Group(_) => "its child".to_owned(),
    };
    Some(format!(
        "thread {taker} waits for any child and can reap {child} first; the wait of thread {loser} for it \
         then fails (ECHILD)"
    ))
}

/// Threads that wait for children come first, then those that run, then the main thread.
fn rank(thread: &ThreadFacts, pid: u32) -> (u8, u32) {
    let rank = match (&thread.wait, thread.state) {
        (Wait::For { .. } | Wait::Foreign, _) => 0,
        (_, State::Runnable) => 1,
        _ if thread.tid == pid => 2,
        (_, State::Uninterruptible) => 3,
        _ => 4,
    };
    (rank, thread.tid)
}

/// A process as `parent` numbers it: by our number, if it is a child that is there.
fn numbered(number: u32, parent: &ParentFacts, proc: &Proc) -> String {
    if parent.pid_level == 0 {
        return format!("process {number}");
    }
    let ours = proc
        .children(parent.pid)
        .ok()
        .and_then(|(living, zombies)| {
            let children = [living, zombies].concat();
            proc.numbered(number, parent.pid_level, &children)
        });
    match ours {
        Some(pid) => format!("process {pid} ({number} in its own pid namespace)"),
        None => format!("process {number} of its own pid namespace"),
    }
}

fn doing(thread: &ThreadFacts, parent: &ParentFacts, proc: &Proc) -> String {
    let state = match thread.state {
        State::Runnable if thread.starved => "could run, but gets no CPU (R)",
        State::Runnable => "runs (R)",
        State::Sleeping => "sleeps (S)",
        State::Uninterruptible => "sleeps uninterruptibly (D)",
        State::Stopped => "is stopped (T)",
        State::TracingStop => "is stopped by a tracer (t)",
        State::Other => "is in some other state",
    };
    let place = match (&thread.wait, &thread.wchan) {
        (Wait::For { target, .. }, _) => match target {
            WaitTarget::Any => ", waiting for any child".to_owned(),
            WaitTarget::Pid(pid) => format!(", waiting for {}", numbered(*pid, parent, proc)),
            WaitTarget::Group(0) => ", waiting for its process group".to_owned(),
            WaitTarget::Group(group) if parent.pid_level > 0 => {
                format!(", waiting for process group {group} of its own pid namespace")
            }
            WaitTarget::Group(group) => format!(", waiting for process group {group}"),
            WaitTarget::Pidfd(pid) => format!(", waiting for process {pid} by a pidfd"),
        },
        (Wait::Unreadable(why), _) => format!("; its system call can't be read {why}"),
        (_, Some(function)) => format!(" in {function}"),
        (_, None) => String::new(),
    };
    let name = proc
        .thread_comm(parent.pid, thread.tid)
        .map_or_else(String::new, |comm| format!(" ({})", printable(&comm)));
    let mask = match (thread.blocks_sigchld, thread.pending) {
        (true, true) => "; blocks SIGCHLD, which is pending",
        (true, false) => "; blocks SIGCHLD",
        (false, _) => "",
    };
    format!("{}{name} {state}{place}{mask}", thread.tid)
}
