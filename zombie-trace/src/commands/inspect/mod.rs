//! `zombie-trace inspect PID`: everything about one zombie and its parent, for a person.

mod args;
mod pace;
#[cfg(feature = "stacks")]
mod stacks;
pub(crate) mod threads;
mod watch;

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::{Context as _, bail};
use caps::Capability;
use jiff::tz::TimeZone;

use self::watch::{LISTED, Watch, WatchedReaping};
pub use args::InspectArgs;

use crate::{
    aggregate::Breakdown,
    cause::{self, Facts, ParentFacts, State, ThreadFacts, diagnose},
    container::{Container, Runtime},
    exit_code::ExitCode,
    lifecycle::Lifecycle,
    model::{Alive, Cause, Diagnosis, Dying, Place, Zombie},
    stderr::{say, warn},
    system::{
        monotonic_now,
        privilege::raised,
        proc::{self, Existing, Proc},
        wall_clock,
    },
    text::{HEADING, encode, human, lifetime, printable, time_of_day, visible, wrap},
};

/// Of a command line this many characters are shown.
const LONGEST_CMDLINE: usize = 256;

/// Describes a process.
///
/// # Errors
/// There is no such process; /proc can't be read, or standard output not be written; it is to be
/// watched, and that can't be.
pub fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let pid = args.pid.get();
    let proc = Proc::open()?;
    if let Some(gap) = proc.gap() {
        warn(&gap.to_string());
    }
    let Some(leader) = proc.process_of(pid) else {
        if proc::exists(pid) {
            bail!("process {pid} exists, but /proc does not show it: run it as root");
        }
        bail!(
            "there is no process {pid}: if it was a zombie it has been reaped ('zombie-trace ps' \
             lists the living zombies)"
        );
    };
    let mut text = String::new();
    if leader != pid {
        let _ = writeln!(text, "{pid} is a thread of process {leader}.\n");
    }
    let zombie = raised(Capability::CAP_SYS_PTRACE, || proc.zombie(leader));
    let dying = match zombie {
        Some(_) => None,
        None => raised(Capability::CAP_SYS_PTRACE, || dying(&proc, leader))?,
    };
    let parent = zombie.as_ref().map_or(leader, |zombie| zombie.facts.ppid);
    if args.duration.is_some() && parent == 0 {
        bail!("--duration: the parent of {leader} can't be seen from here, nor watched");
    }
    // Before it is described: what it does meanwhile is seen, too.
    let watch = match args.duration {
        Some(duration) => Some((duration, Watch::begin(parent)?)),
        None => None,
    };
    raised(Capability::CAP_SYS_PTRACE, || match (&zombie, &dying) {
        (Some(zombie), _) => about_zombie(&mut text, &proc, zombie),
        (None, Some(dying)) => {
            about_dying(&mut text, &proc, dying);
            Ok(())
        }
        (None, None) => about_living(&mut text, &proc, leader),
    })?;
    if let Some((duration, watch)) = watch {
        write(args, &text)?;
        say(&format!(
            "watching {parent} for {}",
            human(duration.as_nanos())
        ));
        text.clear();
        about_reaping(&mut text, &watch.follow(duration)?);
    } else if zombie.is_none() && dying.is_none() {
        let _ = writeln!(
            text,
            "\nHow promptly it reaps: sudo zombie-trace inspect -d 10s {leader}"
        );
    }
    write(args, &text)?;
    Ok(ExitCode::Success)
}

/// That nobody reads on is fine.
fn write(args: &InspectArgs, text: &str) -> anyhow::Result<()> {
    let mut out = anstream::AutoStream::new(io::stdout(), args.color.when.into()).lock();
    match out
        .write_all(encode(text).as_bytes())
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn heading(text: &mut String, title: &str) {
    let _ = writeln!(text, "\n{HEADING}{title}{HEADING:#}");
}

fn line(text: &mut String, name: &str, value: &str) {
    const INDENT: usize = 16;
    let width = terminal_size::terminal_size()
        .filter(|_| io::stdout().is_terminal())
        .map(|(width, _)| usize::from(width.0).saturating_sub(INDENT).max(20));
    let value = wrap(&visible(value), width).replace('\n', &format!("\n{}", " ".repeat(INDENT)));
    let _ = writeln!(text, "  {name:<14}{value}");
}

/// Zombies as a run would list them.
fn alive(zombies: &[Existing]) -> Vec<Alive> {
    let cpus: HashSet<u32> = zombies.iter().map(|zombie| zombie.entry.now.cpu).collect();
    let clocks = proc::run_queue_clocks(cpus);
    let wall = wall_clock();
    let now = monotonic_now();
    let mut lifecycle = Lifecycle::new(0);
    let alive = |zombie: &Existing| {
        lifecycle.adopt(&zombie.entry, &clocks, &wall);
        lifecycle.alive(&zombie.entry.record, now, &wall, Place::default())
    };
    zombies.iter().map(alive).collect()
}

fn about_zombie(text: &mut String, proc: &Proc, zombie: &Existing) -> anyhow::Result<()> {
    let record = &zombie.entry.record;
    let parents = proc.parent_in_detail(zombie.facts.ppid);
    let parent = parents.get(zombie.facts.ppid);
    let diagnosis = diagnose(Facts {
        zombie: &zombie.facts,
        parent,
        history: None,
    });
    let Some(alive) = alive(std::slice::from_ref(zombie)).pop() else {
        return Ok(());
    };
    let name = printable(&alive.comm);
    let threads = zombie.facts.live_threads.len();
    if threads == 0 {
        let _ = writeln!(
            text,
            "Process {} ({name}) has been a zombie for {} (± {}).",
            record.pid,
            human(alive.age_ns),
            human(alive.error_ns)
        );
    } else {
        let _ = writeln!(
            text,
            "Process {} ({name}) is no zombie yet: its main thread ended {} ago, others live on.",
            record.pid,
            human(alive.age_ns)
        );
    }

    heading(text, "Why");
    line(text, "cause", diagnosis.cause.code());
    line(text, "found", &diagnosis.finding);
    if let Some(advice) = &diagnosis.advice {
        line(text, "what helps", advice);
    }
    if let Some(parent) = parent {
        commands(text, &diagnosis, parent);
    }

    heading(text, "What it still holds");
    let status = match (zombie.status_known, alive.exit_code, alive.signal) {
        (false, ..) => "known to its owner and root only".to_owned(),
        (_, _, Some(signal)) => format!("killed by signal {signal}"),
        (_, Some(code), _) => format!("exit code {code}"),
        _ => "not known".to_owned(),
    };
    line(text, "status", &status);
    line(
        text,
        "pid",
        &format!("{} stays taken until it is reaped", record.pid),
    );
    if record.ns_pid != record.pid {
        line(
            text,
            "",
            &format!("{} in its own pid namespace", record.ns_pid),
        );
    }
    line(text, "user", &record.uid.to_string());
    line(text, "CPU time", &human(zombie.cpu_ns));
    if let Some(cgroup) = &zombie.cgroup {
        line(
            text,
            "cgroup",
            &format!("{cgroup} (it still counts in pids.current)"),
        );
    }
    if let Some(container) = zombie.cgroup.as_deref().and_then(Container::of_path) {
        line(text, "container", &told(&container));
    }
    if threads == 0 {
        line(text, "memory, files", "none: given back when it ended");
    } else {
        line(text, "memory, files", "all of them, while a thread lives");
    }

    tree(text, proc, record.pid);
    match parent {
        Some(parent) => {
            let (living, zombies) = proc.children(parent.pid).context("cannot read /proc")?;
            about_parent(text, proc, "Parent", parent, [living.len(), zombies.len()]);
        }
        None => {
            heading(text, "Parent");
            line(text, "", "not visible from here");
        }
    }
    Ok(())
}

/// All that its path tells of a container.
fn told(container: &Container) -> String {
    let runtime = container.runtime.map(Runtime::as_str);
    let id = container.id.as_deref();
    let pod = container
        .pod_uid
        .as_ref()
        .map(|uid| format!("in pod {uid}"));
    let parts = [runtime, id, pod.as_deref()];
    visible(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn tree(text: &mut String, proc: &Proc, pid: u32) {
    heading(text, "Ancestors");
    let mut ancestors = proc.ancestors(pid);
    ancestors.reverse();
    for (depth, (pid, comm)) in ancestors.iter().enumerate() {
        let indent = " ".repeat(2 * depth + 2);
        let _ = writeln!(text, "{indent}{pid} {}", printable(comm));
    }
}

fn about_parent(
    text: &mut String,
    proc: &Proc,
    title: &str,
    parent: &ParentFacts,
    [living, zombies]: [usize; 2],
) {
    heading(text, title);
    line(
        text,
        "process",
        &format!("{} ({})", parent.pid, printable(&parent.comm)),
    );
    if let Some(cmdline) = proc::command_line(parent.pid, parent.comm) {
        let cut: String = cmdline.chars().take(LONGEST_CMDLINE).collect();
        line(text, "command", &cut);
    }
    if let Some(container) = proc
        .cgroup(parent.pid)
        .as_deref()
        .and_then(Container::of_path)
    {
        line(text, "container", &told(&container));
    }
    line(text, "SIGCHLD", &threads::disposition(parent));
    line(text, "blocked", &threads::blocked(parent));
    for (index, thread) in threads::of(parent, proc, LISTED).iter().enumerate() {
        let name = if index == 0 { "threads" } else { "" };
        line(text, name, thread);
    }
    if parent.threads.len() > LISTED {
        line(
            text,
            "",
            &format!("… and {} more", parent.threads.len() - LISTED),
        );
    }
    if let Some(rivalry) = threads::rivalry(parent, proc) {
        line(text, "beware", &rivalry);
    }
    let zombies = match zombies {
        1 => "1 zombie".to_owned(),
        zombies => format!("{zombies} zombies"),
    };
    line(text, "children", &format!("{living} alive, {zombies}"));
    #[cfg(feature = "stacks")]
    for (title, frames) in stacks::of(parent) {
        heading(text, &title);
        for frame in frames {
            line(text, "", &frame);
        }
    }
}

/// What shows more, for the shell.
fn commands(text: &mut String, diagnosis: &Diagnosis, parent: &ParentFacts) {
    let pid = parent.pid;
    let hangs = |thread: &&ThreadFacts| thread.state == State::Uninterruptible;
    let mut commands = Vec::new();
    let is_frozen = diagnosis.cause == Cause::ParentFrozen;
    if let Some(thread) = parent.threads.iter().find(hangs).filter(|_| !is_frozen) {
        commands.push(format!("sudo cat /proc/{pid}/task/{}/stack", thread.tid));
    }
    match diagnosis.cause {
        Cause::ParentStopped => commands.push(format!("kill -CONT {pid}")),
        Cause::ParentFrozen | Cause::ParentExiting | Cause::LeaderWithThreads => {}
        Cause::ParentStarved => commands.push(format!("ps -o pid,ni,cls,psr,stat,comm {pid}")),
        Cause::ParentInVfork => {}
        _ => {
            let calls = "wait4,waitid";
            commands.push(format!(
                "sudo strace -f -p {pid} -e trace={calls} -e signal=SIGCHLD"
            ));
        }
    }
    commands.push(format!("sudo zombie-trace inspect -d 10s {pid}"));
    for (index, command) in commands.iter().enumerate() {
        let name = if index == 0 { "look further" } else { "" };
        line(text, name, command);
    }
}

/// The process, if it is dying; with how long it has been at least, if that is known.
fn dying(proc: &Proc, pid: u32) -> anyhow::Result<Option<Dying>> {
    let unended = proc.unended(Some(&[pid])).context("cannot read /proc")?;
    let now = monotonic_now();
    let ts = wall_clock().timestamp(now);
    Ok(unended.first().and_then(|process| {
        let since = proc::since_last_run(process, now);
        process.dying(ts, Some(since).filter(|&since| since > 0))
    }))
}

fn about_dying(text: &mut String, proc: &Proc, dying: &Dying) {
    let name = printable(&dying.comm);
    let _ = writeln!(
        text,
        "Process {} ({name}) is dying, and has not ended.",
        dying.pid
    );
    heading(text, "Why");
    line(text, "found", &cause::dying(dying));
    let frozen = proc.frozen(dying.pid);
    let thaw = frozen.as_ref().and_then(cause::thaw);
    let advice = thaw.as_deref().unwrap_or(
        "no signal ends a thread that hangs: what it waits for has to answer or be given up \
         (docs/causes.md#dying)",
    );
    line(text, "what helps", advice);
    if let Some(thread) = dying.threads.first().filter(|_| frozen.is_none()) {
        let stack = format!("sudo cat /proc/{}/task/{}/stack", dying.pid, thread.tid);
        line(text, "look further", &stack);
    }
    heading(text, "What is left of it");
    for (index, thread) in dying.threads.iter().take(LISTED).enumerate() {
        let name = if index == 0 { "threads" } else { "" };
        let place = thread.wchan.as_deref();
        let place = place.map_or_else(String::new, |function| format!(" in {function}"));
        let (tid, comm) = (thread.tid, printable(&thread.comm));
        line(
            text,
            name,
            &format!("{tid} ({comm}) {}{place}", thread.state),
        );
    }
    if dying.threads.len() > LISTED {
        let more = dying.threads.len() - LISTED;
        line(text, "", &format!("… and {more} more"));
    }
    tree(text, proc, dying.pid);
}

fn about_living(text: &mut String, proc: &Proc, pid: u32) -> anyhow::Result<()> {
    let parents = proc.parent_in_detail(pid);
    let Some(process) = parents.get(pid) else {
        let _ = writeln!(text, "Process {pid} has just ended.");
        return Ok(());
    };
    let name = printable(&process.comm);
    // One look: all numbers below are about it.
    let (living, zombies) = proc.children(pid).context("cannot read /proc")?;
    let zombies: Vec<Existing> = zombies
        .into_iter()
        .filter_map(|pid| proc.zombie(pid))
        .collect();
    let children = [living.len(), zombies.len()];
    let _ = match (living.len(), zombies.len()) {
        (0, 0) => writeln!(
            text,
            "Process {pid} ({name}) is alive, and has no children."
        ),
        (living, 0) => writeln!(
            text,
            "Process {pid} ({name}) is alive, has {living} children, and none is a zombie."
        ),
        (living, dead) => writeln!(
            text,
            "Process {pid} ({name}) is alive; {dead} of its {} children are zombies.",
            living + dead
        ),
    };
    if !zombies.is_empty() {
        heading(text, "Its zombies");
        let diagnoses = zombies.iter().map(|zombie| {
            diagnose(Facts {
                zombie: &zombie.facts,
                parent: Some(process),
                history: None,
            })
        });
        let mut listed: Vec<(Alive, Diagnosis)> =
            alive(&zombies).into_iter().zip(diagnoses).collect();
        listed.sort_by_key(|(zombie, _)| std::cmp::Reverse(zombie.age_ns));
        for (zombie, diagnosis) in listed.iter().take(LISTED) {
            line(
                text,
                &zombie.pid.to_string(),
                &format!(
                    "{} {}: {}",
                    printable(&zombie.comm),
                    human(zombie.age_ns),
                    diagnosis.cause
                ),
            );
        }
        if listed.len() > LISTED {
            line(text, "", &format!("… and {} more", listed.len() - LISTED));
        }
        if let Some((_, diagnosis)) = listed.first() {
            line(text, "found", &diagnosis.finding);
            if let Some(advice) = &diagnosis.advice {
                line(text, "what helps", advice);
            }
            commands(text, diagnosis, process);
        }
    }
    tree(text, proc, pid);
    about_parent(text, proc, "As a parent", process, children);
    Ok(())
}

fn about_reaping(text: &mut String, seen: &WatchedReaping) {
    let Some(summary) = &seen.summary else {
        return;
    };
    heading(
        text,
        &format!("How it reaped in {}", human(summary.duration_ns)),
    );
    let counts = &summary.counts;
    let lost = counts.lost.map_full.saturating_add(counts.lost.missed);
    let lost = if lost > 0 {
        format!(", {lost} lost")
    } else {
        String::new()
    };
    line(
        text,
        "children",
        &format!(
            "{} ended: {} reaped, {} autoreaped, {} living{lost}",
            counts.exits, counts.reaped, counts.autoreaped, counts.alive
        ),
    );
    let older = seen
        .alive
        .iter()
        .filter(|alive| alive.pre_existing())
        .count();
    let older = match older {
        0 => String::new(),
        older => format!(", {older} of them pre-existing"),
    };
    line(text, "zombies now", &format!("{}{older}", seen.alive.len()));
    let pace = &seen.pace;
    let reaps = match pace.reaps() {
        0 => "none".to_owned(),
        all if all == pace.in_last_minute() => all.to_string(),
        all => format!(
            "{all}, {} of them in the last minute",
            pace.in_last_minute()
        ),
    };
    let gap = match pace.reaps() {
        0 => String::new(),
        _ => format!("; the longest gap {}", human(pace.longest_ns())),
    };
    line(text, "its reaps", &format!("{reaps}{gap}"));
    let times = &summary.zombie_ns;
    if let (Some(p50), Some(p99), Some(max)) = (times.p50, times.p99, times.max) {
        let times = [("p50", p50), ("p99", p99), ("max", max)];
        let times =
            times.map(|(name, time)| format!("{name} {}", lifetime::exact(time, seen.error_ns)));
        line(text, "zombie time", &times.join("  "));
    }
    let parent = summary.by_parent.first();
    if let Some((part, share)) = parent.and_then(|row| Breakdown::of(&row.group).largest()) {
        line(text, "mostly", &format!("{share:.0} % {part}"));
    }
    let by_how: Vec<_> = seen
        .by_how
        .iter()
        .map(|(how, count)| format!("{how} {count}"))
        .collect();
    if !by_how.is_empty() {
        line(text, "how", &by_how.join(", "));
    }
    for (index, zombie) in seen.latest.iter().enumerate() {
        let name = if index == 0 { "latest" } else { "" };
        line(text, name, &reap(zombie));
    }
    let cause = |alive: &Alive| Some((alive.cause?, alive.cause_text.clone()?));
    if let Some((cause, found)) = seen.alive.iter().find_map(cause) {
        line(text, "left", &format!("{cause}: {found}"));
    }
    if !summary.complete {
        let lost = &counts.lost;
        let lost = lost.ring_full + lost.map_full + lost.missed;
        line(text, "lost", &format!("{lost}: this is not all of it"));
    }
}

fn reap(zombie: &Zombie) -> String {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let time = time_of_day(zombie.ts, &zone);
    let name = printable(&zombie.comm);
    let (pid, how) = (zombie.pid, zombie.how.as_str());
    if zombie.autoreaped() {
        return format!("{time} {pid} ({name}) by {how}");
    }
    format!(
        "{time} {pid} ({name}) after {} by {how}",
        lifetime::exact(zombie.zombie_ns, zombie.error_ns)
    )
}
