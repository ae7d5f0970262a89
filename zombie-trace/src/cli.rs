//! The command line.

use std::ffi::OsString;

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    args::Files,
    commands::{
        demo::DemoArgs, diff::DiffArgs, doctor::DoctorArgs, inspect::InspectArgs, ps::PsArgs,
        report::ReportArgs, serve::ServeArgs, trace::TraceArgs,
    },
};

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

    /// Show recorded runs, as text, page or data
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
        let conflict = match &cli.task {
            Some(Task::Report(args)) => args.conflict().map(conflicting),
            Some(Task::Diff(args)) => args.conflict().map(conflicting),
            Some(_) => None,
            None => cli
                .trace
                .conflict(args.last().is_some_and(|arg| arg == "--")),
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
            Some(Task::Report(args)) => args.add_files(&mut files),
            Some(Task::Diff(args)) => args.add_files(&mut files),
            Some(Task::Ps(args)) => args.add_files(&mut files),
            Some(Task::Serve(args)) => files.tuning(&args.tuning),
            Some(Task::Doctor(_) | Task::Inspect(_) | Task::Demo(_)) => {}
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn conflict(args: &[&str]) -> Option<String> {
        let args = ["zombie-trace"].iter().chain(args);
        Cli::from_args(args).unwrap().files().conflict()
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
