use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{ArgAction, Args, error::ErrorKind};
use nix::unistd::User;

#[cfg(feature = "stacks")]
use crate::args::StackArgs;
use crate::{
    args::{
        self, ColorArgs, Files, FilterArgs, GateArgs, OfARun, ScopeArgs, TableArgs, TuningArgs,
    },
    filter::Filter,
    run::destination::WriteTarget,
    sink,
    value::{TimeSpan, TimeSpanError},
};

/// Options of every run, whatever it writes.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct RunArgs {
    /// Which processes the run is about.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Stop after this time: COMMAND gets SIGTERM, and SIGKILL if it still runs 3 s later
    #[arg(short, long, allow_hyphen_values = true, value_parser = TimeSpan::positive)]
    #[arg(help_heading = "Scope")]
    pub duration: Option<TimeSpan>,

    /// Run COMMAND as this user
    ///
    /// Much like sudo: with the user's groups and the user's HOME, LOGNAME, PATH, SHELL and USER. Of
    /// the caller's environment only TERM, COLORTERM, LANG, LANGUAGE and LC_* are kept; `-- env
    /// NAME=VALUE COMMAND` passes more. Open files are closed, except for standard input, output and
    /// error. COMMAND gets a session of its own and, on a terminal, a terminal of its own, so that
    /// it cannot type into the caller's. It reads the keyboard if standard input and output are both
    /// the terminal.
    #[arg(short, long, value_parser = args::user::resolve, help_heading = "Scope")]
    pub user: Option<User>,

    /// Trace this command and its whole process tree
    #[arg(last = true, value_names = ["COMMAND", "ARGS"], help_heading = "Scope")]
    pub command: Vec<OsString>,

    /// Which of them are listed.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// List autoreaped processes too
    #[arg(short, long, help_heading = "Filters")]
    pub all: bool,

    /// Report zombies from this age on: one line per parent, with the cause
    ///
    /// The line has the number of the parent's living zombies, the age of the oldest, and why it is
    /// still there. It comes again when the finding changes, and when the number or the age has
    /// doubled. JSON has a line per zombie instead, again whenever its age has doubled.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = TimeSpan::positive, help_heading = "Output")]
    pub alive_after: TimeSpan,

    /// What parents do while their zombies wait.
    #[cfg(feature = "stacks")]
    #[command(flatten)]
    pub stacks: StackArgs,

    /// Which tables the summary has.
    #[command(flatten)]
    pub tables: TableArgs,

    /// Conditions that must not hold.
    #[command(flatten)]
    pub gates: GateArgs<OfARun>,

    /// Whether text is coloured.
    #[command(flatten)]
    pub color: ColorArgs,

    /// Print only warnings and errors on stderr
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Print more on stderr; twice for even more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// How the kernel side is set up.
    #[command(flatten)]
    pub tuning: TuningArgs,

    /// End with status 4 if anything was lost
    #[arg(long, help_heading = "Tuning")]
    pub strict: bool,
}

/// Options of a run that lists zombies.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct TraceArgs {
    /// What the run is about.
    #[command(flatten)]
    pub run: RunArgs,

    /// List each living zombie on a line of its own, instead of one line per parent
    #[arg(long, help_heading = "Output")]
    pub each: bool,

    /// Show the wall-clock time, with µs
    #[arg(short, long, help_heading = "Output")]
    pub timestamps: bool,

    /// Show only the summary at the end
    ///
    /// It begins with a verdict: which parents leave zombies and why, or that every zombie was reaped.
    /// Then come the counts, the parents and containers by zombie time, percentiles, and what was
    /// lost. If other processes forged notifications or reaps, it says how many were ignored.
    #[arg(short, long, help_heading = "Output")]
    pub summary: bool,

    /// Print one line of statistics per interval instead of one per zombie
    ///
    /// The line has the exits per second, the reaped, autoreaped and living zombies, percentiles of
    /// the interval's zombie times, and losses. JSON has the zombies too, unless --summary is given.
    #[arg(short, long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = interval, help_heading = "Output")]
    pub interval: Option<TimeSpan>,

    /// Write JSON Lines instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Write to FILE; JSON if its name ends in .jsonl, .json or .zst
    ///
    /// Without -o, the output goes to stdout, or to stderr with COMMAND; '-' means stdout in both
    /// cases. On a terminal, COMMAND's own output comes in between; -o FILE keeps them apart. A name that ends in .zst also compresses the output; .txt.zst is compressed text. A
    /// new file replaces an existing one only when the run has begun, that is, once the hooks are
    /// attached and COMMAND has started; to follow the file by its name, use 'tail -F'. Files of
    /// root have mode 0600. Symbolic links are refused. A FIFO may get its reader later. If nobody
    /// reads the output, up to 16 MiB of lines wait in memory; the rest is lost and counted as
    /// ring_full.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
}

impl RunArgs {
    /// Why the options don't go together, if so. `ends_in_dashes`: the last argument is `--`.
    pub(crate) fn conflict(&self, ends_in_dashes: bool) -> Option<(ErrorKind, &'static str)> {
        if !self.command.is_empty() {
            return self.scope.tree.map(|_| {
                (
                    ErrorKind::ArgumentConflict,
                    "--tree cannot be used with COMMAND, whose own tree is traced: leave one out",
                )
            });
        }
        if ends_in_dashes {
            return Some((
                ErrorKind::MissingRequiredArgument,
                "missing command: '--' must be followed by COMMAND [ARGS]...",
            ));
        }
        self.user.as_ref().map(|_| {
            (
                ErrorKind::MissingRequiredArgument,
                "--user is for running a command: add -- COMMAND [ARGS]...",
            )
        })
    }

    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.tuning(&self.tuning);
        // Without a slash, it is searched for on PATH.
        let program = self.command.first().map(Path::new);
        files.input(
            "COMMAND",
            program.filter(|path| path.parent() != Some(Path::new(""))),
        );
        self.gates.add_files(files);
    }

    /// Where text goes that has no file.
    pub(crate) fn screen(&self) -> WriteTarget {
        match self.command.is_empty() {
            true => WriteTarget::Stdout,
            false => WriteTarget::Stderr,
        }
    }

    /// Where the output goes, if `path` is that of `--output`; '-' is standard output.
    pub(crate) fn file(&self, path: &Path) -> WriteTarget {
        match (path == Path::new("-"), self.command.is_empty()) {
            (false, _) => WriteTarget::File(path.to_owned()),
            (true, true) => WriteTarget::Stdout,
            (true, false) => WriteTarget::SharedStdout,
        }
    }

    /// What is to be listed: what the filter says, but not what was reaped sooner than `min` unless
    /// that is asked for.
    pub(crate) fn filter(&self, min: Option<TimeSpan>) -> Filter {
        let filter = Filter::from(&self.filter);
        Filter {
            autoreaped: self.all,
            min: filter.min.or(min.filter(|_| !self.all)),
            ..filter
        }
    }
}

impl TraceArgs {
    /// Adds the files that the command line names.
    pub(crate) fn add_files(&self, files: &mut Files) {
        files.output("--output", self.output.as_deref());
        self.run.add_files(files);
    }

    /// Where the output goes.
    pub(crate) fn target(&self) -> WriteTarget {
        match &self.output {
            Some(path) => self.run.file(path),
            None => self.run.screen(),
        }
    }

    /// Whether the run's output is JSON, by option or by the file's name.
    fn writes_json(&self) -> bool {
        self.json || self.output.as_deref().is_some_and(names_json)
    }

    /// What is to be written, and how.
    pub fn sink(&self) -> sink::Options {
        sink::Options {
            json: self.writes_json(),
            summary_only: self.summary,
            intervals: self.interval.is_some(),
            timestamps: self.timestamps,
            tables: self.run.tables.into(),
            each: self.each,
            color: self.run.color.when,
            error_ns: 0,
        }
    }

    /// What is to be listed.
    pub fn filter(&self) -> Filter {
        // Nobody reads hundreds of lines about what was reaped at once.
        self.run.filter((!self.writes_json()).then_some(QUICK))
    }
}

/// In text, zombies that were reaped sooner are not listed unless that is asked for.
const QUICK: TimeSpan = TimeSpan::from_millis(1);

/// Compressed text has a name that says so.
fn names_json(path: &Path) -> bool {
    match path.extension().and_then(OsStr::to_str) {
        Some("jsonl" | "json") => true,
        Some("zst") => {
            let inner = path.file_stem().map(Path::new);
            inner.and_then(Path::extension) != Some(OsStr::new("txt"))
        }
        _ => false,
    }
}

/// What is shorter would only show the beat in which the ring buffer is looked at.
fn interval(text: &str) -> Result<TimeSpan, String> {
    let span: TimeSpan = text
        .parse()
        .map_err(|error: TimeSpanError| error.to_string())?;
    match span.as_nanos() {
        0..100_000_000 => Err("must be 100ms or longer".to_owned()),
        _ => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TraceArgs,
    }

    #[test]
    fn where_the_output_goes() {
        for (args, target) in [
            (&[][..], WriteTarget::Stdout),
            (&["--", "ls"], WriteTarget::Stderr),
            (&["-o", "-"], WriteTarget::Stdout),
            (&["-o", "-", "--", "ls"], WriteTarget::SharedStdout),
            (&["-o", "x"], WriteTarget::File("x".into())),
        ] {
            let line = Line::parse_from([&["zombie-trace"], args].concat());
            assert_eq!(line.args.target(), target, "{args:?}");
        }
    }
}
