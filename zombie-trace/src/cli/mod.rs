//! The command line.

mod backend_choice;
mod buffer_size;
mod files;
mod serve;
mod user;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{
    ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use nix::unistd::User;

pub use backend_choice::BackendChoice;
pub use buffer_size::{BufferSize, BufferSizeError};
use files::Files;
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

Signals:
  Ctrl-C, SIGTERM and SIGHUP end a run within 5 s, with the summary. COMMAND
  gets them too, and SIGKILL if it still runs 3 s later. A second one kills
  COMMAND and ends the run at once. COMMAND also gets SIGQUIT (Ctrl-\\),
  SIGUSR1, SIGUSR2, SIGALRM and real-time signals. Without COMMAND, SIGQUIT
  ends the run, and the others do nothing.

Exit status:
  0  all went well, also after Ctrl-C
  1  something failed
  2  the command line makes no sense
  3  a condition of --fail-if holds
  4  something was lost, and --strict was given (3 goes before 4)
  With COMMAND, its own status is passed on: 128+n if signal n killed it (137 if
  it outlived a stop), 127 if it or its interpreter was not found, 126 if it
  could not be executed. 3 and 4 replace only 0.
  Ctrl-C, SIGTERM, SIGHUP and SIGQUIT before the run has started end it with
  128+n, such as 130 after Ctrl-C. COMMAND is then not started.";

const PS_EXIT: &str = "\
Exit status:
  0  all went well, whether there are zombies or not
  1  /proc cannot be read, or hides processes (hidepid): what can be seen is
     listed, and no condition is judged
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

    /// Report each zombie at this age, and again whenever its age has doubled
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
    ///
    /// What became of the processes, percentiles of their zombie times, the worst parents and
    /// containers, and what was lost. If other processes forged notifications or reaps, it says how
    /// many were ignored.
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
    /// cases. A name that ends in .zst also compresses the output; .txt.zst is compressed text. A
    /// new file replaces an existing one only when the run has begun, that is, once the hooks are
    /// attached and COMMAND has started; to follow the file by its name, use 'tail -F'. Files of
    /// root have mode 0600. Symbolic links are refused. A FIFO may get its reader later. If nobody
    /// reads the output, up to 16 MiB of lines wait in memory; the rest is lost and counted as
    /// ring_full.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// Exit with status 3 if this holds at the end, such as 'p99>50ms' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_a_run)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to report the conditions: text, github or junit=FILE
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

    /// BTF of a kernel that has no /sys/kernel/btf/vmlinux
    ///
    /// FILE must describe the running kernel exactly. Where the kernel has BTF of its own, a file
    /// that differs from it is refused; where it has none, only root may give a file.
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

    /// Only containers with this ID, ID prefix, name or host name (repeatable)
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
    /// Show what this machine allows, and what tracing costs
    ///
    /// Loads and attaches each backend for a moment. Also shows what stands in the way: missing
    /// capabilities, a user namespace, a seccomp filter, lockdown, a /proc that hides processes.
    /// The exit status is 0 if tracing works, 1 if it does not.
    Doctor(DoctorArgs),

    /// List the zombies that exist now, with age, parent and cause
    ///
    /// Needs no privileges, but finds more causes as root. -m is about the age, and a glob of -n or
    /// --parent-comm about the name; -x needs the zombies' exit status, which only their owner and
    /// root may read. Zombies are read from /proc, which must be a procfs of this pid namespace.
    Ps(PsArgs),

    /// Tell everything about one zombie and its parent, or about a parent
    ///
    /// Why it is still there and what helps, what is left of it, its ancestors, and what its parent
    /// does with SIGCHLD and with its threads. Of a living process: its zombies. Needs no
    /// privileges, but shows more as root, and with -d how promptly it reaps. Reads /proc, which
    /// must be a procfs of this pid namespace.
    Inspect(InspectArgs),

    /// Tell what recorded runs show, as text, page or data
    ///
    /// FILE is what --json -o FILE has written, also compressed with zstd; '-' is standard input.
    /// Several runs are summed up, each from its own start. A recording that is cut or damaged is
    /// read up to and past the damage, with a warning; so is one that lacks lines which its summary
    /// counts, and its run is incomplete. A run that is given twice is warned of. A run recorded
    /// with --summary and --interval has statistics over time, but lists no zombies. An output file
    /// replaces an old one when it is complete.
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
    /// OpenMetrics or Prometheus' text format. Gives all privileges up once it
    /// is attached, and keeps to the files and system calls that it needs.
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

    /// Exit with status 3 if this holds: 'alive>10', 'age>1m' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_now)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to report the conditions: text, github or junit=FILE
    #[arg(long, default_value_t, requires = "fail_if", help_heading = "Output")]
    pub format: Format,
}

/// Options of `report`.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(max_term_width = 80, after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    /// Recordings: what --json -o FILE wrote, or '-' for standard input
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

    /// Exit with status 3 if this holds for the runs, such as 'p99>50ms' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_a_run)]
    #[arg(help_heading = "Output")]
    pub fail_if: Vec<Condition>,

    /// How to report the conditions: text, github or junit=FILE
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

    /// Watch for this long how it, or the zombie's parent, reaps; needs a run's privileges
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

    /// Exit with status 3 if NEW differs from BASE by this, such as 'p99>+20%' (repeatable)
    #[arg(long, value_name = "COND", value_parser = Condition::of_two_runs)]
    pub fail_if: Vec<Condition>,

    /// How to report the conditions: text, github or junit=FILE
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

    /// BTF of a kernel that has no /sys/kernel/btf/vmlinux
    ///
    /// FILE must describe the running kernel exactly. Where the kernel has BTF of its own, a file
    /// that differs from it is refused; where it has none, only root may give a file.
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
        let usage = |kind, text| Err(cli.definition().error(kind, text));
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

    /// Refuses an output that would overwrite an input or another output.
    ///
    /// # Errors
    /// A usage error that names both.
    pub fn with_distinct_files(self) -> Result<Self, clap::Error> {
        match Files::of(&self).conflict() {
            Some(conflict) => Err(self
                .definition()
                .error(ErrorKind::ArgumentConflict, conflict)),
            None => Ok(self),
        }
    }

    /// The definition of what was asked for, whose usage an error shows.
    fn definition(&self) -> clap::Command {
        let mut all = Self::command();
        all.build();
        let name = match &self.task {
            Some(Task::Report(_)) => "report",
            Some(Task::Diff(_)) => "diff",
            _ => return all,
        };
        let one = all.find_subcommand(name).cloned();
        one.unwrap_or(all)
    }

    /// Whether the run's output goes to standard output.
    pub fn writes_to_stdout(&self) -> bool {
        match &self.output {
            Some(path) => path == Path::new("-"),
            None => self.command.is_empty(),
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

/// The value of an option with what may be a user and password in it left out.
fn without_credentials(value: &str) -> String {
    // A query may hold a token; before an `@` it may as well be part of a password.
    if let Some((before, query)) = value.split_once('?') {
        return match query.contains('@') {
            true => "...".to_owned(),
            false => without_credentials(before) + "?...",
        };
    }
    match value.rsplit_once('@') {
        Some((before, host)) if before.contains("//") || before.contains(':') => {
            let scheme = before.find("//").map_or("", |end| &before[..end + 2]);
            format!("{scheme}...@{host}")
        }
        _ => value.to_owned(),
    }
}

/// A command without `--` in front is the likeliest of wrong arguments.
fn with_tip(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
        let shown = without_credentials(value);
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
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
