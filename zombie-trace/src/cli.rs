//! The command line.

use std::ffi::OsString;

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

#[cfg(feature = "serve")]
use crate::commands::serve::ServeArgs;
#[cfg(feature = "top")]
use crate::commands::top::TopArgs;
#[cfg(feature = "report")]
use crate::commands::{record::RecordArgs, report::ReportArgs};
use crate::{
    args::Files,
    commands::{
        completions::CompletionsArgs, demo::DemoArgs, diff::DiffArgs, doctor::DoctorArgs,
        inspect::InspectArgs, ps::PsArgs, trace::TraceArgs,
    },
};

const EXAMPLES: &str = "\
Examples:
  zombie-trace                         every zombie, as it is reaped
  zombie-trace -m 10ms --ppid 1234     slow reaps by process 1234
  zombie-trace -s -d 1m                verdict, worst parents, percentiles
  zombie-trace -i 1s                   a line of statistics each second
  zombie-trace -- make -j8             the whole process tree of a command
  zombie-trace record -u nobody -- ./load-test

Durations are written with their unit: 500us, 10ms, 1.5s, 1m30s.

Conditions of --fail-if, about all processes in scope:
  p50, p95, p99.9   any percentile of the zombie times, as in p99>50ms
  max, mean         the longest zombie time, and the mean
  zombie_time       the sum of the zombie times, as in zombie_time>10s
  count, rate       how many were reaped, in all and each second: rate<100/s
  alive             living zombies at the end, including pre-existing ones
  oldest            the age of the oldest of them: oldest>1m

Signals:
  Ctrl-C, SIGTERM and SIGHUP end a run within 5 s, with the summary. COMMAND
  gets them too, and SIGKILL if it still runs 3 s later. A second one kills
  COMMAND and ends the run at once. COMMAND also gets SIGQUIT (Ctrl-\\),
  SIGUSR1, SIGUSR2, SIGALRM and real-time signals. Without COMMAND, SIGQUIT
  ends the run, and the others do nothing.

Exit status:
  0  all went well, also after Ctrl-C
  1  something failed
  2  invalid command line
  3  a condition of --fail-if holds
  4  something was lost, and --strict was given (3 comes before 4)
  With COMMAND, its own status is passed on: 128+n if signal n killed it (137 if
  it outlived a stop), 127 if it or its interpreter was not found, 126 if it
  could not be executed. 3 and 4 replace only 0.
  Ctrl-C, SIGTERM, SIGHUP and SIGQUIT before the run has started end it with
  128+n, such as 130 after Ctrl-C. COMMAND is then not started.";

/// What `--help` and the man page have, too.
const COLUMNS: &str = "\
Columns:
  PID, COMM      the process, and its command name
  PPID, PARENT   its parent when it became a zombie
  STATUS         its exit status, or the signal that killed it; +core with a
                 core dump
  ZOMBIE         how long it could have been reaped before it was; ~ or ≤ if
                 that is not exact, > if it is still a zombie
  WHY            the cause, if it lingered (see zombie-trace ps); otherwise
                 where most of the time went: not waiting (the parent did
                 something else), run queue (the parent got no CPU), notify (its
                 SIGCHLD handler ran late), tracer, or reap (the wait itself)
  HOW            the call that reaped it, such as wait4 or waitid, or autoreap
  REAPER         who called; parent if that was PARENT
  NOTES          the notes below

Notes:
  in NAME        it ran in this container
  ±TIME          the bound on the error of ZOMBIE
  approximate    the start of ZOMBIE is not exact
  bounded        the end of ZOMBIE is not exact
  leader early   its main thread ended before its other threads
  no signal      its parent gets no signal when it ends
  pre-existing   it was a zombie before the run started
  reparented     its parent ended while it was a zombie
  traced         a debugger was attached to it

Tables of the summary:
  LIVING, OLDEST the living zombies, and the age of the oldest
  REAPED         zombies that were reaped, without pre-existing ones
  P50, P99       of their zombie times; of more than 64, rounded up by at most
                 1 %
  ZOMBIE TIME    the sum of the zombie times inside the run, those of living
                 zombies included
  MOSTLY         where most of that went: a phase (as in WHY above), not known,
                 or not reaped (living zombies, and pre-existing ones)
  WHY            the last cause that was found
  A parent has a row for each of its command names: an exec starts a new row,
  whose REAPED does not count what the process reaped before.

Lines of -i:
  SECONDS        when the interval ended, since the start of the run
  EXITS/S        processes that ended, per second
  REAPED         zombies that were reaped
  AUTOREAP       processes that the kernel released at once
  ALIVE          living zombies at its end, without pre-existing ones
  P50 to MAX     of the zombie times of those that were reaped
  LOST           processes that could not be reported

Dying processes:
  A process that was killed or began to exit, and is no zombie after a second,
  has a line of its own, with the thread that is in the way of its end. No
  figure counts it.";

fn examples_and_columns() -> String {
    format!("{EXAMPLES}\n\n{COLUMNS}")
}

/// Show how long each child process stayed a zombie, and who reaped it
///
/// Runs until Ctrl-C, or for as long as COMMAND does. Needs Linux 5.10 or later and root, or the
/// capabilities CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(
    version,
    max_term_width = 80,
    after_help = EXAMPLES,
    after_long_help = examples_and_columns(),
    args_conflicts_with_subcommands = true,
    override_usage = "zombie-trace [OPTIONS] [-- COMMAND [ARGS]...]\n       zombie-trace top [OPTIONS] [FILE | -- COMMAND [ARGS]...]\n       zombie-trace record [OPTIONS] [-- COMMAND [ARGS]...]\n       zombie-trace ps [OPTIONS]\n       zombie-trace inspect PID\n       zombie-trace report [OPTIONS] FILE...\n       zombie-trace diff [OPTIONS] BASE NEW\n       zombie-trace serve [OPTIONS]\n       zombie-trace demo [OPTIONS] [KIND]\n       zombie-trace doctor [--json] [--btf FILE]\n       zombie-trace completions SHELL"
)]
pub struct Cli {
    /// Something else than tracing.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// How to trace, if there is no task.
    #[command(flatten)]
    pub trace: TraceArgs,
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
    /// Needs no privileges, but finds more causes as root. -m filters by age, -n and --parent-comm by
    /// name. -x needs the exit status, which only the zombie's owner and root may read. /proc must be
    /// a procfs of this pid namespace.
    Ps(PsArgs),

    /// Show all about one zombie and its parent, or about one parent
    ///
    /// Of a zombie: why it is still there, what helps, its ancestors, and what its parent does with
    /// SIGCHLD and in its threads. Of a living process: its zombies. -d also shows how promptly it
    /// reaps. Needs no privileges without -d, but shows more as root. /proc must be a procfs of this
    /// pid namespace.
    Inspect(InspectArgs),

    /// Show parents and their zombies on one screen, live or from a recording
    ///
    /// Traces until q or Ctrl-C, and then shows the summary. The screen shows which parents leave
    /// zombies, how many, how old, and why; '?' lists the keys. Needs a terminal of 60 columns and 15
    /// lines or more. With FILE, replays a recording instead. With COMMAND, traces it and its
    /// descendants; COMMAND has a terminal of its own, which the key o shows.
    #[cfg(feature = "top")]
    Top(Box<TopArgs>),

    /// Record a run to a file, and show its summary
    ///
    /// Traces like a run without a subcommand, until Ctrl-C or while COMMAND runs, and records the
    /// zombies as JSON Lines, compressed. The summary goes to stdout, or to stderr with COMMAND. If
    /// stderr is a terminal, a line on it shows the time since the start, the exits, the living
    /// zombies and the 99th percentile of the zombie times. With -q there is no such line.
    #[cfg(feature = "report")]
    Record(Box<RecordArgs>),

    /// Show recorded runs, as text, page or data
    ///
    /// FILE is what record or --json -o FILE has written, also compressed with zstd; '-' is standard input.
    /// Several runs are summed up, each from its own start. A recording that is cut or damaged is
    /// read up to and past the damage, with a warning. A recording that lacks lines counted in its
    /// summary is read too, and its run is incomplete. A run given twice causes a warning. A run
    /// recorded with --summary and --interval has statistics over time, but lists no zombies. An
    /// output file replaces an old one when it is complete.
    ///
    /// Names of processes and files are shown with control characters escaped. Text is ASCII where
    /// the locale (LC_ALL, LC_CTYPE, LANG) is set and is not UTF-8. In CSV, a cell that a
    /// spreadsheet would take for a formula starts with a quote.
    #[cfg(feature = "report")]
    Report(ReportArgs),

    /// Compare two recorded runs: do zombies last longer?
    ///
    /// Compares the percentiles of all zombies, and of the zombies of each parent. A change counts if
    /// it is at least 10 %, and more than noise explains, as estimated from how each run varies.
    Diff(DiffArgs),

    /// Make zombies on purpose
    ///
    /// Makes a real parent with real zombies, explains them, shows the commands to look at them from
    /// another terminal, and cleans up after Enter, Ctrl-C or the time given.
    Demo(DemoArgs),

    /// Serve metrics to Prometheus and OpenTelemetry
    ///
    /// Traces like a run without COMMAND, until Ctrl-C or SIGTERM, and answers GET /metrics in
    /// OpenMetrics or Prometheus' text format. Once attached, it gives up all privileges, and is
    /// confined to the files and system calls that it needs.
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),

    /// Write a script that completes commands and options in a shell
    Completions(CompletionsArgs),
}

impl Cli {
    /// Parses arguments; the first is the program's name.
    ///
    /// An error is also what `--help` and `--version` give: [`clap::Error::exit`] does the right
    /// thing with each, with status 2 for a usage error.
    pub fn from_args<I>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        let mut args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        // The usage shows it, and whoever calls us can choose any.
        if let Some(name) = args.first_mut() {
            *name = env!("CARGO_PKG_NAME").into();
        }
        let cli = Self::try_parse_from(&args).map_err(|error| with_tip(error, &args))?;
        let ends_in_dashes = args.last().is_some_and(|arg| arg == "--");
        let conflict = match &cli.task {
            #[cfg(feature = "report")]
            Some(Task::Record(args)) => args.conflict(ends_in_dashes),
            #[cfg(feature = "top")]
            Some(Task::Top(args)) => args.conflict(ends_in_dashes),
            #[cfg(feature = "report")]
            Some(Task::Report(args)) => args.conflict().map(conflicting),
            Some(Task::Diff(args)) => args.conflict().map(conflicting),
            Some(_) => None,
            None => cli.trace.run.conflict(ends_in_dashes),
        };
        match conflict {
            Some((kind, text)) => Err(cli.definition().error(kind, text)),
            None => Ok(cli),
        }
    }

    /// Refuses an output that would overwrite an input or another output.
    ///
    /// # Errors
    /// A usage error that names both.
    pub fn with_distinct_files(self) -> Result<Self, clap::Error> {
        match self.files().conflict() {
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
            #[cfg(feature = "report")]
            Some(Task::Record(_)) => "record",
            #[cfg(feature = "top")]
            Some(Task::Top(_)) => "top",
            #[cfg(feature = "report")]
            Some(Task::Report(_)) => "report",
            Some(Task::Diff(_)) => "diff",
            _ => return all,
        };
        let one = all.find_subcommand(name).cloned();
        one.unwrap_or(all)
    }

    /// The files that the command line names, and the standard streams.
    fn files(&self) -> Files {
        let mut files = Files::default();
        match &self.task {
            None => self.trace.add_files(&mut files),
            #[cfg(feature = "report")]
            Some(Task::Record(args)) => args.add_files(&mut files),
            #[cfg(feature = "top")]
            Some(Task::Top(args)) => args.add_files(&mut files),
            #[cfg(feature = "report")]
            Some(Task::Report(args)) => args.add_files(&mut files),
            Some(Task::Diff(args)) => args.add_files(&mut files),
            Some(Task::Ps(args)) => args.add_files(&mut files),
            #[cfg(feature = "serve")]
            Some(Task::Serve(args)) => files.tuning(&args.tuning),
            Some(Task::Completions(_) | Task::Doctor(_) | Task::Inspect(_) | Task::Demo(_)) => {}
        }
        files.streams();
        files
    }
}

fn conflicting(text: &'static str) -> (ErrorKind, &'static str) {
    (ErrorKind::ArgumentConflict, text)
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

/// Says what may have been meant instead.
fn with_tip(mut error: clap::Error, args: &[OsString]) -> clap::Error {
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
    // These are ours to give: clap's would have a value passed after `--`, which starts COMMAND.
    error.remove(ContextKind::Suggested);
    error.remove(ContextKind::SuggestedSubcommand);
    let tips = tips(&unexpected, args);
    if !tips.is_empty() {
        let tips = tips.into_iter().map(Into::into).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// What to do instead of giving an argument that is not expected.
fn tips(unexpected: &str, args: &[OsString]) -> Vec<String> {
    if unexpected.starts_with('-') {
        return Vec::new();
    }
    let is_first = |name: &str| args.get(1).is_some_and(|arg| arg == name);
    let traced = format!("to trace a command, put '--' in front: -- {unexpected}");
    if is_first("record") {
        return vec![traced];
    }
    if is_first("ps") {
        let is_pid = unexpected.parse::<u32>().is_ok();
        return vec![match is_pid {
            true => format!("to look at one process: zombie-trace inspect {unexpected}"),
            false => format!("to list the zombies of a name: zombie-trace ps -n {unexpected}"),
        }];
    }
    let all = Cli::command();
    let names = || all.get_subcommands().map(clap::Command::get_name);
    if names().any(is_first) {
        return Vec::new();
    }
    let mut tips = Vec::new();
    let is_subcommand = names().any(|name| name == unexpected);
    if is_subcommand {
        // Options of a run are in front of it.
        return vec![format!("give the command first: zombie-trace {unexpected}")];
    }
    if let Some(name) = similar(unexpected, names()) {
        tips.push(format!("did you mean 'zombie-trace {name}'?"));
    }
    if matches!(unexpected, "watch" | "stat" | "monitor") {
        tips.push("for a line of statistics each second: zombie-trace -i 1s".to_owned());
    }
    if !is_first("help") {
        tips.push(traced);
    }
    tips
}

/// The name that is most like a mistyped one, if one is.
fn similar<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    // In a short name, two letters in the wrong order are half of it.
    let is_swapped = |name: &str| strsim::damerau_levenshtein(typed, name) == 1;
    names
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(alike, name)| *alike > ALIKE || (typed.len() > 2 && is_swapped(name)))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn conflict(args: &[&str]) -> Option<String> {
        let args = ["zombie-trace"].iter().chain(args);
        Cli::from_args(args).unwrap().files().conflict()
    }

    #[test]
    fn whatever_we_are_called_as_the_usage_shows_our_name() {
        for name in ["\x1b]0;pwned\x07", "/tmp/other", ""] {
            for rest in [&["ps", "--help"][..], &["ps", "--no-such"], &["--version"]] {
                let args = std::iter::once(&name).chain(rest);
                let text = Cli::from_args(args).unwrap_err().to_string();
                assert!(text.contains("zombie-trace"), "{text}");
                assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
            }
        }
    }

    #[test]
    fn an_output_is_no_input_and_no_other_output() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (run, new, dotted) = (path("run.jsonl"), path("new"), path("./new"));
        let (link, hard, fifo) = (path("link"), path("hard"), path("fifo"));
        fs::write(&run, "").unwrap();
        symlink(&run, &link).unwrap();
        fs::hard_link(&run, &hard).unwrap();
        nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let junit = |file: &str| format!("junit={file}");
        let gate = ["--fail-if", "p99>1s", "--format"];

        for same in [&run, &link, &hard] {
            for option in ["--html", "--perfetto", "--csv"] {
                let text = conflict(&["report", &run, option, same]).unwrap();
                assert_eq!(
                    text,
                    format!("{option} {same} would overwrite FILE {run}: give another file")
                );
            }
            let text = conflict(&[&["report", &run], &gate[..], &[&junit(same)]].concat());
            let text = text.unwrap();
            assert!(
                text.starts_with(&format!("--format junit={same} would")),
                "{text}"
            );
            let text = conflict(&[&["diff", &new, &run], &gate[..], &[&junit(same)]].concat());
            assert!(text.unwrap().contains(" NEW "));
        }
        let picture = path("a.svg");
        symlink(&run, &picture).unwrap();
        assert_eq!(
            conflict(&["report", &run, "--flamegraph", &picture]).unwrap(),
            format!("--flamegraph {picture} would overwrite FILE {run}: give another file")
        );
        assert_eq!(
            conflict(&["report", &run, "--html", &new, "--csv", &dotted]).unwrap(),
            format!("--html {new} and --csv {dotted} are the same file: give each its own")
        );
        let output = ["--json", "-o", &new];
        let text = conflict(&[&output[..], &gate, &[&junit(&dotted)]].concat()).unwrap();
        assert!(text.starts_with("--output "), "{text}");
        assert!(
            conflict(&["-o", &run, "--btf", &run])
                .unwrap()
                .contains("--btf")
        );
        assert!(
            conflict(&["-o", &run, "--", &run])
                .unwrap()
                .contains("COMMAND")
        );
        let text = conflict(&["report", &run, "--html", &fifo, "--csv", &fifo]);
        assert!(text.is_some(), "two outputs in a FIFO");

        for fine in [
            &["report", run.as_str(), "--html", new.as_str(), "--csv", "-"][..],
            &["report", &run, "--html", "/dev/null", "--csv", "/dev/null"],
            &["-o", "ls", "--", "ls"],
            &["-o", "-", "-d", "1s"],
            &["-o", "/nonexistent/x", "-d", "1s"],
        ] {
            assert_eq!(conflict(fine), None, "{fine:?}");
        }
    }
}
