//! `zombie-trace ps`: the zombies that exist now.

mod args;
mod watch;

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write as _},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use caps::Capability;

pub use args::PsArgs;

use crate::{
    args::ScopeArgs,
    cause::{Facts, History, diagnose},
    commands::gates::Gates,
    exit_code::ExitCode,
    filter::Filter,
    gate::Figures,
    lifecycle::Lifecycle,
    model::{Comm, Diagnosis, Dying},
    sink::{self, Output, Process, Sink as _},
    stderr::warn,
    system::{
        Cgroup, Cgroups, Subtree, monotonic_now, place_of,
        privilege::raised,
        proc::{self, Existing, Gap, Proc, Rest, UnendedProcess, since_last_run},
        wall_clock,
    },
    value::Pid,
};

/// Lists them; the status says whether a condition holds.
///
/// # Errors
/// /proc can't be read or does not show all processes; standard output or the file of `--format`
/// can't be written.
pub fn run(args: &PsArgs) -> anyhow::Result<ExitCode> {
    let proc = Proc::open()?;
    let gates = Gates::open(&args.gates)?;
    if let Some(every) = args.watch {
        watch::watch(every.into(), |output| {
            let seen = list_all(&proc, args)?;
            let text = text_of(args, &seen, output);
            let gap = seen.gap;
            let gap = gap.map(|gap| format!("\nthere may be more zombies: {gap}\n"));
            Ok(text + &gap.unwrap_or_default())
        })?;
        return Ok(ExitCode::Success);
    }
    let seen = list_all(&proc, args)?;
    let Seen {
        processes,
        dying,
        gap,
    } = &seen;
    if gap.is_none() && processes.is_empty() && dying.is_empty() {
        refuse_nobody(&args.scope)?;
    }
    // That there is none is not known then.
    if gap.is_none() || !processes.is_empty() || !dying.is_empty() {
        let output = Output::stdout().context("cannot open standard output")?;
        match write(args, &seen, output) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.context("cannot write to standard output")?,
        }
    }
    if let Some(gap) = gap {
        bail!("there may be more zombies: {gap}");
    }
    let zombies = processes.iter().filter(|process| process.is_reapable());
    let ages = zombies.map(|process| process.alive.age_ns);
    let figures = Figures {
        alive: Some(ages.clone().count() as u64),
        oldest_ns: ages.max(),
        ..Figures::default()
    };
    gates.conclude(0, |condition| condition.judge(&figures))
}

/// Nothing was found: it must not look as if that were good, if it is about something that is not there.
fn refuse_nobody(scope: &ScopeArgs) -> anyhow::Result<()> {
    let wanted = [("--pid", &scope.pid), ("--ppid", &scope.ppid)];
    let wanted = wanted
        .iter()
        .flat_map(|(option, pids)| pids.iter().map(move |pid| (*option, *pid)));
    for (option, pid) in wanted.chain(scope.tree.map(|pid| ("--tree", pid))) {
        if !proc::exists(pid.get()) {
            bail!("{option} {pid}: there is no such process");
        }
    }
    scope.warn_of_no_cgroup("");
    scope.warn_of_no_container("");
    Ok(())
}

/// What [`run`] shows of the descendants of a process.
///
/// # Errors
/// As [`run`].
pub(crate) fn show_tree(proc: &Proc, root: Pid) -> anyhow::Result<()> {
    let mut args = PsArgs::default();
    args.scope.tree = Some(root);
    let output = Output::stdout().context("cannot open standard output")?;
    Ok(write(&args, &list(proc, &args)?, output)?)
}

/// What /proc shows.
struct Seen {
    /// The oldest first.
    processes: Vec<Process>,
    /// Those that began to end and do not come to their end.
    dying: Vec<Dying>,
    /// Why there may be more, if so.
    gap: Option<Gap>,
}

fn write(args: &PsArgs, seen: &Seen, output: Output) -> io::Result<()> {
    if args.json {
        let mut json = sink::Json::new(output, true);
        for process in &seen.processes {
            json.alive(&process.alive)?;
        }
        for dying in &seen.dying {
            json.dying(dying)?;
        }
        return json.flush();
    }
    let text = text_of(args, seen, &output);
    let mut output = sink::Encoded(output);
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn text_of(args: &PsArgs, seen: &Seen, output: &Output) -> String {
    /// Of each parent.
    const ROWS: usize = 10;
    let look = sink::Look {
        width: output.width(),
        color: output.colored(args.color.when),
    };
    let rows = if args.each { usize::MAX } else { ROWS };
    let text = sink::process_table(&seen.processes, look, rows);
    match sink::dying_table(&seen.dying, look) {
        dying if dying.is_empty() => text,
        dying => format!("{text}\n{dying}"),
    }
}

fn list_all(proc: &Proc, args: &PsArgs) -> anyhow::Result<Seen> {
    raised(Capability::CAP_SYS_PTRACE, || list(proc, args))
}

fn list(proc: &Proc, args: &PsArgs) -> anyhow::Result<Seen> {
    let mut in_scope = scope(proc, &args.scope)?;
    let found = proc.existing().context("cannot read /proc")?;
    let mut zombies = found.zombies;
    zombies.retain(|zombie| in_scope(&Candidate::from(zombie)));

    let looked = monotonic_now();
    let parents = proc.parents(zombies.iter().map(|zombie| zombie.facts.ppid));
    zombies.retain(|zombie| proc.is_still_there(zombie.entry.record.pid, &zombie.facts));
    let mut cpus: Vec<_> = zombies.iter().map(|zombie| zombie.entry.now.cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    cpus.retain(|cpu| *cpu != u32::MAX);
    let clocks = proc::run_queue_clocks(cpus);
    let wall = wall_clock();
    let now = monotonic_now();
    let filter = Filter::from(&args.filter);
    let mut lifecycle = Lifecycle::new(0);
    let mut cmdlines: HashMap<_, Option<Arc<str>>> = HashMap::new();
    let mut processes = Vec::new();
    for zombie in &zombies {
        let parent = parents.get(zombie.facts.ppid);
        let mut entry = zombie.entry;
        if let Some(parent) = parent {
            entry.record.parent_comm = parent.comm.to_raw();
        }
        lifecycle.adopt(&entry, &clocks, &wall);
        let mut place = place_of(zombie.cgroup.as_deref());
        let parent_container = place_of(zombie.parent_cgroup.as_deref()).container;
        place.parent_container = parent_container.as_ref().and_then(|one| one.id.clone());
        let alive = lifecycle.alive(&entry.record, now, &wall, place);
        // What it says of a parent is what that did until the look, however late we are.
        let history = History {
            age_ns: alive.age_ns.saturating_sub(now - looked),
            ..History::default()
        };
        let diagnosis: Diagnosis = diagnose(Facts {
            zombie: &zombie.facts,
            parent,
            history: Some(&history),
        });
        let mut alive = alive.because(Some(&diagnosis));
        // A single look shows no history.
        (alive.foreign, alive.watched_ns) = (None, None);
        alive.looked_at = Some(alive.ts);
        if !zombie.status_known {
            alive.exit_code = None;
            alive.signal = None;
        }
        if parent.is_none() {
            alive.parent_comm = None;
        }
        if filter.passes_alive(&alive) {
            let cmdline = alive.ppid.zip(alive.parent_comm).and_then(|parent| {
                let read = || proc::command_line(parent.0, parent.1).map(Arc::from);
                cmdlines.entry(parent).or_insert_with(read).clone()
            });
            processes.push(Process {
                alive,
                parent_cmdline: cmdline,
                parent_container,
                tty: zombie.tty,
                cpu_ns: zombie.cpu_ns,
                wchan: zombie.wchan.clone(),
            });
        }
    }
    processes.sort_by_key(|process| std::cmp::Reverse(process.alive.age_ns));
    let dying = list_dying(proc, |process| {
        let cgroup = process.cgroup();
        in_scope(&Candidate {
            pid: process.pid,
            ppid: process.ppid,
            cgroup: cgroup.as_ref().map(|(path, _)| path.as_str()),
            cgroup_removed: cgroup.as_ref().is_some_and(|(_, removed)| *removed),
        })
    });
    let mut dying = dying.context("cannot read /proc")?;
    dying.retain(|(dying, parent_comm)| filter.passes_dying(dying, parent_comm.as_ref()));
    Ok(Seen {
        processes,
        dying: dying.into_iter().map(|(dying, _)| dying).collect(),
        gap: found.gap,
    })
}

/// The processes that have been dying for a second, with their parents' names. Takes that second if nothing
/// else says how long one has been.
fn list_dying(
    proc: &Proc,
    in_scope: impl FnMut(&UnendedProcess) -> bool,
) -> io::Result<Vec<(Dying, Option<Comm>)>> {
    /// Nearly all that exit are gone then.
    const USUAL: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(1);
    let mut suspects = proc.unended(None)?;
    suspects.retain(|process| matches!(process.rest, Rest::Dying { .. }));
    suspects.retain(in_scope);
    let begun = monotonic_now();
    let mut dying = Vec::new();
    for wait in [USUAL, LONG - USUAL] {
        if suspects.is_empty() {
            break;
        }
        thread::sleep(wait);
        suspects = still_dying(proc, &suspects)?;
        let now = monotonic_now();
        let ts = wall_clock().timestamp(now);
        suspects.retain(|process| {
            let since = (now - begun).max(since_last_run(process, now));
            let is_long = since >= LONG.as_nanos() as u64;
            if is_long && let Some(line) = process.dying(ts, Some(since)) {
                dying.push((line, process.parent_comm()));
            }
            !is_long
        });
    }
    dying.sort_by_key(|(dying, _)| (std::cmp::Reverse(dying.since_ns), dying.pid));
    Ok(dying)
}

/// Those that are dying still.
fn still_dying(proc: &Proc, suspects: &[UnendedProcess]) -> io::Result<Vec<UnendedProcess>> {
    let ids: HashSet<_> = suspects.iter().map(UnendedProcess::id).collect();
    let pids: Vec<u32> = suspects.iter().map(|process| process.pid).collect();
    let mut still = proc.unended(Some(&pids))?;
    still.retain(|process| {
        matches!(process.rest, Rest::Dying { .. }) && ids.contains(&process.id())
    });
    Ok(still)
}

/// What a scope is about.
struct Candidate<'a> {
    pid: u32,
    ppid: u32,
    cgroup: Option<&'a str>,
    cgroup_removed: bool,
}

impl<'a> From<&'a Existing> for Candidate<'a> {
    fn from(zombie: &'a Existing) -> Self {
        Self {
            pid: zombie.entry.record.pid,
            ppid: zombie.entry.record.ppid,
            cgroup: zombie.cgroup.as_deref(),
            cgroup_removed: zombie.cgroup_removed,
        }
    }
}

/// Whether a process is in scope.
fn scope(proc: &Proc, args: &ScopeArgs) -> anyhow::Result<impl FnMut(&Candidate<'_>) -> bool> {
    let pids: Vec<u32> = args.pid.iter().map(|pid| pid.get()).collect();
    let ppids: Vec<u32> = args.ppid.iter().map(|pid| pid.get()).collect();
    let containers = args.container.clone();
    if !containers.is_empty() {
        check_containers(&Cgroups::read()?)?;
    }
    let tree = match args.tree {
        Some(root) => {
            let parents = proc.parents_of_all().context("cannot read /proc")?;
            Some((root.get(), parents))
        }
        None => None,
    };
    let mut cgroup = match &args.cgroup {
        Some(path) => {
            let subtree = Cgroup::from_path(path).and_then(Subtree::new);
            Some(subtree.with_context(|| format!("--cgroup {}", path.display()))?)
        }
        None => None,
    };
    Ok(move |process: &Candidate<'_>| {
        (pids.is_empty() || pids.contains(&process.pid))
            && (ppids.is_empty() || ppids.contains(&process.ppid))
            && tree
                .as_ref()
                .is_none_or(|(root, parents)| descends(process.ppid, *root, parents))
            && (containers.is_empty()
                || containers.iter().any(|wanted| {
                    let path = process.cgroup;
                    path.is_some_and(|path| wanted.matches_path(path))
                }))
            && cgroup.as_mut().is_none_or(|subtree| {
                let path = process.cgroup;
                path.is_some_and(|path| subtree.contains(path, process.cgroup_removed))
            })
    })
}

/// Containers are found by the paths of cgroups v2.
fn check_containers(cgroups: &Cgroups) -> anyhow::Result<()> {
    match cgroups {
        Cgroups { v2: None, .. } => {
            bail!("--container: ps finds containers by cgroup v2, which is not mounted here")
        }
        Cgroups { v1: true, .. } => warn(
            "--container: ps finds containers by cgroup v2; it misses those that are in cgroup v1 \
             alone",
        ),
        Cgroups { v1: false, .. } => {}
    }
    Ok(())
}

fn descends(mut pid: u32, root: u32, parents: &HashMap<u32, u32>) -> bool {
    // Pids can be reused while /proc is read: no way up is longer than there are processes.
    for _ in 0..=parents.len() {
        if pid == root {
            return true;
        }
        match parents.get(&pid) {
            Some(&parent) => pid = parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_ends_even_in_a_circle() {
        let parents = HashMap::from([(5, 4), (4, 1), (1, 0), (8, 9), (9, 8)]);
        assert!(descends(5, 4, &parents) && descends(4, 4, &parents));
        assert!(descends(5, 1, &parents));
        assert!(!descends(1, 5, &parents));
        assert!(!descends(8, 1, &parents));
    }
}
