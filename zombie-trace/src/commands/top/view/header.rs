//! The lines at the top: how bad it is now, and whether it grows.

use super::{
    brief::brief,
    canvas::{Canvas, TextLook, sparkline},
    scene::{Scene, SceneProgress},
};
use crate::{
    commands::top::{
        data::Model,
        state::{Grouping, View, rate, seconds},
    },
    model::ScopeLine,
    text::{human, visible},
};

/// Over how many seconds the trend of the living zombies is taken.
const TREND: usize = 10;
/// How many seconds the small charts show at the most.
const CHART: usize = 60;

/// The whole names of all views need that.
const WIDE: usize = 68;

type Part = (String, TextLook);

/// Draws the run and its figures; a third line has small charts.
pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    run(canvas, scene);
    parts(canvas, 1, figures(scene));
    if canvas.height() > 2 {
        charts(canvas, scene);
    }
}

/// Writes parts with two spaces between them, as many as fit.
fn parts(canvas: &mut Canvas<'_>, y: usize, parts: Vec<Part>) {
    let mut x = 0;
    for (text, look) in parts {
        let width = crate::text::escape::width(&text);
        if x > 0 && x + width > canvas.width() {
            return;
        }
        x = canvas.put(x, y, &text, look) + 2;
    }
}

fn run(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let model = scene.model;
    let lost = model.lost.total();
    let mut right: Vec<Part> = Vec::new();
    if let Some(path) = scene.recording {
        right.push((format!("● REC {path}"), TextLook::Bad));
    }
    right.push(progress(scene));
    let look = if lost > 0 {
        TextLook::Bad
    } else {
        TextLook::Plain
    };
    right.push((format!("lost {lost}"), look));
    let width = |parts: &[Part]| -> usize {
        let widths = parts
            .iter()
            .map(|(text, _)| crate::text::escape::width(text) + 2);
        widths.sum::<usize>().saturating_sub(2)
    };
    let mut x = canvas.width().saturating_sub(width(&right));
    let room = x.saturating_sub(2);
    canvas.put_within(0, 0, &about(model, room), room, TextLook::Plain);
    canvas.put_within(0, 0, "zombie-trace", room, TextLook::Heading);
    for (text, look) in right {
        x = canvas.put(x, 0, &text, look) + 2;
    }
}

/// The host, the backend and the scope. What does not fit is left out: half a number would be a wrong one.
fn about(model: &Model, room: usize) -> String {
    const NAME: &str = "zombie-trace";
    let Some(start) = &model.start else {
        return NAME.to_owned();
    };
    let host = start.host.as_deref().map(visible);
    let backend = format!("{} ±{}", visible(&start.backend), brief(model.error_ns()));
    let scope = start.scope.as_ref();
    let scope = scope.map(|line| format!("scope: {}", self::scope(line)));
    let text = |facts: &[&Option<String>]| {
        let facts: Vec<_> = facts.iter().filter_map(|fact| fact.as_deref()).collect();
        format!("{NAME}  {}", facts.join(" · "))
    };
    let backend = Some(backend);
    let forms = [
        text(&[&host, &backend, &scope]),
        text(&[&host, &scope]),
        text(&[&scope]),
    ];
    let last = forms[2].clone();
    let mut forms = forms.into_iter();
    // A long scope is cut.
    forms
        .find(|text| crate::text::escape::width(text) <= room)
        .unwrap_or(last)
}

fn progress(scene: &Scene<'_>) -> Part {
    match scene.progress {
        _ if scene.ui.is_paused => (
            format!("‖ PAUSED {}", clock(scene.model.elapsed())),
            TextLook::Bad,
        ),
        SceneProgress::Live => (
            format!("● LIVE {}", clock(scene.model.elapsed())),
            TextLook::Good,
        ),
        SceneProgress::Ending => ("ENDING".to_owned(), TextLook::Bad),
        SceneProgress::Replay { at, of, is_playing } => {
            let sign = if is_playing { "▶ PLAY" } else { "‖ REPLAY" };
            (
                format!("{sign} {} of {}", clock(at), clock(of)),
                TextLook::Good,
            )
        }
    }
}

/// Minutes and seconds, or hours in front.
fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Which processes the run is about, in a few words.
fn scope(scope: &ScopeLine) -> String {
    let list = |name: &str, pids: &[u32]| {
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        (!pids.is_empty()).then(|| format!("{name} {}", pids.join(",")))
    };
    let containers: Vec<_> = scope.container.iter().map(|name| visible(name)).collect();
    let parts = [
        list("pid", &scope.pid),
        list("ppid", &scope.ppid),
        scope.tree.map(|pid| format!("tree {pid}")),
        scope
            .cgroup
            .as_ref()
            .map(|path| format!("cgroup {}", visible(path))),
        (!containers.is_empty()).then(|| format!("container {}", containers.join(","))),
        scope.command.then(|| "COMMAND".to_owned()),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "all".to_owned(),
        false => parts.join(", "),
    }
}

fn figures(scene: &Scene<'_>) -> Vec<Part> {
    let (model, choice) = (scene.model, &scene.ui.choice);
    let sums = model.sums(choice.window.seconds());
    let seconds = seconds(model, choice);
    let alive = model.alive();
    let reaped = sums.reaped.saturating_add(sums.pre_existing);
    let gone = reaped.saturating_add(sums.autoreaped);
    let ended = match (choice.window.seconds(), &model.settled) {
        (Some(_), _) => gone
            .saturating_add(alive)
            .saturating_sub(model.alive_before(seconds as i64)),
        (None, Some(settled)) => settled.counts.exits,
        (None, None) => gone
            .saturating_sub(sums.pre_existing)
            .saturating_add(model.alive_of_run()),
    };
    let oldest = model.oldest();
    let window = choice.window.seconds();
    let (p99, max) = match window.filter(|window| model.elapsed() >= *window as u64 * 1_000_000_000)
    {
        Some(_) => (sums.p99(), sums.longest_measured()),
        // It is about the whole run: as the summary has them.
        None => (model.p99(), model.longest()),
    };
    let time = |name: &str, time: Option<u64>| {
        (
            format!("{name} {}", time.map_or_else(|| "-".to_owned(), human)),
            TextLook::Plain,
        )
    };
    let is_bad = oldest.is_some_and(|oldest| oldest >= choice.old_ns);
    let look = if is_bad {
        TextLook::Bad
    } else {
        TextLook::Heading
    };
    let mut parts = vec![
        (
            format!("exits {}/s", rate(ended as f64 / seconds)),
            TextLook::Plain,
        ),
        (
            format!("reaped {}/s", rate(reaped as f64 / seconds)),
            TextLook::Plain,
        ),
        (format!("ALIVE {alive}{}", trend(model)), look),
        time("oldest", oldest),
        time("p99", p99),
        time("max", max),
    ];
    if let Some(pids) = &model.pids {
        let look = if pids.used * 10 >= pids.max * 9 {
            TextLook::Bad
        } else {
            TextLook::Plain
        };
        parts.push((format!("pids {}/{}", pids.used, pids.max), look));
    }
    parts
}

/// How fast the number of living zombies grows or shrinks.
fn trend(model: &Model) -> String {
    let seconds = (model.elapsed() / 1_000_000_000).min(TREND as u64) as usize;
    if seconds < 2 {
        return String::new();
    }
    let counts = model.alive_seconds(seconds + 1);
    let change = (counts[seconds] as f64 - counts[0] as f64) / seconds as f64;
    match change {
        change if change >= 0.05 => format!(" ▲+{}/s", rate(change)),
        change if change <= -0.05 => format!(" ▼-{}/s", rate(-change)),
        _ => String::new(),
    }
}

fn charts(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let model = scene.model;
    let quick = quick(scene);
    let room = canvas
        .width()
        .saturating_sub(quick.len() + "alive   p99  log  (60 s)  ".len());
    let seconds = (room / 2).min(CHART);
    let mut x = 0;
    if seconds >= 5 {
        let alive = sparkline(&model.alive_seconds(seconds));
        x = canvas.put(x, 2, &format!("alive {alive}"), TextLook::Plain) + 2;
        let p99 = model.all.seconds(model.now, seconds as i64);
        // From 1 µs on, a step for each power of two.
        let p99 = p99.map(|sums| sums.and_then(|sums| sums.p99()));
        let p99: Vec<_> = p99
            .map(|time| u64::from(time.map_or(0, |time| (time / 1000 + 1).ilog2())))
            .collect();
        x = canvas.put(
            x,
            2,
            &format!("p99 {} log", sparkline(&p99)),
            TextLook::Plain,
        ) + 2;
        x = canvas.put(x, 2, &format!("({seconds} s)"), TextLook::Dim) + 2;
    }
    if x + quick.len() <= canvas.width() {
        canvas.put(x, 2, &quick, TextLook::Dim);
    }
}

/// How many reaps the threshold leaves out.
fn quick(scene: &Scene<'_>) -> String {
    let (model, choice) = (scene.model, &scene.ui.choice);
    if choice.threshold == 0 {
        return String::new();
    }
    let count = model
        .sums(choice.window.seconds())
        .times
        .below(choice.threshold);
    format!("<{}: {count} reaped", brief(choice.threshold))
}

/// The names of the views, and what the table shows.
pub(super) fn tabs(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let choice = &scene.ui.choice;
    let mut x = 0;
    for view in View::ALL {
        let text = tab(view, canvas.width());
        let (text, look) = match view == choice.view {
            true => (format!("[{text}]"), TextLook::Selected),
            false => (format!(" {text} "), TextLook::Plain),
        };
        x = canvas.put(x, 0, &text, look);
    }
    let mut parts = Vec::new();
    if choice.view == View::Parents && choice.grouping != Grouping::Pid {
        parts.push(format!("by {}", choice.grouping.name()));
    }
    if choice.is_tree() {
        parts.push("tree".to_owned());
    }
    parts.push(choice.window.name().to_owned());
    if scene.ui.followed.is_some() {
        parts.push("follow".to_owned());
    }
    let room = canvas.width().saturating_sub(x + 1);
    let mut text = parts.join(" · ");
    while crate::text::escape::width(&text) > room && parts.len() > 1 {
        parts.pop();
        text = parts.join(" · ");
    }
    if crate::text::escape::width(&text) <= room {
        canvas.put_right(canvas.width(), 0, &text, TextLook::Dim);
    }
}

/// The number and the name of a view. Those that are long are shortened where there is no room.
fn tab(view: View, width: usize) -> String {
    let name = match view.name() {
        "Commands" if width < WIDE => "Comms",
        "Containers" if width < WIDE => "Contain",
        "Timeline" if width < WIDE => "Time",
        name => name,
    };
    format!("{} {name}", view.index() + 1)
}

/// The view whose name stands at that column.
pub(super) fn tab_at(x: usize, width: usize) -> Option<View> {
    let mut end = 0;
    View::ALL.into_iter().find(|view| {
        end += tab(*view, width).len() + "[]".len();
        x < end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        assert_eq!(clock(192_000_000_000), "03:12");
        assert_eq!(clock(7_384_000_000_000), "2:03:04");
    }

    #[test]
    fn scopes_in_words() {
        assert_eq!(scope(&ScopeLine::default()), "all");
        let line = ScopeLine {
            ppid: vec![7, 8],
            container: vec!["web\x1b".to_owned()],
            ..ScopeLine::default()
        };
        assert_eq!(scope(&line), r"ppid 7,8, container web\x1b");
    }
}
