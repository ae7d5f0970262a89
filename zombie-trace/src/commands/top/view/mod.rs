//! Drawing: a function of the scene.

mod brief;
mod canvas;
mod command;
mod details;
mod header;
mod help;
mod layout;
mod restriction;
mod scene;
mod table;
mod timeline;

use ratatui::{buffer::Buffer, layout::Rect};

use self::canvas::{Canvas, TextLook};
pub(crate) use self::{
    layout::{Layout, MouseTarget},
    scene::{Scene, SceneProgress},
};
use crate::{
    commands::top::{
        data::Model,
        state::{BindingKind, Input, Mode, PromptPurpose, Question, SIGNALS, SortedRows, Ui, View},
    },
    text::visible,
};

/// Draws the whole screen.
pub(crate) fn draw(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>) {
    let canvas = &mut Canvas::new(buffer, area, scene.has_color);
    let Some(layout) = layout(area, scene.model, scene.ui, scene.table) else {
        return too_small(canvas, area);
    };
    header::draw(&mut canvas.lines(0, layout.header), scene);
    header::tabs(&mut canvas.lines(layout.header, 1), scene);
    if layout.restriction > 0 {
        let lines = restriction::lines(scene.model, scene.ui, scene.table, canvas.width());
        for (y, line) in (layout.header + 1..).zip(lines) {
            canvas.put(1, y, &line, TextLook::Heading);
        }
    }
    let body = &mut canvas.lines(layout.body(), layout.table + layout.details);
    match &scene.ui.mode {
        Mode::Help(first) => help::draw(body, *first, scene.ui.run),
        Mode::Command => {
            if let Some(pane) = scene.pane {
                command::draw(body, pane, scene.has_color);
            }
        }
        _ if scene.ui.choice.view == View::Timeline => timeline::draw(body, scene),
        _ if scene.ui.is_detailed => details::full(body, scene),
        _ => {
            table::draw(&mut body.lines(0, layout.table), scene);
            details::panel(&mut body.lines(layout.table, layout.details), scene);
        }
    }
    if let Mode::Ask(question) = &scene.ui.mode {
        ask(
            &mut canvas.lines(layout.body(), layout.table + layout.details),
            question,
        );
    }
    footer(&mut canvas.lines(layout.footer(), 1), scene);
}

/// How the lines of the screen are used; `None` if there are too few.
pub(crate) fn layout(area: Rect, model: &Model, ui: &Ui, table: &SortedRows) -> Option<Layout> {
    let layout = Layout::of(area.width, area.height)?;
    if ui.mode == Mode::Command {
        return Some(layout);
    }
    let lines = restriction::lines(model, ui, table, area.width.into());
    Some(layout.with_restriction(lines.len()))
}

/// What a place on the screen is.
pub(crate) fn target(scene: &Scene<'_>, area: Rect, x: u16, y: u16) -> Option<MouseTarget> {
    let layout = layout(area, scene.model, scene.ui, scene.table)?;
    if scene.ui.mode != Mode::Table || scene.ui.is_detailed {
        return None;
    }
    let target = layout.at(y.into())?;
    match target {
        MouseTarget::Heading(_) => {
            let column = table::column_at(scene, area.width.into(), x.into())?;
            Some(MouseTarget::Heading(Some(column)))
        }
        MouseTarget::Tabs => header::tab_at(x.into(), area.width.into()).map(MouseTarget::Tab),
        target => Some(target),
    }
}

fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let text = format!(
        "The terminal is {}x{}: zombie-trace top needs {}x{}. q quits.",
        area.width,
        area.height,
        layout::LEAST_WIDTH,
        layout::LEAST_HEIGHT
    );
    let lines = canvas.height();
    canvas.paragraph(0, 0, &text, lines, TextLook::Plain);
}

fn ask(canvas: &mut Canvas<'_>, question: &Question) {
    let width = canvas.width().min(64);
    let mut line = |y: usize, text: &str, look: TextLook| {
        let room = width - 2;
        canvas.put_within(0, y, &" ".repeat(width), width, TextLook::Plain);
        canvas.put_within(1, y, text, room, look);
    };
    let Question {
        pid,
        name,
        chosen,
        is_sure,
    } = question;
    line(0, "", TextLook::Plain);
    if *is_sure {
        let (signal, effect) = SIGNALS[*chosen];
        line(
            1,
            &format!("Send {signal} to {pid} {name}?"),
            TextLook::Heading,
        );
        line(2, &format!("It {effect}."), TextLook::Plain);
        line(3, "y sends it, any other key does not", TextLook::Plain);
        line(4, "", TextLook::Plain);
        return;
    }
    line(
        1,
        &format!("Send a signal to {pid} {name}"),
        TextLook::Heading,
    );
    for (index, (signal, effect)) in SIGNALS.iter().enumerate() {
        let look = if index == *chosen {
            TextLook::Selected
        } else {
            TextLook::Plain
        };
        line(2 + index, &format!("{:<8} {effect}", signal.as_str()), look);
    }
    let end = 2 + SIGNALS.len();
    line(
        end,
        "↑ ↓ chooses, Enter goes on, Esc cancels",
        TextLook::Dim,
    );
    line(end + 1, "", TextLook::Plain);
}

/// The line at the bottom: what is typed, what has happened, or some keys.
fn footer(canvas: &mut Canvas<'_>, scene: &Scene<'_>) {
    let ui = scene.ui;
    if let Mode::Input(Input {
        purpose,
        text,
        error,
    }) = &ui.mode
    {
        let name = match purpose {
            PromptPurpose::Search => "/",
            PromptPurpose::Filter => "filter: ",
        };
        let room = canvas.width().saturating_sub(2);
        let text = format!("{name}{}", visible(text));
        // The end is where something is typed.
        let skipped = text.chars().count().saturating_sub(room);
        let text: String = text.chars().skip(skipped).collect();
        let end = canvas.put(0, 0, &text, TextLook::Plain);
        let end = canvas.put(end, 0, " ", TextLook::Selected);
        if let Some(error) = error {
            canvas.put(end + 1, 0, error, TextLook::Bad);
        }
        return;
    }
    if ui.mode == Mode::Command {
        let text = "COMMAND's terminal: keys go to COMMAND, Ctrl-] goes back to the figures";
        canvas.put(0, 0, text, TextLook::Heading);
        return;
    }
    if let Some(message) = &ui.message {
        canvas.put(0, 0, message, TextLook::Heading);
        return;
    }
    let play = if ui.run == BindingKind::Replay {
        &[("space", "play"), ("← →", "time")][..]
    } else {
        &[]
    };
    let keys = [
        ("?", "help"),
        ("q", "quit"),
        ("↑↓", "select"),
        ("Enter", "details"),
        ("/", "search"),
        ("f", "filter"),
        ("s", "sort"),
        ("+ -", "window"),
        ("m", "min"),
        ("g", "group"),
    ];
    let live = [("p", "pause"), ("i", "inspect"), ("x", "signal")];
    let live = if ui.run == BindingKind::Replay {
        &[][..]
    } else {
        &live
    };
    let mut x = 0;
    for (key, help) in play.iter().chain(&keys).chain(live) {
        let needed = crate::text::escape::width(key) + help.len() + 3;
        if x + needed > canvas.width() {
            return;
        }
        x = canvas.put(x, 0, key, TextLook::Heading) + 1;
        x = canvas.put(x, 0, help, TextLook::Dim) + 2;
    }
}
