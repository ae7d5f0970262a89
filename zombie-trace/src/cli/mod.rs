//! The command line.

mod backend_choice;
mod buffer_size;
mod serve;
mod user;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use nix::unistd::User;

pub use backend_choice::BackendChoice;
pub use buffer_size::{BufferSize, BufferSizeError};
pub use serve::{Collector, CollectorError, Listen, ListenError, ServeArgs};
pub use user::UserError;

use crate::{
    container::ContainerQuery,
    demo::{Kind, Which},
    filter::{Filter, NameGlob, PID_MAX_LIMIT, Pid, TimeSpan, TimeSpanError},
    gate::{Condition, Format},
    sink::{self, ColorWhen},
};

/// What `--max-zombies` is if it is not given.
pub const DEFAULT_MAX_ZOMBIES: u32 = 65_536;

const EXAMPLES: &str = "\
Examples:
  zombie-trace                         every zombie, as it is reaped
  zombie-trace -m 10ms --ppid 1234     slow reaps by process 1234
  zombie-trace -s -d 1m                percentiles and worst parents of a minute
  zombie-trace -i 1s                   a line of statistics each second
  zombie-trace -- make -j8             the whole process tree of a command
  zombie-trace --json -o run.jsonl.zst -u nobody -- ./load-test

Durations are written with their unit: 500us, 10ms, 1.5s, 1m30s.

Conditions of --fail-if, of the zombies that are listed (alive: in scope):
  p50, p90, p99, p999, max, mean   how long they lasted, as in p99>50ms
  count, alive                     how many, and how many are left: alive>0
  rate                             how many each second: rate<100/s

Exit status:
  0  all went well, also after Ctrl-C
  1  something failed
  2  the command line makes no sense
  3  a condition of --fail-if holds
  4  something was lost, and --strict was given (3 goes before 4)
  With COMMAND its own status is passed on: 128+n if signal n killed it,
  127 if it was not found, 126 if it could not be executed. 3 and 4 only come
  in the place of 0.";

const PS_EXIT: &str = "\
Exit status:
  0  all went well, whether there are zombies or not
  1  /proc cannot be read
  2  the command line makes no sense
  3  a condition of --fail-if holds";

const REPORT_EXAMPLES: &str = "\
Examples:
  zombie-trace --json -o run.jsonl -u nobody -- ./load-test
  zombie-trace report run.jsonl --html run.html
  zombie-trace report run.jsonl --perfetto run.json
  zombie-trace report run.jsonl --csv - | sort -t, -k11n | tail
  zombie-trace report --fail-if 'p99>50ms' host*.jsonl

Exit status:
  0  success, even if a recording is cut, damaged or lacks lines
  1  a file cannot be read or written, or is no recording
  2  the command line makes no sense
  3  a condition of --fail-if holds";

const DIFF_HELP: &str = "\
Conditions of --fail-if:
  p50>+20%, count<-5%   a change from BASE to NEW; of p50, p90, p99 and rate
                        only if noise does not explain it
  p99>50ms, alive>0     a limit, for NEW

Exit status:
  0  all went well, whether there is a difference or not
  1  a recording cannot be read
  2  the command line makes no sense
  3  a condition of --fail-if holds";

/// Show how long each child process stayed a zombie, and who reaped it
///
/// Runs until Ctrl-C, or for as long as COMMAND does. Needs Linux 5.10 or later and root, or the
/// capabilities CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(
    version,
    max_term_width = 80,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "zombie-trace [OPTIONS] [-- COMMAND [ARGS]...]\n       zombie-trace ps [OPTIONS]\n       zombie-trace inspect PID\n       zombie-trace report [OPTIONS] FILE...\n       zombie-trace diff [OPTIONS] BASE NEW\n       zombie-trace serve [OPTIONS]\n       zombie-trace demo [OPTIONS] [KIND]\n       zombie-trace doctor [--json] [--btf FILE]"
)]
pub struct Cli {
    /// Something else than tracing.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// Which processes the run is about.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Stop after this long; COMMAND gets SIGTERM
    #[arg(short, long, allow_hyphen_values = true, value_parser = TimeSpan::positive)]
    #[arg(help_heading = "Scope")]
    pub duration: Option<TimeSpan>,

    /// Run COMMAND as this user
    #[arg(short, long, value_parser = user::resolve, help_heading = "Scope")]
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

    /// Report what has been a zombie for so long, and at each doubling
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = TimeSpan::positive, help_heading = "Output")]
    pub alive_after: TimeSpan,

    /// Show the wall-clock time, with µs
    #[arg(short, long, help_heading = "Output")]
    pub timestamps: bool,

    /// Show only the summary at the end
    #[arg(short, long, help_heading = "Output")]
    pub summary: bool,

    /// Show a line of statistics each so often, and no zombies
    ///
    /// Exits a second, what was reaped and autoreaped, how many zombies there are, percentiles of
    /// the zombie times of the interval, and what was lost. In JSON, the zombies are written as well,
    /// unless --summary is given.
    #[arg(short, long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = interval, help_heading = "Output")]
    pub interval: Option<TimeSpan>,

    /// Write JSON Lines instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Write there, not to stdout (with COMMAND: not to stderr); FILE.zst is compressed
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// End with status 3 if this holds, such as 'p99>50ms' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_a_run)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to tell which holds: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if", help_heading = "Output")]
    pub format: Format,

    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    #[arg(help_heading = "Output")]
    pub color: ColorWhen,

    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Say more on stderr; twice for even more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// How the kernel side is set up.
    #[command(flatten)]
    pub tuning: TuningArgs,

    /// End with status 4 if anything was lost
    #[arg(long, help_heading = "Tuning")]
    pub strict: bool,
}

/// How the kernel side is set up.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct TuningArgs {
    /// How to hook into the kernel
    #[arg(long, default_value = "auto", help_heading = "Tuning")]
    pub backend: BackendChoice,

    /// The kernel's BTF, if not at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "FILE", help_heading = "Tuning")]
    pub btf: Option<PathBuf>,

    /// Room in the kernel for so many dying processes and zombies
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_ZOMBIES)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PID_MAX_LIMIT)))]
    #[arg(allow_hyphen_values = true, help_heading = "Tuning")]
    pub max_zombies: u32,

    /// Size of the ring buffer, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value_t, allow_hyphen_values = true)]
    #[arg(help_heading = "Tuning")]
    pub buffer: BufferSize,
}

/// Which processes it is about.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct ScopeArgs {
    /// Only this exiting process (repeatable)
    #[arg(short, long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(help_heading = "Scope")]
    pub pid: Vec<Pid>,

    /// Only children of this parent (repeatable)
    #[arg(short = 'P', long, value_name = "PID", allow_hyphen_values = true)]
    #[arg(help_heading = "Scope")]
    pub ppid: Vec<Pid>,

    /// Only descendants of PID, even if reparented
    #[arg(
        long,
        value_name = "PID",
        allow_hyphen_values = true,
        help_heading = "Scope"
    )]
    pub tree: Option<Pid>,

    /// Only this cgroup v2 and those below it
    #[arg(short, long, value_name = "PATH", help_heading = "Scope")]
    pub cgroup: Option<PathBuf>,

    /// Only containers of this id or begin of one, name, or host name (repeatable)
    #[arg(long, value_name = "ID|NAME", help_heading = "Scope")]
    pub container: Vec<ContainerQuery>,
}

/// Which processes are listed.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct FilterArgs {
    /// List only processes of this name (repeatable)
    #[arg(short = 'n', long, value_name = "GLOB", help_heading = "Filters")]
    pub comm: Vec<NameGlob>,

    /// List only children of parents of this name (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    pub parent_comm: Vec<NameGlob>,

    /// List only exit codes other than 0, and the killed
    #[arg(short = 'x', long, help_heading = "Filters")]
    pub failed: bool,

    /// List only zombies that lasted this long, such as 10ms
    #[arg(short, long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(help_heading = "Filters")]
    pub min: Option<TimeSpan>,
}

impl From<&FilterArgs> for Filter {
    fn from(args: &FilterArgs) -> Self {
        Self {
            comm: args.comm.clone(),
            parent_comm: args.parent_comm.clone(),
            failed: args.failed,
            min: args.min,
            autoreaped: false,
        }
    }
}

/// Something else than tracing.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Task {
    /// Tell what this kernel allows, and what it costs
    ///
    /// Loads and attaches each backend for a moment. Ends with status 0 if tracing can work, with 1
    /// if it can't.
    Doctor(DoctorArgs),

    /// List the zombies that exist now, with age, parent and cause
    ///
    /// Needs no privileges, but as root it can tell more of the causes. -m is about the age, and a
    /// glob of -n or --parent-comm about the name; -x needs the zombies' exit status, which only
    /// their owner and root may read.
    Ps(PsArgs),

    /// Tell everything about one zombie and its parent, or about a parent
    ///
    /// Why it is still there and what helps, what is left of it, its ancestors, and what its parent
    /// does with SIGCHLD and with its threads. Of a living process: its zombies. Needs no
    /// privileges, but as root it can tell more, and with -d how promptly it reaps.
    Inspect(InspectArgs),

    /// Tell what recorded runs show, as text, page or data
    ///
    /// FILE is what --json -o FILE has written, also compressed with zstd; '-' is standard input.
    /// Several runs are summed up, each from its own start. A recording that is cut or damaged is
    /// read up to and past the damage, with a warning; so is one that lacks lines which its summary
    /// counts, and its run is incomplete. A run that is given twice is warned of. A run recorded
    /// with --summary and --interval has statistics over time, but lists no zombies.
    ///
    /// Names of processes and files are shown with control characters escaped. Text is ASCII where
    /// the locale (LC_ALL, LC_CTYPE, LANG) is set and is not UTF-8. In CSV, a cell that a
    /// spreadsheet would take for a formula starts with a quote.
    Report(ReportArgs),

    /// Tell whether zombies last longer in one recorded run than in another
    ///
    /// Compares the percentiles of all zombies and of those of each parent. A change is a difference
    /// if it is beyond what noise explains, as estimated from how each run varies, and at least 10 %.
    Diff(DiffArgs),

    /// Make zombies on purpose
    ///
    /// Makes a real parent with real zombies, says what it is and how to look at it from another
    /// terminal, and cleans up after Enter, Ctrl-C or the time given.
    Demo(DemoArgs),

    /// Serve figures to Prometheus and OpenTelemetry
    ///
    /// Traces like a run without COMMAND, until Ctrl-C or SIGTERM, and answers GET /metrics in
    /// OpenMetrics or Prometheus' text format. Gives all privileges up once it is attached.
    Serve(Box<ServeArgs>),
}

/// Options of `ps`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(max_term_width = 80, after_help = PS_EXIT)]
pub struct PsArgs {
    /// Which processes are looked at.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Which of them are listed.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// Write JSON Lines instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub color: ColorWhen,

    /// End with status 3 if this holds: 'alive>10', 'age>1m' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_now)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to tell which holds: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if", help_heading = "Output")]
    pub format: Format,
}

/// Options of `report`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(max_term_width = 80, after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// What was recorded
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Write a page for a browser, in one file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,

    /// Write a trace for Perfetto's UI (ui.perfetto.dev)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub perfetto: Option<PathBuf>,

    /// Write one row per zombie; '-' to stdout, instead of text
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub csv: Option<PathBuf>,

    /// Write a JSON object instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// End with status 3 if this holds, such as 'p99>50ms' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_a_run)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to tell which holds: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if", help_heading = "Output")]
    pub format: Format,

    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub color: ColorWhen,
}

/// Options of `inspect`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80)]
pub struct InspectArgs {
    /// The process
    #[arg(allow_hyphen_values = true)]
    pub pid: Pid,

    /// Watch for so long how it, or the zombie's parent, reaps; needs what a run needs
    #[arg(short, long, allow_hyphen_values = true, value_parser = TimeSpan::positive)]
    pub duration: Option<TimeSpan>,

    /// When to use colour; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
}

/// Options of `diff`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = DIFF_HELP)]
pub struct DiffArgs {
    /// The run before: what --json -o FILE wrote, or '-' for standard input
    pub base: PathBuf,

    /// The run after
    pub new: PathBuf,

    /// Write a JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// When to use colour; NO_COLOR is honoured
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,

    /// End with status 3 if this holds, such as 'p99>+20%' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_two_runs)]
    pub fail_if: Vec<Condition>,

    /// How to tell which holds: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if")]
    pub format: Format,
}

/// Options of `demo`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = demo_kinds())]
pub struct DemoArgs {
    /// What kind of zombie; 'all' with --run shows one after the other
    #[arg(value_name = "KIND", default_value = "classic")]
    pub kind: Which,

    /// Show what 'zombie-trace ps' says of it, and end
    #[arg(long)]
    pub run: bool,

    /// How long it lasts
    #[arg(short, long, default_value = "60s", allow_hyphen_values = true)]
    #[arg(value_parser = TimeSpan::positive)]
    pub duration: TimeSpan,
}

fn demo_kinds() -> String {
    let mut text = "Kinds:\n".to_owned();
    for value in Kind::value_variants() {
        if let Some(value) = value.to_possible_value() {
            let help = value.get_help().map(ToString::to_string);
            text += &format!("  {:<20}{}\n", value.get_name(), help.unwrap_or_default());
        }
    }
    text.trim_end().to_owned()
}

/// Options of `doctor`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DoctorArgs {
    /// Write JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// The kernel's BTF, if not at /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
}

impl Cli {
    /// Parses arguments, of which the first is the program's name.
    ///
    /// An error is also what `--help` and `--version` give: [`clap::Error::exit`] does the right
    /// thing with each, with status 2 for a usage error.
    pub fn from_args<I>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let cli = Self::try_parse_from(&args).map_err(with_tip)?;
        let usage = |kind, text| Err(Self::command().error(kind, text));
        if let Some(Task::Report(report)) = &cli.task {
            if report.json && report.csv.as_deref() == Some(Path::new("-")) {
                return usage(
                    ErrorKind::ArgumentConflict,
                    "--json and --csv - both write to standard output: give --csv a file",
                );
            }
            let is_stdin = |path: &&PathBuf| path.as_path() == Path::new("-");
            if report.files.iter().filter(is_stdin).count() > 1 {
                return usage(
                    ErrorKind::ArgumentConflict,
                    "standard input can be read once: give '-' once, and the others as files",
                );
            }
            if report.perfetto.is_some() && report.files.len() > 1 {
                return usage(
                    ErrorKind::ArgumentConflict,
                    "--perfetto can show one run: give one FILE",
                );
            }
        }
        if let Some(Task::Diff(diff)) = &cli.task
            && [&diff.base, &diff.new].map(|path| path.as_path()) == [Path::new("-"); 2]
        {
            return usage(
                ErrorKind::ArgumentConflict,
                "BASE and NEW are both standard input: give one of them as a file",
            );
        }
        if !cli.command.is_empty() && cli.scope.tree.is_some() {
            return usage(
                ErrorKind::ArgumentConflict,
                "--tree cannot be used with COMMAND, whose own tree is traced: leave one out",
            );
        }
        if cli.command.is_empty() {
            if args.last().is_some_and(|arg| arg == "--") {
                return usage(
                    ErrorKind::MissingRequiredArgument,
                    "missing command: '--' must be followed by COMMAND [ARGS]...",
                );
            }
            if cli.user.is_some() {
                return usage(
                    ErrorKind::MissingRequiredArgument,
                    "--user is for running a command: add -- COMMAND [ARGS]...",
                );
            }
        }
        Ok(cli)
    }

    /// What is to be written, and how.
    pub fn sink(&self) -> sink::Options {
        sink::Options {
            json: self.json,
            summary_only: self.summary,
            intervals: self.interval.is_some(),
            timestamps: self.timestamps,
            color: self.color,
        }
    }

    /// What is to be listed.
    pub fn filter(&self) -> Filter {
        Filter {
            autoreaped: self.all,
            ..Filter::from(&self.filter)
        }
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

/// A command without `--` in front is the likeliest of wrong arguments.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let context = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(unexpected)) = error.get(context).cloned() else {
        return error;
    };
    error.remove(ContextKind::Suggested);
    if !unexpected.starts_with('-') {
        let tip = format!("to trace a command, put '--' in front: -- {unexpected}");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}
