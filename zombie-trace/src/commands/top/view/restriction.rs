//! What restricts the view, and the key that lifts it: lines that are there whenever something does.

use crate::{
    commands::top::{
        data::Model,
        state::{BindingKind, DEFAULT_THRESHOLD, SortedRows, Ui, View},
    },
    model::FilterLine,
    text::{self, escape, visible},
};

use super::brief::brief;

/// One restriction.
struct Part {
    /// Stands before the text.
    what: &'static str,
    /// Typed by the user, or the name of something: can be cut.
    text: String,
    /// How to lift it, in full and in short.
    lift: (&'static str, &'static str),
}

fn parts(model: &Model, ui: &Ui, table: &SortedRows) -> Vec<Part> {
    let choice = &ui.choice;
    let mut parts = Vec::new();
    let mut add = |what, text, lift| parts.push(Part { what, text, lift });
    if !choice.filter.is_empty() {
        let text = visible(&choice.filter.to_string());
        add("filter ", text, (" (Esc clears)", " (Esc)"));
    }
    if let Some(container) = &choice.container {
        let text = visible(container.name());
        add("container ", text, (" (c shows all)", " (c)"));
    }
    let is_list = matches!(choice.view, View::Alive | View::Reaps);
    let listed = options(&choice.listed.line());
    if is_list && !listed.is_empty() {
        add("only ", listed, (" (given at start)", ""));
    }
    // Otherwise nobody would know that the default hides rows.
    if table.quick > 0 || choice.threshold > DEFAULT_THRESHOLD {
        let text = brief(choice.threshold);
        add("reaped within ", text, (" (m changes)", " (m)"));
    }
    if !ui.search.is_empty() {
        let text = format!("'{}'", visible(&ui.search));
        add("search ", text, (" (n next, Esc clears)", " (Esc)"));
    }
    if ui.run == BindingKind::Replay
        && let Some(filter) = model.listed()
        && !is_complete(model, ui)
    {
        add("listed only: recorded with ", options(filter), ("", ""));
    }
    parts
}

/// The view's figures are about processes that the recording does not list, too.
fn is_complete(model: &Model, ui: &Ui) -> bool {
    match ui.choice.view {
        // Those of a parent are counted, and so is everything at the end.
        View::Parents | View::Timeline => true,
        View::Commands | View::Containers => {
            ui.choice.window.seconds().is_none() && model.settled.is_some()
        }
        View::Alive | View::Reaps => false,
    }
}

/// The options of the command line that choose what is listed.
fn options(filter: &FilterLine) -> String {
    let mut options = Vec::new();
    if filter.min_ns > 0 {
        options.push(format!("-m {}", brief(filter.min_ns).replace(' ', "")));
    }
    for (option, globs) in [("-n", &filter.comm), ("--parent-comm", &filter.parent_comm)] {
        options.extend(
            globs
                .iter()
                .map(|glob| format!("{option} {}", visible(glob))),
        );
    }
    if filter.failed {
        options.push("-x".to_owned());
    }
    if let Some(conditions) = &filter.conditions {
        options.push(format!("--filter {}", visible(conditions)));
    }
    options.join(" ")
}

/// At most this many lines.
const MOST: usize = 3;

/// The lines, each of at most that many columns: names are cut, and never the key that lifts a restriction.
pub(super) fn lines(model: &Model, ui: &Ui, table: &SortedRows, width: usize) -> Vec<String> {
    let room = width.saturating_sub(2);
    let mut lines = restrictions(&parts(model, ui, table), table, room);
    if let Some(gap) = &model.gap {
        let text = text::wrap(&format!("incomplete recording: {gap}"), Some(room));
        let left = MOST.saturating_sub(lines.len()).max(1);
        lines.extend(text.lines().take(left).map(str::to_owned));
    }
    lines.truncate(MOST);
    lines
}

fn restrictions(parts: &[Part], table: &SortedRows, room: usize) -> Vec<String> {
    if parts.is_empty() {
        return Vec::new();
    }
    let hidden = match table.hidden {
        0 => String::new(),
        1 => "1 row hidden: ".to_owned(),
        count => format!("{count} rows hidden: "),
    };
    let written = |is_short: bool, longest: usize| {
        let parts = parts.iter().enumerate().map(|(number, part)| {
            let hidden = if number == 0 { hidden.as_str() } else { "" };
            let lift = if is_short { part.lift.1 } else { part.lift.0 };
            let text = escape::cut(&part.text, longest);
            format!("{hidden}{}{text}{lift}", part.what)
        });
        packed(parts, room)
    };
    let cuts = [usize::MAX, 32, 24, 16, 10];
    let forms = [(false, usize::MAX)].into_iter();
    let forms = forms.chain(cuts.map(|longest| (true, longest)));
    let forms: Vec<_> = forms
        .map(|(is_short, longest)| written(is_short, longest))
        .collect();
    let best = (1..=MOST).find_map(|most| forms.iter().find(|lines| lines.len() <= most));
    let mut lines = best.or(forms.last()).cloned().unwrap_or_default();
    lines.retain(|line| !line.is_empty());
    lines
}

/// Parts one after the other, on as many lines as they need.
fn packed(parts: impl Iterator<Item = String>, room: usize) -> Vec<String> {
    const SEPARATOR: &str = " · ";
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line)
                if escape::width(line) + escape::width(SEPARATOR) + escape::width(&part)
                    <= room =>
            {
                line.push_str(SEPARATOR);
                line.push_str(&part);
            }
            _ => lines.push(part),
        }
    }
    // Wider than the screen counts as another line.
    let is_wide = |line: &String| escape::width(line) > room;
    let wide = lines.iter().filter(|line| is_wide(line)).count();
    lines.extend(std::iter::repeat_n(String::new(), wide));
    lines
}
