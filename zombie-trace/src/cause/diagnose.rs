//! The rules, in the order in which they are asked. Each has the facts that it needs and the sentence
//! that it makes; the first that holds decides. What is not proven is not said: a word about time needs
//! a [`History`].

use nix::libc::{self, c_int};

use super::{
    Disposition, Facts, History, OtherProcess, ParentFacts, State, ThreadFacts, Unreadable, Wait,
    WaitTarget, ZombieFacts, advice, facts::WNOTHREAD,
};
use crate::{
    model::{Cause, Diagnosis, LanguageRuntime},
    text::human,
};

/// Why the zombie is still there, as far as the facts prove it.
pub fn diagnose(facts: Facts<'_>) -> Diagnosis {
    let (cause, finding) = find(facts);
    Diagnosis {
        cause,
        finding: finding.into(),
        advice: advice::advice(cause, facts).map(Into::into),
        runtime: facts.parent.and_then(|parent| parent.runtime),
        looked_at: None,
    }
}

fn find(facts: Facts<'_>) -> (Cause, String) {
    let Facts { zombie, parent, .. } = facts;
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
        let finding = match zombie.ppid {
            0 => "its parent is outside this pid namespace: look from the host",
            _ => "its parent can't be seen from here",
        };
        return (Cause::Unknown, finding.to_owned());
    };
    let case = Case {
        zombie,
        parent,
        history: facts.history,
    };
    let found = RULES.iter().find_map(|rule| rule(&case));
    let (cause, what) = found.unwrap_or_else(|| case.is_not_waiting());
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

/// A zombie whose parent can be seen.
struct Case<'a> {
    zombie: &'a ZombieFacts,
    parent: &'a ParentFacts,
    history: Option<&'a History>,
}

/// A cause, and the rest of a sentence that begins with the parent.
type Claim = (Cause, String);
type Rule = fn(&Case<'_>) -> Option<Claim>;

const RULES: &[Rule] = &[
    // Nobody in the parent can do anything.
    is_ending,
    is_frozen,
    is_stopped,
    is_traced,
    // It is about to.
    should_reap,
    gets_no_cpu,
    is_in_vfork,
    is_uninterruptible,
    // Whose child it is.
    wait_cannot_be_read,
    wait_leaves_it_out,
    is_no_init,
    is_foreign,
    // What it does instead.
    is_in_system,
    waits_for_other,
    sends_no_sigchld,
    reads_pipe,
    reaps_late,
    holds_pidfd,
    // What becomes of SIGCHLD.
    reads_signalfd,
    blocks_sigchld,
    cannot_be_read,
    ignores_sigchld,
    event_loop_is_busy,
    reaps_by_wait_alone,
    has_it_pending,
    handler_leaves_it,
    is_busy,
];

fn claim(cause: Cause, what: &str) -> Option<Claim> {
    Some((cause, what.to_owned()))
}

impl Case<'_> {
    fn all(&self, test: impl Fn(&ThreadFacts) -> bool) -> bool {
        let threads = &self.parent.threads;
        !threads.is_empty() && threads.iter().all(test)
    }

    fn any(&self, test: impl Fn(&ThreadFacts) -> bool) -> bool {
        self.parent.threads.iter().any(test)
    }

    /// The threads that could reap it: all but those that are stopped or in uninterruptible sleep.
    fn able(&self) -> impl Iterator<Item = &ThreadFacts> {
        use State::{Stopped, TracingStop, Uninterruptible};
        let stuck = [Stopped, TracingStop, Uninterruptible];
        let threads = self.parent.threads.iter();
        threads.filter(move |thread| !stuck.contains(&thread.state))
    }

    fn main_thread(&self) -> Option<&ThreadFacts> {
        let mut threads = self.parent.threads.iter();
        threads.find(|thread| thread.tid == self.parent.pid)
    }

    /// Why the system call of one of its threads can't be read, if so.
    fn unreadable(&self) -> Option<Unreadable> {
        let mut threads = self.parent.threads.iter();
        threads.find_map(|thread| match thread.wait {
            Wait::Unreadable(why) => Some(why),
            _ => None,
        })
    }

    fn pending(&self) -> bool {
        self.parent.pending || self.any(|thread| thread.pending)
    }

    /// The kernel function in which the one that matters sleeps.
    fn place(&self) -> String {
        let thread = self.main_thread().or_else(|| self.parent.threads.first());
        let function = thread.and_then(|thread| thread.wchan.as_deref());
        function.map_or_else(String::new, |function| format!(": it sleeps in {function}"))
    }

    /// What the tracer has seen of its reaping, as the end of a sentence.
    fn reaped_none(&self) -> String {
        match self.history {
            Some(history) if history.reaped == 0 => format!(
                ", and has reaped no child in the {} that it was watched",
                human(history.watched_ns)
            ),
            _ => String::new(),
        }
    }

    /// What is left to say.
    fn is_not_waiting(&self) -> Claim {
        let what = match self.parent.sigchld {
            Disposition::Default => "does not handle SIGCHLD and is not waiting now",
            _ => "is not waiting now",
        };
        let (none, place) = (self.reaped_none(), self.place());
        (Cause::NeverWaits, format!("{what}{none}{place}"))
    }
}

fn is_ending(case: &Case<'_>) -> Option<Claim> {
    let ends = case.parent.threads.is_empty() || case.parent.exiting;
    ends.then_some((
        Cause::ParentExiting,
        "is ending itself; another process then inherits its zombies".into(),
    ))
}

fn is_frozen(case: &Case<'_>) -> Option<Claim> {
    let refrigerated = |thread: &ThreadFacts| {
        let functions = ["do_freezer_trap", "__refrigerator"];
        let wchan = thread.wchan.as_deref();
        wchan.is_some_and(|wchan| functions.contains(&wchan))
    };
    let frozen = case.parent.frozen == Some(true) || case.all(refrigerated);
    frozen.then_some((Cause::ParentFrozen, "is frozen with its cgroup".into()))
}

fn is_stopped(case: &Case<'_>) -> Option<Claim> {
    let stopped = case.all(|thread| thread.state == State::Stopped);
    stopped.then_some((Cause::ParentStopped, "is stopped (state T)".into()))
}

fn is_traced(case: &Case<'_>) -> Option<Claim> {
    let stopped = case.all(|thread| thread.state == State::TracingStop);
    stopped.then_some((
        Cause::ParentTraced,
        "is stopped by its tracer, such as a debugger (state t)".into(),
    ))
}

fn should_reap(case: &Case<'_>) -> Option<Claim> {
    case.any(|thread| eligible(thread, case.zombie, case.parent))
        .then_some((
            Cause::Unknown,
            "waits for it, and should have reaped it".into(),
        ))
}

fn gets_no_cpu(case: &Case<'_>) -> Option<Claim> {
    case.all(|thread| thread.starved).then_some((
        Cause::ParentStarved,
        "could run, but got no CPU while it was watched (state R)".into(),
    ))
}

fn is_in_vfork(case: &Case<'_>) -> Option<Claim> {
    let child = case.parent.vfork.as_ref()?;
    if case.able().next().is_some() {
        return None;
    }
    let other = named(child);
    Some((
        Cause::ParentInVfork,
        format!("waits in vfork until its new child, {other}, calls exec or ends"),
    ))
}

fn is_uninterruptible(case: &Case<'_>) -> Option<Claim> {
    if !case.all(|thread| thread.state == State::Uninterruptible) {
        return None;
    }
    let function = case
        .parent
        .threads
        .iter()
        .find_map(|it| it.wchan.as_deref());
    let place = function.map_or_else(String::new, |function| format!(" in {function}"));
    Some((
        Cause::ParentUninterruptible,
        format!("is in uninterruptible sleep{place} (state D)"),
    ))
}

fn wait_cannot_be_read(case: &Case<'_>) -> Option<Claim> {
    case.any(|thread| thread.wait == Wait::Foreign).then_some((
        Cause::Unknown,
        "is in a wait whose arguments can't be read (a 32-bit program?)".into(),
    ))
}

/// A wait of it looks for such a process, but not for one like this.
fn wait_leaves_it_out(case: &Case<'_>) -> Option<Claim> {
    case.parent
        .threads
        .iter()
        .find_map(|thread| left_out(thread, case.zombie, case.parent))
}

/// "Whatever is PID 1 inherits orphans": its own children go by the rules below.
fn is_no_init(case: &Case<'_>) -> Option<Claim> {
    if !case.parent.is_init || case.zombie.foreign == Some(false) {
        return None;
    }
    let inherited = match case.zombie.foreign {
        Some(true) => ", and has inherited this one, which it did not make",
        _ => "",
    };
    let none = case.reaped_none();
    Some((
        Cause::InitNeverWaits,
        format!(
            "is PID 1 of its pid namespace, to which orphans go{inherited}, but it is not waiting for \
             any child now{none}: it does not do an init's work"
        ),
    ))
}

fn is_foreign(case: &Case<'_>) -> Option<Claim> {
    if case.zombie.foreign != Some(true) {
        return None;
    }
    Some((
        Cause::ForeignChild,
        "did not make it: it was adopted, or made by the program that this process was before exec, and \
         nothing in the parent waits for it now"
            .into(),
    ))
}

/// system(3) blocks SIGCHLD, ignores SIGINT and SIGQUIT, and waits for its shell.
fn is_in_system(case: &Case<'_>) -> Option<Claim> {
    if !case.parent.ignores_keyboard {
        return None;
    }
    let mut threads = case.parent.threads.iter();
    let pid = threads.find_map(|thread| match thread.wait {
        Wait::For {
            target: WaitTarget::Pid(pid),
            ..
        } if thread.blocks_sigchld => Some(pid),
        _ => None,
    })?;
    let whom = number(pid, case.parent);
    Some((
        Cause::WaitsForOther,
        format!("is in system(), which holds SIGCHLD back until its command, {whom}, ends"),
    ))
}

/// All that could reap it wait for others: one thread of many that does is no reason.
fn waits_for_other(case: &Case<'_>) -> Option<Claim> {
    let mut others = case.able().map(|thread| other_target(thread, case));
    let first = others.next()??;
    others.all(|other| other.is_some()).then_some((
        Cause::WaitsForOther,
        format!("is blocked in a wait for {first} alone"),
    ))
}

fn sends_no_sigchld(case: &Case<'_>) -> Option<Claim> {
    let signal = case.zombie.exit_signal?;
    if signal == libc::SIGCHLD {
        return None;
    }
    let signal = match signal {
        0 => "no signal".to_owned(),
        _ => nix::sys::signal::Signal::try_from(signal)
            .map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string()),
    };
    let what = format!("gets {signal} at this child's death (exit_signal), not SIGCHLD");
    Some(match case.unreadable() {
        Some(why) => (
            Cause::Unknown,
            format!("{what}; whether it waits with __WALL or __WCLONE can't be read {why}"),
        ),
        None => (
            Cause::NoSigchld,
            format!("{what}, and is not waiting with __WALL or __WCLONE"),
        ),
    })
}

fn reads_pipe(case: &Case<'_>) -> Option<Claim> {
    let pipe = case.parent.pipe.as_ref()?;
    let writer = pipe.writer.as_ref()?;
    let (fd, other) = (pipe.fd, named(writer));
    Some((
        Cause::ParentReadsPipe,
        format!("is reading a pipe (descriptor {fd}), whose other end {other} holds open"),
    ))
}

/// It reaps, but so seldom that zombies wait for their turn.
fn reaps_late(case: &Case<'_>) -> Option<Claim> {
    let history = case.history?;
    if history.reaped < 2 {
        return None;
    }
    let every = history.reaping_ns / (history.reaped - 1);
    // Longer ago than the pace of its reaps explains: it has stopped, and why is another rule's matter.
    if every < 10_000_000 || history.since_last_ns > 3 * every {
        return None;
    }
    let left = match history.zombies {
        0 | 1 => String::new(),
        zombies => format!(", and has {zombies} zombies now"),
    };
    Some((
        Cause::ReapsLate,
        format!(
            "reaps one child every {} on average ({} in the {} that it was watched, the last {} ago){left}",
            human(every),
            history.reaped,
            human(history.watched_ns),
            human(history.since_last_ns),
        ),
    ))
}

fn holds_pidfd(case: &Case<'_>) -> Option<Claim> {
    let pid = case.zombie.pids.first()?;
    let place = case.place();
    case.parent.pidfds.contains(pid).then(|| {
        (
            Cause::HoldsPidfd,
            format!("holds a pidfd of it, but is not waiting by it now{place}"),
        )
    })
}

fn reads_signalfd(case: &Case<'_>) -> Option<Claim> {
    if case.parent.has_signalfd != Some(true) || !case.all(|thread| thread.blocks_sigchld) {
        return None;
    }
    let place = case.place();
    Some(if case.pending() {
        (
            Cause::BlocksSigchld,
            format!("has a signalfd for SIGCHLD, which is pending, and has not read it{place}"),
        )
    } else {
        (
            Cause::SignalfdLeavesIt,
            format!("has read SIGCHLD from its signalfd, but has not reaped this one{place}"),
        )
    })
}

fn blocks_sigchld(case: &Case<'_>) -> Option<Claim> {
    if !case.pending() || !case.all(|thread| thread.blocks_sigchld) {
        return None;
    }
    let sleeps = match case.any(|thread| matches!(thread.wait, Wait::Unreadable(_))) {
        true => "has not taken it",
        false => "is not waiting",
    };
    Some((
        Cause::BlocksSigchld,
        format!("blocks SIGCHLD, which is pending, and {sleeps}"),
    ))
}

fn cannot_be_read(case: &Case<'_>) -> Option<Claim> {
    let why = case.unreadable()?;
    let does = match case.parent.sigchld {
        Disposition::Default => "does not handle",
        Disposition::Ignore => "ignores",
        Disposition::Handler => "handles",
    };
    Some((
        Cause::Unknown,
        format!("{does} SIGCHLD; whether it waits for another child can't be read {why}"),
    ))
}

fn ignores_sigchld(case: &Case<'_>) -> Option<Claim> {
    (case.parent.sigchld == Disposition::Ignore).then_some((
        Cause::IgnoresSigchld,
        "ignores SIGCHLD now, but did not yet when it died, and is not waiting".into(),
    ))
}

/// The handler of these only tells the event loop or the interpreter, which waits when it gets to it.
fn event_loop_is_busy(case: &Case<'_>) -> Option<Claim> {
    use LanguageRuntime::{Node, Perl, Php, Python, Ruby};
    if case.parent.sigchld != Disposition::Handler {
        return None;
    }
    let runtime = case.parent.runtime?;
    let busy = case.main_thread()?.state == State::Runnable;
    match runtime {
        Node if busy => claim(
            Cause::ParentBusy,
            "reaps in its event loop, which is busy now (the main thread runs, state R)",
        ),
        Python | Ruby | Perl if busy => claim(
            Cause::ParentBusy,
            "has a SIGCHLD handler, which the interpreter runs between two steps of the program, and is \
             busy now (the main thread runs, state R)",
        ),
        Php => claim(
            Cause::HandlerLeavesIt,
            "has a SIGCHLD handler, which PHP only runs when signals are dispatched, and has not reaped it",
        ),
        _ => None,
    }
}

/// In these, nothing reaps a child but a wait for that very child.
fn reaps_by_wait_alone(case: &Case<'_>) -> Option<Claim> {
    let runtime = case.parent.runtime?;
    let (name, none) = (runtime.name(), case.reaped_none());
    let what = match runtime {
        LanguageRuntime::Go => "which reaps a child only when Wait() is called for it",
        LanguageRuntime::Java => "whose runtime reaps only what ProcessBuilder started",
        LanguageRuntime::Node => "whose event loop reaps only what child_process started",
        _ => return None,
    };
    let place = case.place();
    Some((
        Cause::NeverWaits,
        format!("is a {name} program, {what}, and no thread is waiting for this one{none}{place}"),
    ))
}

fn has_it_pending(case: &Case<'_>) -> Option<Claim> {
    (case.parent.sigchld == Disposition::Handler && case.pending()).then_some((
        Cause::Unknown,
        "has SIGCHLD pending, but has not taken it".into(),
    ))
}

fn handler_leaves_it(case: &Case<'_>) -> Option<Claim> {
    if case.parent.sigchld != Disposition::Handler {
        return None;
    }
    let counted = case.history.and_then(|history| history.handler);
    if let Some((runs, deaths)) = counted
        && runs < deaths
    {
        let times = if runs == 1 { "time" } else { "times" };
        return Some((
            Cause::SignalsCoalesced,
            format!(
                "handles SIGCHLD, but has not reaped it: its handler ran {runs} {times} for {deaths} deaths \
                 since it is watched"
            ),
        ));
    }
    claim(
        Cause::HandlerLeavesIt,
        "handles SIGCHLD, which is not pending any more, but has not reaped it and is not waiting now",
    )
}

fn is_busy(case: &Case<'_>) -> Option<Claim> {
    let main = case.main_thread();
    let busy = match main {
        Some(thread) => thread.state == State::Runnable,
        None => case.any(|thread| thread.state == State::Runnable),
    };
    let none = case.reaped_none();
    busy.then(|| {
        (
            Cause::ParentBusy,
            format!("does not handle SIGCHLD, and is running instead of waiting{none}"),
        )
    })
}

fn named(process: &OtherProcess) -> String {
    let OtherProcess { pid, comm, wchan } = process;
    let place = wchan.as_ref().map_or_else(String::new, |function| {
        format!(", which sleeps in {function}")
    });
    format!("process {pid} ({}){place}", comm.to_str())
}

/// A process as the parent numbers it.
fn number(pid: u32, parent: &ParentFacts) -> String {
    match parent.pid_level {
        0 => format!("process {pid}"),
        _ => format!("process {pid} of its own pid namespace"),
    }
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

/// Why a wait that looks for such a process does not reap it.
fn left_out(thread: &ThreadFacts, zombie: &ZombieFacts, parent: &ParentFacts) -> Option<Claim> {
    let Wait::For { target, options } = thread.wait else {
        return None;
    };
    if !targets(target, zombie, parent) {
        return None;
    }
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
    Some((cause, format!("waits {how}")))
}

/// Whom a thread waits for, if that is somebody else.
fn other_target(thread: &ThreadFacts, case: &Case<'_>) -> Option<String> {
    let Wait::For { target, .. } = thread.wait else {
        return None;
    };
    Some(match target {
        _ if targets(target, case.zombie, case.parent) => return None,
        WaitTarget::Any => return None,
        WaitTarget::Pid(pid) if pid != 0 => number(pid, case.parent),
        WaitTarget::Pidfd(pid) if pid != 0 => format!("process {pid}"),
        WaitTarget::Pid(_) | WaitTarget::Pidfd(_) => "another process".to_owned(),
        WaitTarget::Group(0) => "its own process group".to_owned(),
        WaitTarget::Group(group) => format!("process group {group}"),
    })
}

#[cfg(test)]
mod tests;
