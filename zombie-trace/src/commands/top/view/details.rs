//! What is known about the selected row.

use super::{
    brief::brief,
    canvas::{Canvas, TextLook, bar},
    scene::Scene,
    table::PHASES,
};
use crate::{
    commands::top::{
        data::Explanation,
        state::{BindingKind, Content, RowFigures, TopRow, phase},
    },
    model::{Alive, Phase},
    text::{human, printable, status, visible},
};

const SECOND: u64 = 1_000_000_000;
/// The age of a finding is shown from here on.
const STALE: u64 = 5 * SECOND;
/// Zombies of this age have been examined, or can't be.
const EXAMINED: u64 = 3 * SECOND;

/// Draws the finding and the advice, below a line that names the row.
pub(super) fn panel(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let Some(row) = scene.ui.row(scene.table) else {
        canvas.rule(0, "no row is selected", "");
        return;
    };
    canvas.rule(0, &title(row), &place(scene, row));
    let room = canvas.height().saturating_sub(1);
    let fix = fix(row);
    // What helps is cut last, but a line is left for the finding.
    let for_fix = fix.as_ref().map_or(0, |fix| canvas.lines_of(1, fix));
    let for_finding = room.saturating_sub(for_fix).max(1);
    let used = canvas.paragraph(1, 1, &finding(row, scene), for_finding, TextLook::Plain);
    if let Some(fix) = fix {
        canvas.paragraph(1 + used, 1, &fix, room - used, TextLook::Heading);
    }
}

fn title(row: &TopRow) -> String {
    match row.pid {
        Some(pid) => format!("{pid} {}", row.name),
        None => row.name.clone(),
    }
}

/// The cgroup or container of the row.
fn place(scene: &Scene<'_>, row: &TopRow) -> String {
    if row.container.is_some() {
        return format!("container {}", row.container_name());
    }
    let cgroup = match &row.content {
        Content::Living(alive, _) => alive.cgroup.clone(),
        Content::Reaped(zombie) => zombie.cgroup.clone(),
        Content::Group(_) | Content::Ancestor => {
            let key = (row.pid, row.comm);
            scene
                .model
                .parents
                .get(&key)
                .and_then(|parent| parent.cgroup.clone())
        }
    };
    cgroup.map(|cgroup| visible(&cgroup)).unwrap_or_default()
}

/// What was found, as a sentence.
fn finding(row: &TopRow, scene: &Scene<'_>) -> String {
    if let Some(found) = &row.found {
        let why = match &row.content {
            // Its title has named the parent.
            Content::Group(_) if row.pid.is_some() => row.why(),
            _ => row.whole_why(),
        };
        return match age(found, scene.model.now) {
            Some(age) => format!("{why}. (Examined {} ago.)", brief(age)),
            None => format!("{why}."),
        };
    }
    if row.lacks_cause() {
        return no_cause(row, scene.ui.run).to_owned();
    }
    match &row.content {
        Content::Group(figures) => match (figures.p99, total(figures)) {
            (Some(p99), Some(longest)) => format!(
                "It reaps its zombies: p99 {}. Most of their time: {}.",
                human(p99),
                phase(longest)
            ),
            (Some(p99), None) => format!("It reaps its zombies: p99 {}.", human(p99)),
            (None, _) if figures.reaped > 0 || figures.pre_existing > 0 => {
                "Its zombies were reaped; their exact times are not known.".to_owned()
            }
            (None, _) => "None of its children was a zombie.".to_owned(),
        },
        Content::Ancestor => "Parents of zombies are among its descendants.".to_owned(),
        Content::Living(..) => String::new(),
        Content::Reaped(zombie) => {
            let text = format!("It was a zombie for {}", human(zombie.zombie_ns));
            match zombie.phases {
                Some(phases) => format!("{text}. Most of it: {}.", phase(phases.longest())),
                None => format!("{text}."),
            }
        }
    }
}

/// How long ago somebody looked, if things may have changed since, in whole seconds.
fn age(found: &Explanation, now: i64) -> Option<u64> {
    let age = u64::try_from(now.saturating_sub(found.looked_at?)).unwrap_or(0);
    (age >= STALE).then_some(age / SECOND * SECOND)
}

/// Why nothing is known about living zombies, as a sentence.
fn no_cause(row: &TopRow, run: BindingKind) -> &'static str {
    let oldest = match &row.content {
        Content::Group(figures) => figures.oldest,
        Content::Living(_, age) => Some(*age),
        Content::Reaped(_) | Content::Ancestor => None,
    };
    match run {
        BindingKind::Replay => "The recording does not say why.",
        _ if oldest.is_some_and(|oldest| oldest >= EXAMINED) => {
            "The cause is not known. Press i to inspect the process."
        }
        _ => "The cause is not known yet: zombies are examined once they are 1 s old.",
    }
}

fn total(figures: &RowFigures) -> Option<Phase> {
    let some = figures.phases.iter().any(|time| *time > 0);
    some.then(|| crate::model::longest(figures.phases))
}

/// What helps.
fn fix(row: &TopRow) -> Option<String> {
    let advice = row.found.as_ref()?.advice.as_ref()?;
    Some(format!("Fix: {}.", visible(advice)))
}

/// Draws everything that is known about the row.
pub(super) fn full(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let Some(row) = scene.ui.row(scene.table) else {
        canvas.rule(0, "this row is gone", "");
        return;
    };
    canvas.rule(0, &title(row), &place(scene, row));
    let mut y = 1;
    y += canvas.paragraph(y, 1, &finding(row, scene), 4, TextLook::Plain);
    if let Some(fix) = fix(row) {
        y += canvas.paragraph(y, 1, &fix, 4, TextLook::Heading);
    }
    if let Some(runtime) = row.found.as_ref().and_then(|found| found.runtime) {
        y += canvas.paragraph(
            y,
            1,
            &format!("Runtime: {}.", runtime.name()),
            1,
            TextLook::Plain,
        );
    }
    match &row.content {
        Content::Group(figures) => group(canvas, scene, row, figures, y),
        Content::Living(alive, age) => living(canvas, scene, row, (alive, *age), y),
        Content::Ancestor => {
            let mut facts = Vec::new();
            process(&mut facts, scene, row, canvas.height());
            list(canvas, &facts, y + 1);
        }
        Content::Reaped(zombie) => {
            let mut facts = vec![
                (
                    "status",
                    status(zombie.exit_code, zombie.signal, zombie.core_dumped),
                ),
                (
                    "zombie",
                    format!("{} ±{}", human(zombie.zombie_ns), brief(zombie.error_ns)),
                ),
                ("how", zombie.how.as_str().to_owned()),
                (
                    "parent",
                    named(zombie.ppid, zombie.parent_comm.as_ref().map(printable)),
                ),
                (
                    "reaper",
                    named(
                        zombie.reaper_pid,
                        zombie.reaper_comm.as_ref().map(printable),
                    ),
                ),
                ("user", zombie.uid.to_string()),
            ];
            if let Some(run) = zombie.run_ns {
                facts.push(("ran for", human(run)));
            }
            let end = list(canvas, &facts, y + 1);
            if let Some(phases) = zombie.phases {
                self::phases(canvas, phases.times(), end + 1);
            }
        }
    }
}

fn named(pid: Option<u32>, name: Option<String>) -> String {
    match (pid, name) {
        (Some(pid), Some(name)) => format!("{name} ({pid})"),
        (Some(pid), None) => pid.to_string(),
        (None, name) => name.unwrap_or_else(|| "?".to_owned()),
    }
}

fn list(canvas: &mut Canvas<'_>, facts: &[(&str, String)], first: usize) -> usize {
    for (y, (name, text)) in (first..).zip(facts) {
        canvas.put(1, y, name, TextLook::Dim);
        canvas.put(12, y, text, TextLook::Plain);
    }
    first + facts.len()
}

fn living(
    canvas: &mut Canvas<'_>,
    scene: &Scene<'_>,
    row: &TopRow,
    (alive, age): (&Alive, u64),
    y: usize,
) {
    let mut facts = vec![
        ("age", human(age)),
        ("status", status(alive.exit_code, alive.signal, false)),
        (
            "parent",
            named(alive.ppid, alive.parent_comm.as_ref().map(printable)),
        ),
        ("user", alive.uid.to_string()),
    ];
    process(&mut facts, scene, row, canvas.height());
    list(canvas, &facts, y + 1);
}

fn group(canvas: &mut Canvas<'_>, scene: &Scene<'_>, row: &TopRow, figures: &RowFigures, y: usize) {
    let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), human);
    let alive = match figures.oldest {
        Some(oldest) => format!("{}, the oldest {}", figures.alive, human(oldest)),
        None => figures.alive.to_string(),
    };
    let mut gone = format!(
        "{} reaped, {} autoreaped",
        figures.reaped, figures.autoreaped
    );
    if figures.pre_existing > 0 {
        gone += &format!(", {} pre-existing reaped", figures.pre_existing);
    }
    let times = format!(
        "p50 {}, p99 {}, max {}",
        time(figures.p50),
        time(figures.p99),
        time(figures.max)
    );
    let mut facts = vec![("alive", alive), ("window", gone), ("times", times)];
    if let Some(cmdline) = scene
        .model
        .parents
        .get(&(row.pid, row.comm))
        .and_then(|parent| parent.cmdline())
    {
        facts.insert(0, ("command", visible(cmdline)));
    }
    process(&mut facts, scene, row, canvas.height());
    if let Some(places) = scene.model.places.get(&(row.pid, row.comm)) {
        for (index, place) in places.iter().enumerate() {
            facts.push((if index == 0 { "instead" } else { "" }, place.clone()));
        }
    }
    let mut y = list(canvas, &facts, y + 1) + 1;
    y = phases(canvas, figures.phases, y) + 1;
    // The oldest first, as many as fit.
    let key = (row.pid, row.comm);
    let is_parent = row.pid.is_some();
    let zombies = scene.model.living.values();
    let zombies = zombies.filter(|alive| is_parent && (alive.ppid, alive.parent_comm) == key);
    let mut zombies: Vec<_> = zombies.collect();
    zombies.sort_by_key(|alive| std::cmp::Reverse(scene.model.age(alive)));
    if !zombies.is_empty() {
        canvas.put(1, y, "living zombies, the oldest first", TextLook::Dim);
        for (y, alive) in (y + 1..canvas.height()).zip(zombies) {
            let age = human(scene.model.age(alive));
            let status = status(alive.exit_code, alive.signal, false);
            let text = format!(
                "{:>7} {age:>8}  {}  {status}",
                alive.pid,
                printable(&alive.comm)
            );
            canvas.put(1, y, &text, TextLook::Plain);
        }
    }
}

/// What the row's process does, or the parent of the row's zombie: SIGCHLD, threads, ancestors.
fn process(facts: &mut Vec<(&str, String)>, scene: &Scene<'_>, row: &TopRow, height: usize) {
    let pid = row.parent_process().map(|(pid, _)| pid);
    let Some(process) = scene.process.filter(|process| Some(process.pid) == pid) else {
        return;
    };
    if process.threads.is_empty() {
        return facts.push(("process", "it has ended, or cannot be read".to_owned()));
    }
    facts.push(("SIGCHLD", process.sigchld.clone()));
    // The rest of a small screen is for other things.
    let most = (height / 6).max(2);
    let shown = match process.threads.len() {
        count if count <= most => count,
        _ => most - 1,
    };
    for (index, thread) in process.threads[..shown].iter().enumerate() {
        let name = if index == 0 { "threads" } else { "" };
        facts.push((name, thread.clone()));
    }
    if shown < process.threads.len() {
        let more = process.threads.len() - shown;
        facts.push(("", format!("… and {more} more: i shows them")));
    }
    if !process.ancestors.is_empty() {
        facts.push(("ancestors", process.ancestors.join(" ← ")));
    }
}

/// A line per phase: its part of the time.
fn phases(canvas: &mut Canvas<'_>, times: [u64; 5], first: usize) -> usize {
    let total: u128 = times.iter().map(|time| u128::from(*time)).sum();
    if total == 0 {
        return first;
    }
    let mut y = first;
    for ((time, at), sign) in times.into_iter().zip(Phase::ALL).zip(PHASES) {
        if time == 0 {
            continue;
        }
        let percent = (u128::from(time) * 100 / total) as usize;
        let eighths = (u128::from(time) * 160).div_ceil(total) as usize;
        canvas.put(1, y, phase(at), TextLook::Dim);
        let mut length = sign.to_string().repeat(eighths / 8);
        if length.is_empty() {
            length.push(bar(1));
        }
        let end = canvas.put(20, y, &length, TextLook::Plain);
        canvas.put(
            end + 1,
            y,
            &format!("{percent} %  {}", human(time)),
            TextLook::Plain,
        );
        y += 1;
    }
    y
}
