//! `zombie-trace top`: a run, or a recorded one, on one screen.
//!
//! `data` counts, `state` turns keys and figures into a table, and `view` draws it: all three are pure.
//! The rest is the terminal, the run and what keys do outside of the screen.

mod args;
mod data;
mod frontend;
mod live;
mod outside;
mod pane;
mod process;
mod recorder;
mod replay;
mod state;
mod target;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::{fs, io, os::fd::AsFd as _, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::SignalFd,
};
use terminal_size::terminal_size_of;

pub use args::TopArgs;

use self::{
    frontend::Frontend,
    live::Feed,
    pane::Pane,
    replay::Replay,
    state::{BindingKind, Choice, Ui, Window},
    terminal::TerminalScreen,
    view::Layout,
};
use crate::{
    commands::{
        report::{self, ReportArgs},
        trace::{self, Finished, Plan, Watcher},
    },
    exit_code::ExitCode,
    filter::{Expression, Filter},
    run::command::Terminal,
    sink, stderr,
    text::{self, ColorWhen},
};

/// Living zombies are looked at from this age on.
const ALIVE_AFTER: Duration = Duration::from_secs(1);
/// As many of a parent's zombies are looked at at a time: they are there for the same reason.
const MOST_OF_A_PARENT: usize = 2;
/// A recording of this many bytes takes a while to read.
const LARGE: u64 = 4 << 20;
/// How often the living are counted.
const EVERY: Duration = Duration::from_millis(500);

/// Shows a run until somebody quits; then the summary.
///
/// # Errors
/// There is no terminal; and as of a run.
pub fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    terminal::check()?;
    if let Some(path) = &args.file {
        return replay(args, path);
    }
    let mut ui = ui(args);
    let (terminal, pane) = match args.run.command.is_empty() {
        true => (None, None),
        false => {
            ui.run = BindingKind::WithCommand;
            let (terminal, pane) = open_pane(args).context("cannot make a terminal for COMMAND")?;
            (Some(terminal), Some(pane))
        }
    };
    let (feed, shared) = Feed::new(ui, has_color(args.run.color.when), args.run.all, pane);
    let Finished { code, .. } = trace::perform(Plan {
        args: &args.run,
        // The screen has a list of its own.
        filter: Filter {
            autoreaped: true,
            ..Filter::default()
        },
        target: args.run.screen(),
        sink: sink::Options {
            summary_only: true,
            tables: args.run.tables.into(),
            color: args.run.color.when,
            ..sink::Options::default()
        },
        interval: None,
        keeps_refused: false,
        screen: None,
        live_line: None,
        watcher: Some(Watcher {
            sink: Box::new(feed),
            terminal,
            alive_after: ALIVE_AFTER,
            most_of_a_parent: MOST_OF_A_PARENT,
            every: EVERY,
        }),
    })?;
    Ok(match shared.has_failed() {
        true => ExitCode::Error,
        false => code,
    })
}

/// A terminal for COMMAND, which the screen shows.
fn open_pane(args: &TopArgs) -> io::Result<(Terminal, Arc<Pane>)> {
    let size = terminal_size_of(io::stdout());
    let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
    let rows = Layout::of(columns, rows).map_or(rows, |layout| layout.pane());
    let (terminal, master) = Terminal::for_screen(args.run.user.as_ref(), rows, columns)?;
    Ok((terminal, Pane::start(master, rows, columns)?))
}

/// Shows a recording until somebody quits; then what `report` shows of it.
fn replay(args: &TopArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let is_large = fs::metadata(path).is_ok_and(|file| file.len() > LARGE);
    if is_large && !args.run.quiet {
        stderr::say(&format!("reading {}", text::path(path)));
    }
    let replay = Replay::open(path, args.run.all)?;
    let mut ui = ui(args);
    ui.run = BindingKind::Replay;
    ui.choice.window = Window::All;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block signals")?;
    let signals = SignalFd::new(&signals).context("cannot wait for signals")?;
    let screen = TerminalScreen::enter()?;
    let mut frontend = Frontend::new(screen, replay, ui, has_color(args.run.color.when));
    let ended = frontend.run(signals.as_fd(), || true);
    drop(frontend);
    ended.context("cannot draw on the terminal")?;
    report::run(&ReportArgs {
        files: vec![path.to_owned()],
        tables: args.run.tables,
        color: args.run.color,
        ..ReportArgs::default()
    })
}

fn ui(args: &TopArgs) -> Ui {
    let run = &args.run;
    let default = Choice::default();
    // The screen has keys for these.
    let listed = Filter {
        min: None,
        conditions: Expression::default(),
        ..run.filter(None)
    };
    Ui {
        choice: Choice {
            threshold: run
                .filter
                .min
                .map_or(default.threshold, |min| min.as_nanos()),
            old_ns: run.alive_after.as_nanos(),
            filter: run.filter.conditions.clone().unwrap_or_default(),
            listed,
            ..default
        },
        ..Ui::default()
    }
}

/// Whether the screen is coloured; it is a terminal.
fn has_color(when: ColorWhen) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            let is_asked_not_to =
                std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let term = std::env::var("TERM").unwrap_or_default();
            !is_asked_not_to && !is_monochrome(&term)
        }
    }
}

/// Whether a terminal of this name has no colours: DEC's, and those whose terminfo name says so.
fn is_monochrome(term: &str) -> bool {
    ["vt1", "vt2"].iter().any(|start| term.starts_with(start))
        || ["-m", "-mono"].iter().any(|end| term.ends_with(end))
}
