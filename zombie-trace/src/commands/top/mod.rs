//! `zombie-trace top`: a run, or a recorded one, on one screen.
//!
//! `data` counts, `state` turns keys and figures into a table, and `view` draws it: all three are pure.
//! The rest is the terminal, the run and what keys do outside of the screen.

mod args;
mod data;
mod frontend;
mod live;
mod outside;
mod recorder;
mod state;
mod target;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

pub use args::TopArgs;

use self::{
    live::Feed,
    state::{Choice, Ui},
};
use crate::{
    commands::trace::{self, Finished, Plan, Watcher},
    exit_code::ExitCode,
    filter::Filter,
    sink,
    text::ColorWhen,
};

/// Living zombies are looked at from this age on.
const ALIVE_AFTER: Duration = Duration::from_secs(1);
/// As many of a parent's zombies are looked at at a time: they are there for the same reason.
const MOST_OF_A_PARENT: usize = 2;
/// How often the living are counted.
const EVERY: Duration = Duration::from_millis(500);

/// Shows a run until somebody quits; then the summary.
///
/// # Errors
/// There is no terminal; and as of a run.
pub fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    terminal::check()?;
    let (feed, shared) = Feed::new(ui(args), has_color(args.run.color), args.run.all);
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
            color: args.run.color,
            ..sink::Options::default()
        },
        interval: None,
        keeps_refused: false,
        screen: None,
        live_line: None,
        watcher: Some(Watcher {
            sink: Box::new(feed),
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

fn ui(args: &TopArgs) -> Ui {
    let run = &args.run;
    let default = Choice::default();
    let listed = Filter {
        min: None,
        ..run.filter(None)
    };
    Ui {
        choice: Choice {
            threshold: run
                .filter
                .min
                .map_or(default.threshold, |min| min.as_nanos()),
            old_ns: run.alive_after.as_nanos(),
            filter: args.filter.clone().unwrap_or_default(),
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
        ColorWhen::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
