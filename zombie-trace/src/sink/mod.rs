//! Where results go. A sink knows nothing of where they come from.

mod compressor;
mod encoded;
mod json;
mod metrics;
mod output;
mod queue;
mod text;

use std::io;

use jiff::tz::TimeZone;

pub use encoded::Encoded;
pub use json::Json;
pub(crate) use json::to_json;
pub use metrics::Metrics;
pub use output::{Medium, Output, Screen};
pub use queue::{Progress, Queue};
pub use text::{Intervals, Look, Process, Table, Text, comparison, process_table};

use crate::{
    aggregate::{Interval, Summary},
    metrics::Standing,
    model::{Alive, Comm, Loss, Start, Zombie},
    text::ColorWhen,
};

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pid.
    pub pid: u32,
    /// Its command name.
    pub comm: Comm,
}

/// Takes the results of a run, in order.
pub trait Sink {
    /// The run begins.
    fn start(&mut self, start: &Start) -> io::Result<()>;
    /// A process was reaped.
    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()>;
    /// A zombie still exists.
    fn alive(&mut self, alive: &Alive) -> io::Result<()>;
    /// Whether [`standing`](Self::standing) is of use.
    fn wants_standing(&self) -> bool {
        false
    }
    /// What is now; told every second or so.
    fn standing(&mut self, _: &Standing) -> io::Result<()> {
        Ok(())
    }
    /// Whether it can take another line. If not, nobody reads the output, or not fast enough.
    fn has_room(&mut self) -> bool {
        true
    }
    /// Something was lost.
    fn loss(&mut self, loss: &Loss) -> io::Result<()>;
    /// An interval ends. A sink may have no use for it.
    fn interval(&mut self, _interval: &Interval) -> io::Result<()> {
        Ok(())
    }
    /// The run ends.
    fn summary(&mut self, summary: &Summary) -> io::Result<()>;
    /// Descendants of the traced process that run on, after the summary.
    fn running(&mut self, _running: &[Running]) -> io::Result<()> {
        Ok(())
    }
    /// A batch is through: what was written should become visible.
    fn flush(&mut self) -> io::Result<()>;
    /// Nothing more comes.
    fn end(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// What is written, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// JSON Lines instead of text.
    pub json: bool,
    /// No zombies, only the summary (in JSON also the start and what was lost).
    pub summary_only: bool,
    /// A line an interval; in text in the place of the zombies.
    pub intervals: bool,
    /// The time of day in text; JSON always has it.
    pub timestamps: bool,
    /// When text is coloured.
    pub color: ColorWhen,
}

/// The sink for these options.
pub fn new(options: Options, output: impl Medium + Send + 'static) -> Box<dyn Sink + Send> {
    if options.json {
        return Box::new(Json::new(output, !options.summary_only));
    }
    let screen = output.screen();
    let look = Look {
        width: screen.width,
        color: screen.colored(options.color),
    };
    let output = Encoded(output);
    let zone = || TimeZone::try_system().unwrap_or(TimeZone::UTC);
    if options.intervals {
        let zone = options.timestamps.then(zone);
        let intervals = Intervals::new(look, screen.height, zone);
        return Box::new(Text::new(output, look, None).with_intervals(intervals));
    }
    let table = || Table::new(look, options.timestamps, zone());
    let table = (!options.summary_only).then(table);
    Box::new(Text::new(output, look, table))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::{Aggregate, fixtures::interval},
        model::{
            Counts,
            fixtures::{start, zombie},
        },
    };

    fn written(options: Options) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = Output::file(file.path(), file.reopen().unwrap()).unwrap();
        let mut sink = new(options, output);
        let start = start();
        let summary = Aggregate::default().summary(
            Counts::default(),
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(1),
        );
        sink.start(&start).unwrap();
        sink.zombie(&zombie()).unwrap();
        sink.interval(&interval()).unwrap();
        sink.summary(&summary).unwrap();
        sink.flush().unwrap();
        fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn text_or_json_with_or_without_the_stream() {
        let text = written(Options::default());
        assert!(text.starts_with("    PID COMM"), "{text}");
        assert!(
            text.contains("sleep") && text.contains("0 exits in 1.00 s"),
            "{text}"
        );

        let text = written(Options {
            summary_only: true,
            ..Options::default()
        });
        assert!(text.starts_with("0 exits in 1.00 s"), "{text}");

        let json = written(Options {
            json: true,
            ..Options::default()
        });
        assert_eq!(json.lines().count(), 4);
        let json = written(Options {
            json: true,
            summary_only: true,
            ..Options::default()
        });
        assert_eq!(json.lines().count(), 3);
    }

    #[test]
    fn intervals_take_the_place_of_the_zombies() {
        let text = written(Options {
            intervals: true,
            ..Options::default()
        });
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("SECONDS EXITS/S REAPED"), "{text}");
        assert!(lines[1].starts_with("    1.0     4.0      3"), "{text}");
        assert_eq!(lines[2..4], ["", "0 exits in 1.00 s"], "{text}");
        let text = written(Options {
            intervals: true,
            timestamps: true,
            ..Options::default()
        });
        assert!(text.starts_with("      TIME EXITS/S REAPED"), "{text}");
    }

    #[test]
    fn a_file_is_coloured_only_if_asked() {
        assert!(
            !written(Options {
                color: ColorWhen::Never,
                ..Options::default()
            })
            .contains('\x1b')
        );
        assert!(
            written(Options {
                color: ColorWhen::Always,
                ..Options::default()
            })
            .contains('\x1b')
        );
    }
}
