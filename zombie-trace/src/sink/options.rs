use jiff::tz::TimeZone;

use super::{Encoded, Intervals, Json, Look, Medium, Sink, Table, Tables, Text};
use crate::text::ColorWhen;

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
    /// In text, a line per living zombie instead of one per parent.
    pub each: bool,
    /// Which tables the summary has in text.
    pub tables: Tables,
    /// When text is coloured.
    pub color: ColorWhen,
    /// What a zombie time is exact to, in ns, where no start comes that says so.
    pub error_ns: u64,
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
        let text = Text::new(output, look, None).with_intervals(intervals);
        return Box::new(text.with_tables(options.tables));
    }
    let table = || Table::new(look, options.timestamps, zone());
    let table = (!options.summary_only).then(table);
    Box::new(
        Text::new(output, look, table)
            .with_each(options.each)
            .with_error(options.error_ns)
            .with_tables(options.tables),
    )
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
        sink::Output,
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
            text.contains("sleep") && text.contains("\nno process ended\n0 exits in 1.00 s\n"),
            "{text}"
        );

        let text = written(Options {
            summary_only: true,
            ..Options::default()
        });
        assert!(
            text.starts_with("no process ended\n0 exits in 1.00 s"),
            "{text}"
        );

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
        assert_eq!(lines[2..4], ["", "no process ended"], "{text}");
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
