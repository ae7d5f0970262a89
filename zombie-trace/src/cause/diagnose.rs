//! The rules, in the order in which they are asked. Each has the facts that it needs and the sentence
//! that it makes; the first that holds decides. What is not proven is not said: a word about time needs
//! a [`History`].

use nix::libc::{self, c_int};

use super::{
    CpuLimit, Disposition, Facts, HandlerHistory, History, OtherProcess, Pace, ParentFacts,
    PipeFacts, REFRIGERATOR, ReapHistory, State, ThreadFacts, Unreadable, Wait, WaitTarget,
    ZombieFacts, advice, facts::WNOTHREAD,
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
        watched_ns: facts.history.map(|history| history.watched_ns),
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
        let (pid, comm) = (tracer.pid, tracer.comm.to_str());
        let finding = match tracer.stopped {
            true => format!("process {pid} ({comm}) traces it, and is stopped (state T)"),
            false => format!("process {pid} ({comm}) traces it and has not waited for it"),
        };
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
    is_new,
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
    takes_it_by_sigwait,
    blocks_sigchld,
    cannot_be_read,
    ignores_sigchld,
    has_useless_signalfd,
    interpreter_takes_its_time,
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

    /// Whom the thread that matters waits for, or the kernel function in which it sleeps.
    fn place(&self) -> String {
        let (thread, who) = match &self.parent.threads[..] {
            [only] => (Some(only), "it"),
            _ => (self.main_thread(), "its main thread"),
        };
        let Some(thread) = thread else {
            return String::new();
        };
        if let Some(other) = other_target(thread, self) {
            return format!(": {who} waits for {other} alone");
        }
        let function = thread.wchan.as_deref();
        function.map_or_else(String::new, |function| {
            format!(": {who} sleeps in {function}")
        })
    }

    /// The only thread that blocks SIGCHLD, as a handler does while it runs, as the end of a sentence that
    /// has the place.
    fn blocker(&self) -> String {
        let mut blockers = self.parent.threads.iter().filter(|it| it.blocks_sigchld);
        let (Some(thread), None) = (blockers.next(), blockers.next()) else {
            return String::new();
        };
        let function = thread.wchan.as_deref();
        // That is where the main thread sleeps.
        let function = function.filter(|_| thread.tid != self.parent.pid);
        let place = function.map_or_else(String::new, |function| {
            format!(", and sleeps in {function}")
        });
        format!(
            "; thread {} may be in the handler, as it alone blocks SIGCHLD{place}",
            thread.tid
        )
    }

    fn reaps(&self) -> Option<&ReapHistory> {
        self.history?.reaps.as_ref()
    }

    /// It reaps others that died later, and this one has been there for longer than any of them was.
    fn is_passed_over(&self) -> bool {
        let (Some(history), Some(reaps)) = (self.history, self.reaps()) else {
            return false;
        };
        let longest = reaps.pace.map_or(0, |pace| pace.longest_zombie_ns);
        reaps.passed_over > 0 && history.age_ns > 2 * longest
    }

    /// What the tracer has seen of its reaping, as the end of a sentence.
    fn reaping(&self) -> String {
        let (Some(history), Some(reaps)) = (self.history, self.reaps()) else {
            return String::new();
        };
        let watched = human(history.watched_ns);
        match (reaps.count, reaps.passed_over) {
            (0, _) => {
                format!(", and has reaped no child in the {watched} that it was watched")
            }
            (_, over @ 1..) if self.is_passed_over() => {
                let others = counted(over, "child", "children");
                let bound = if reaps.passed_over_more {
                    "at least "
                } else {
                    ""
                };
                format!(", although it has reaped {bound}{others} that died after it")
            }
            (count, _) => format!(
                ", and has reaped {} in the {watched} that it was watched, the last {} ago",
                counted(count, "child", "children"),
                human(reaps.since_last_ns)
            ),
        }
    }

    /// The age of the zombie, if so little says nothing about a parent that can be a real init: no
    /// application's runtime, and takes SIGCHLD.
    fn is_in_time(&self) -> Option<u64> {
        const INITS_TAKE: u64 = 1_000_000_000;
        let age = self.history?.age_ns;
        let parent = self.parent;
        let can_be_init = matches!(
            parent.runtime,
            None | Some(LanguageRuntime::C | LanguageRuntime::Rust)
        );
        let takes = parent.sigchld == Disposition::Handler
            || parent.has_signalfd == Some(true)
            || self.all(|thread| thread.blocks_sigchld)
            || self.any(waits_for_signals);
        (age < INITS_TAKE && can_be_init && takes).then_some(age)
    }

    /// Whom it waits for, if all that could reap the zombie wait for others.
    fn waits_for(&self) -> Option<String> {
        let mut others = self.able().map(|thread| other_target(thread, self));
        let first = others.next()??;
        others.all(|other| other.is_some()).then_some(first)
    }

    /// The main thread waits for events, as an idle event loop does.
    fn is_in_epoll(&self) -> bool {
        let function = self.main_thread().and_then(|main| main.wchan.as_deref());
        function.is_none_or(|function| function.contains("epoll") || function == "ep_poll")
    }

    /// A thread besides the main thread that runs, as the end of a sentence.
    fn worker_runs(&self) -> String {
        let mut threads = self.parent.threads.iter();
        let worker =
            threads.find(|thread| thread.tid != self.parent.pid && thread.state == State::Runnable);
        worker.map_or_else(String::new, |thread| {
            format!("; thread {} runs (state R)", thread.tid)
        })
    }

    /// What is left to say.
    fn is_not_waiting(&self) -> Claim {
        let handles = match self.parent.sigchld {
            Disposition::Default => "does not handle SIGCHLD and ",
            _ => "",
        };
        let waits = match self.any(|thread| other_target(thread, self).is_some()) {
            true => "is not waiting for it now",
            false => "is not waiting now",
        };
        let (reaping, place) = (self.reaping(), self.place());
        (
            Cause::NeverWaits,
            format!("{handles}{waits}{reaping}{place}"),
        )
    }
}

fn is_ending(case: &Case<'_>) -> Option<Claim> {
    let ends = case.parent.threads.is_empty() || case.parent.exiting;
    ends.then_some((
        Cause::ParentExiting,
        "is ending; another process then inherits its zombies".into(),
    ))
}

fn is_frozen(case: &Case<'_>) -> Option<Claim> {
    let refrigerated = |thread: &ThreadFacts| {
        let functions = ["do_freezer_trap", REFRIGERATOR];
        let wchan = thread.wchan.as_deref();
        wchan.is_some_and(|wchan| functions.contains(&wchan))
    };
    let frozen = case.parent.frozen.is_some() || case.all(refrigerated);
    frozen.then_some((Cause::ParentFrozen, "is frozen with its cgroup".into()))
}

fn is_stopped(case: &Case<'_>) -> Option<Claim> {
    let stopped = case.all(|thread| thread.state == State::Stopped);
    let place = match case.parent.background {
        true => ", in the background of its terminal",
        false => "",
    };
    stopped.then(|| (Cause::ParentStopped, format!("is stopped (state T){place}")))
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
    if !case.all(|thread| thread.starved) {
        return None;
    }
    let limit = case.parent.cpu_limit.as_ref();
    let throttled = limit.filter(|limit| limit.throttled > 0);
    let throttled = throttled.map_or_else(String::new, |CpuLimit { file, throttled }| {
        let times = counted(*throttled, "time", "times");
        format!("; {file} has throttled its cgroup {times}")
    });
    Some((
        Cause::ParentStarved,
        format!("could run, but got hardly any CPU (state R){throttled}"),
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
        format!(
            "waits in vfork until its new child, {other}, calls exec or ends{}",
            place_of(child)
        ),
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

/// The end of a run finds zombies that nobody has had the time to reap.
fn is_new(case: &Case<'_>) -> Option<Claim> {
    const LITTLE: u64 = 20_000_000;
    let age = case.history?.age_ns;
    (age < LITTLE).then(|| {
        (
            Cause::Unknown,
            format!("has had only {} to reap it", human(age)),
        )
    })
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
    if let Some(age) = case.is_in_time() {
        return Some((
            Cause::Unknown,
            format!(
                "is PID 1 of its pid namespace and takes SIGCHLD, but has not reaped it in the {} since \
                 then",
                human(age)
            ),
        ));
    }
    let inherited = match case.zombie.foreign {
        Some(true) => ", and has inherited this one, which it did not make",
        _ => "",
    };
    let reaping = case.reaping();
    let does = match case.waits_for() {
        Some(other) => format!("it is blocked in a wait for {other} alone"),
        None => "it is not waiting for any child now".to_owned(),
    };
    Some((
        Cause::InitNeverWaits,
        format!(
            "is PID 1 of its pid namespace, to which orphans go{inherited}, but {does}{reaping}"
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
    let other = case.waits_for()?;
    Some((
        Cause::WaitsForOther,
        format!("is blocked in a wait for {other} alone"),
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
    let what = format!("gets {signal} for this child instead of SIGCHLD (its exit_signal)");
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
    let PipeFacts {
        tid, fd, writer, ..
    } = pipe;
    let is_main = *tid == case.parent.pid;
    if !is_main && !may_be_of(pipe, case.zombie) {
        return None;
    }
    let reads = match is_main {
        true => "is reading".to_owned(),
        false => format!("has thread {tid} reading"),
    };
    let what = match pipe.is_terminal {
        true => "a pseudoterminal",
        false => "a pipe",
    };
    let other = named(writer);
    Some((
        Cause::ParentReadsPipe,
        format!(
            "{reads} {what} (descriptor {fd}), whose other end {other} holds open{}",
            place_of(writer)
        ),
    ))
}

/// Whether the zombie can have made the process that holds the pipe open: what the main thread does keeps
/// the parent from all else, what another does only from its own child.
fn may_be_of(pipe: &PipeFacts, zombie: &ZombieFacts) -> bool {
    zombie.groups.first() == Some(&pipe.group)
        && zombie.start_ticks > 0
        && pipe.start_ticks >= zombie.start_ticks
}

/// It reaps, but so seldom that zombies wait for their turn.
fn reaps_late(case: &Case<'_>) -> Option<Claim> {
    let history = case.history?;
    let reaps = case.reaps()?;
    let Pace {
        rounds,
        reaped,
        every_ns,
        longest_ns,
        longest_zombie_ns,
        before_starts,
    } = reaps.pace?;
    // Longer ago than the pace of its reaps explains: it has stopped, and why is another rule's matter.
    let has_stopped = reaps.since_last_ns > 3 * every_ns.max(longest_ns / 2);
    // Those that it reaps it reaps at once.
    let is_prompt = longest_zombie_ns < every_ns / 4;
    if has_stopped || is_prompt || case.is_passed_over() {
        return None;
    }
    let every = human(every_ns);
    let how = match reaped > rounds {
        true => format!(
            "reaps every {every} on average, {:.1} children each time",
            reaped as f64 / rounds as f64
        ),
        false => format!("reaps one child every {every} on average"),
    };
    let when = match before_starts {
        true => ", just before it starts the next child",
        false => "",
    };
    let left = match history.zombies {
        0 | 1 => String::new(),
        zombies => format!(", and has {zombies} zombies now"),
    };
    Some((
        Cause::ReapsLate,
        format!(
            "{how}{when} ({} in the {} that it was watched, the last {} ago){left}",
            reaps.count,
            human(history.watched_ns),
            human(reaps.since_last_ns),
        ),
    ))
}

fn holds_pidfd(case: &Case<'_>) -> Option<Claim> {
    // Go has one of each child, waited for or not.
    if case.parent.runtime == Some(LanguageRuntime::Go) {
        return None;
    }
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
            format!(
                "takes SIGCHLD by a signalfd, where it is not pending any more, but has not reaped this one{place}"
            ),
        )
    })
}

/// Whether a thread is in sigwait(3) or its like, which unblocks what it waits for (do_sigtimedwait,
/// kernel/signal.c).
fn waits_for_signals(thread: &ThreadFacts) -> bool {
    let function = thread.wchan.as_deref();
    function.is_some_and(|function| function.contains("sigtimedwait"))
}

/// Where all other threads block SIGCHLD, the one that is in sigwait waits for it.
fn takes_it_by_sigwait(case: &Case<'_>) -> Option<Claim> {
    let mut threads = case.parent.threads.iter();
    let taker = threads.find(|thread| waits_for_signals(thread) && !thread.blocks_sigchld)?;
    let others = || {
        case.parent
            .threads
            .iter()
            .filter(|thread| thread.tid != taker.tid)
    };
    let all_block = others().count() > 0 && others().all(|thread| thread.blocks_sigchld);
    if !all_block || case.pending() {
        return None;
    }
    Some((
        Cause::SignalfdLeavesIt,
        format!(
            "takes SIGCHLD by sigwait (thread {} is in it), where it is not pending any more, but has not \
             reaped this one{}",
            taker.tid,
            case.reaping()
        ),
    ))
}

fn blocks_sigchld(case: &Case<'_>) -> Option<Claim> {
    if !case.pending() || !case.all(|thread| thread.blocks_sigchld) {
        return None;
    }
    let inherited = case
        .parent
        .mask_from
        .as_ref()
        .map_or_else(String::new, |other| {
            let other = named(other);
            format!("; {other}, its own parent, blocks it too: the mask may be inherited")
        });
    if case.parent.sigchld == Disposition::Handler {
        return Some((
            Cause::BlocksSigchld,
            format!(
                "has SIGCHLD pending, which all its threads block: they do so while its handler runs, too\
                 {inherited}"
            ),
        ));
    }
    let sleeps = match case.any(|thread| matches!(thread.wait, Wait::Unreadable(_))) {
        true => "has not taken it",
        false => "is not waiting",
    };
    Some((
        Cause::BlocksSigchld,
        format!("blocks SIGCHLD, which is pending, and {sleeps}{inherited}"),
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
fn interpreter_takes_its_time(case: &Case<'_>) -> Option<Claim> {
    use LanguageRuntime::{Node, Perl, Php, Python, Ruby, Shell};
    if case.parent.sigchld != Disposition::Handler {
        return None;
    }
    let runtime = case.parent.runtime?;
    let busy = case.main_thread()?.state == State::Runnable;
    // What the handler has done by then is the next rules' matter.
    let has_reaped = case.reaps().is_some_and(|reaps| reaps.count > 0);
    let (reaping, place) = (case.reaping(), case.place());
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
        Php if !has_reaped => claim(
            Cause::HandlerLeavesIt,
            "has a SIGCHLD handler, which PHP only runs when signals are dispatched, and has not reaped it",
        ),
        Ruby if !has_reaped => Some((
            Cause::NeverWaits,
            format!(
                "is a Ruby program, whose interpreter can have a SIGCHLD handler that reaps nothing, and \
                 no thread is waiting for this one{reaping}{place}"
            ),
        )),
        Shell => Some((
            Cause::HandlerLeavesIt,
            format!(
                "is a shell, which reaps background jobs when it waits for a command, and is not \
                 waiting now{reaping}{place}"
            ),
        )),
        _ => None,
    }
}

/// A signal that is neither handled nor blocked is discarded, so that no signalfd gets it.
fn has_useless_signalfd(case: &Case<'_>) -> Option<Claim> {
    let is_discarded = case.parent.sigchld == Disposition::Default
        && case.all(|thread| thread.state != State::Other && !thread.blocks_sigchld);
    if case.parent.has_signalfd != Some(true) || !is_discarded {
        return None;
    }
    let (reaping, place) = (case.reaping(), case.place());
    Some((
        Cause::NeverWaits,
        format!(
            "has a signalfd for SIGCHLD, which gets none as no thread blocks SIGCHLD, and is not waiting \
             for it now{reaping}{place}"
        ),
    ))
}

/// In these, nothing reaps a child but a wait for that very child.
fn reaps_by_wait_alone(case: &Case<'_>) -> Option<Claim> {
    let runtime = case.parent.runtime?;
    let (name, reaping) = (runtime.name(), case.reaping());
    let what = match runtime {
        LanguageRuntime::Go => "which reaps a child only when Wait() is called for it",
        LanguageRuntime::Java => "whose runtime reaps only what ProcessBuilder started",
        LanguageRuntime::Node if !case.is_in_epoll() => {
            "whose event loop reaps what child_process started, and is not running now"
        }
        LanguageRuntime::Node => {
            "in which the event loop of the thread that started a child by child_process reaps it"
        }
        _ => return None,
    };
    let place = case.place();
    let runs = match runtime {
        LanguageRuntime::Node => case.worker_runs(),
        _ => String::new(),
    };
    Some((
        Cause::NeverWaits,
        format!(
            "is a {name} program, {what}, and no thread is waiting for this one{reaping}{place}{runs}"
        ),
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
    let reaping = case.reaping();
    if case.all(|thread| thread.blocks_sigchld) {
        let place = case.place();
        return Some((
            Cause::HandlerLeavesIt,
            format!(
                "has a SIGCHLD handler, which may be running still (all threads block SIGCHLD, as they do \
                 in it), and has not reaped this one{place}"
            ),
        ));
    }
    let Some((history, handler)) = case.history.and_then(|it| Some((it, it.handler?))) else {
        return Some((
            Cause::HandlerLeavesIt,
            format!(
                "handles SIGCHLD, which is not pending any more, but has not reaped it and is not waiting \
                 now{reaping}{}{}",
                case.place(),
                case.blocker()
            ),
        ));
    };
    let HandlerHistory { runs, deaths } = handler;
    // One that reaps more than one child each time does not leave any because signals coalesce.
    let one_each = case.reaps().is_none_or(|reaps| reaps.count <= runs);
    let cause = match runs < deaths && runs > 0 && one_each {
        true => Cause::SignalsCoalesced,
        false => Cause::HandlerLeavesIt,
    };
    // That says already for how long it was watched.
    let watched = match reaping.is_empty() {
        true => format!(" in the {} that it was watched", human(history.watched_ns)),
        false => reaping,
    };
    Some((
        cause,
        format!(
            "handles SIGCHLD, but has not reaped it: its handler ran {} for {}{watched}{}{}",
            counted(runs, "time", "times"),
            counted(deaths, "death", "deaths"),
            case.place(),
            case.blocker()
        ),
    ))
}

fn is_busy(case: &Case<'_>) -> Option<Claim> {
    let main = case.main_thread();
    let busy = match main {
        Some(thread) => thread.state == State::Runnable,
        None => case.any(|thread| thread.state == State::Runnable),
    };
    let none = case.reaping();
    busy.then(|| {
        (
            Cause::ParentBusy,
            format!("does not handle SIGCHLD, and is running, not blocked in a wait{none}"),
        )
    })
}

fn named(process: &OtherProcess) -> String {
    format!("process {} ({})", process.pid, process.comm.to_str())
}

/// Where it sleeps, as the end of a sentence that ends with it.
fn place_of(process: &OtherProcess) -> String {
    let function = process.wchan.as_ref();
    function.map_or_else(String::new, |function| {
        format!("; process {} sleeps in {function}", process.pid)
    })
}

fn counted(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {more}"),
    }
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
