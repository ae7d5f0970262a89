//! What the command line accepts, and what it says of what it does not.

use std::path::Path;

use clap::error::ErrorKind;
use zombie_trace::{
    Backend,
    internals::{
        BackendChoice, By, Cli, CollectorChoice, ColorWhen, DEFAULT_MAX_ZOMBIES, Filter, Format,
        Task,
    },
};

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::from_args([&["zombie-trace"], args].concat())
}

fn accepted(args: &[&str]) -> Cli {
    parse(args).unwrap_or_else(|err| panic!("{args:?}: {err}"))
}

#[track_caller]
fn refused(args: &[&str], expected: &[&str]) {
    let err = parse(args).expect_err(&format!("{args:?}"));
    assert_eq!(err.exit_code(), 2, "{args:?}: {err}");
    let text = err.to_string();
    for part in expected {
        assert!(text.contains(part), "{args:?}: no {part:?} in: {text}");
    }
}

#[test]
fn clap_finds_the_definition_sound() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn tables() {
    let trace = accepted(&["--top", "3", "--by", "cause", "--each"]).trace;
    assert_eq!((trace.run.tables.top, trace.run.tables.by), (3, By::Cause));
    assert!(trace.each);
    assert_eq!(accepted(&[]).trace.run.tables.top, 10);
    refused(&["--top", "0"], &["--top"]);
    refused(&["--by", "pids"], &["--by", "pid, comm, container, cause"]);
}

#[test]
fn two_runs_to_compare() {
    let diff = |args: &[&str]| match accepted(&[&["diff"], args].concat()).task {
        Some(Task::Diff(args)) => args,
        task => panic!("{task:?}"),
    };
    let plain = diff(&["a", "-"]);
    assert_eq!(
        (plain.base.as_path(), plain.new.as_path()),
        (Path::new("a"), Path::new("-"))
    );
    assert!(!plain.json && plain.gates.conditions().is_empty());
    let all = diff(&[
        "--json",
        "a",
        "b",
        "--fail-if",
        "p99>+20%",
        "--fail-if=p50<-1%",
    ]);
    assert!(all.json);
    let conditions: Vec<_> = all
        .gates
        .conditions()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(conditions, ["p99>+20%", "p50<-1%"]);
    refused(&["diff", "a"], &["<NEW>"]);
    refused(
        &["diff", "a", "b", "--fail-if", "p99>20%"],
        &["at character 5"],
    );
    refused(
        &["diff", "a", "b", "--fail-if", "length>1s"],
        &["'length' is not known"],
    );
    refused(&["diff", "a", "b", "--format", "github"], &["--fail-if"]);
}

#[test]
fn nothing_asked_for() {
    let cli = accepted(&[]);
    assert!(
        cli.trace.run.scope.pid.is_empty()
            && cli.trace.run.scope.ppid.is_empty()
            && cli.trace.run.scope.tree.is_none()
    );
    assert!(cli.trace.run.command.is_empty());
    assert_eq!(cli.trace.run.tuning.backend, BackendChoice::Auto);
    assert!(!cli.trace.run.strict && cli.trace.run.tuning.btf.is_none() && cli.task.is_none());
    assert_eq!(cli.trace.run.color.when, ColorWhen::Auto);
    assert_eq!(cli.trace.run.tuning.max_zombies, DEFAULT_MAX_ZOMBIES);
    assert_eq!(cli.trace.run.tuning.buffer.bytes(), 4 << 20);
    // In text, what was reaped at once is not listed.
    let quick = Filter {
        min: Some("1ms".parse().unwrap()),
        ..Filter::default()
    };
    assert_eq!(cli.trace.filter(), quick);
    for all in [&["-m", "0"][..], &["--json"], &["-o", "run.zst"]] {
        let filter = accepted(all).trace.filter();
        assert!(filter.min.is_none_or(|min| min.as_nanos() == 0), "{all:?}");
    }
    assert_eq!(cli.trace.sink(), Default::default());
}

#[test]
fn short_and_long() {
    let short = accepted(&[
        "-p1", "-p", "2", "-P", "3", "-n", "a*", "-c", "/x", "-x", "-m", "10ms", "-a", "-d",
        "1m30s", "-t", "-s", "-o", "file", "-u", "root", "-vv", "--", "make", "-j8",
    ]);
    let long = accepted(&[
        "--pid=1",
        "--pid",
        "2",
        "--ppid",
        "3",
        "--comm",
        "a*",
        "--cgroup",
        "/x",
        "--failed",
        "--min",
        "10ms",
        "--all",
        "--duration",
        "90s",
        "--timestamps",
        "--summary",
        "--output",
        "file",
        "--user",
        "root",
        "--verbose",
        "--verbose",
        "--",
        "make",
        "-j8",
    ]);
    assert_eq!(short, long);
    assert_eq!(
        short
            .trace
            .run
            .scope
            .pid
            .iter()
            .map(|pid| pid.get())
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(short.trace.run.filter.min.unwrap().as_nanos(), 10_000_000);
    assert_eq!(short.trace.run.duration.unwrap().as_nanos(), 90_000_000_000);
    assert_eq!(short.trace.output.as_deref(), Some(Path::new("file")));
    assert_eq!(short.trace.run.user.unwrap().name, "root");
    assert_eq!(short.trace.run.command, ["make", "-j8"]);
    assert_eq!(short.trace.run.verbose, 2);
}

#[test]
fn long_only() {
    let cli = accepted(&[
        "--tree",
        "7",
        "--parent-comm",
        "a",
        "--parent-comm",
        "b",
        "--json",
        "--backend",
        "tracepoint",
        "--max-zombies",
        "4194304",
        "--buffer",
        "5M",
        "--color",
        "never",
        "-q",
    ]);
    assert_eq!(cli.trace.run.scope.tree.unwrap().get(), 7);
    assert_eq!(cli.trace.run.filter.parent_comm.len(), 2);
    assert!(cli.trace.json && cli.trace.run.quiet);
    assert_eq!(cli.trace.run.tuning.backend, BackendChoice::Tracepoint);
    assert_eq!(cli.trace.run.tuning.max_zombies, 4_194_304);
    assert_eq!(cli.trace.run.tuning.buffer.bytes(), 8 << 20);
    assert_eq!(cli.trace.run.color.when, ColorWhen::Never);
}

#[test]
fn what_follows_the_dashes_is_the_commands() {
    let cli = accepted(&["--", "sh", "-c", "exit 3", "--", "--json"]);
    assert_eq!(
        cli.trace.run.command,
        ["sh", "-c", "exit 3", "--", "--json"]
    );
    assert!(!cli.trace.json);
}

#[test]
fn pids_that_cannot_exist() {
    for flag in ["-p", "-P", "--tree"] {
        for pid in ["0", "-1", "4194305", "99999999999"] {
            refused(&[flag, pid], &["no such process can exist", "1 to 4194304"]);
        }
        refused(&[flag], &["a value is required"]);
    }
    refused(&["--ppid", "0"], &["--ppid"]);
}

#[test]
fn durations_without_sense() {
    for flag in ["--min", "--duration"] {
        refused(&[flag, "10"], &[flag, "needs a unit: 10ms, 10s"]);
        refused(&[flag, "-1s"], &[flag, "no sign"]);
        refused(&[flag, "soon"], &[flag, "such as 10ms"]);
        refused(&[flag, "99999999999999999999s"], &[flag, "too long"]);
    }
    refused(&["-d", "0s"], &["--duration", "longer than 0"]);
    refused(&["-i", "99ms"], &["--interval", "100ms or longer"]);
    refused(&["-i", "1"], &["--interval", "needs a unit: 1ms, 1s"]);
    accepted(&["-m", "0s"]);
}

#[test]
fn sizes_and_limits() {
    refused(&["--buffer", "0"], &["--buffer", "more than 0"]);
    refused(&["--buffer", "2G"], &["--buffer", "1GiB"]);
    refused(&["--buffer", "big"], &["--buffer", "4MiB"]);
    for n in ["0", "-1", "4194305", "many"] {
        refused(&["--max-zombies", n], &["--max-zombies"]);
    }
}

#[test]
fn names() {
    refused(&["-n", "[a"], &["--comm", "not a pattern"]);
    refused(
        &["-n", "systemd-journald"],
        &["--comm", "'systemd-journal*'"],
    );
    refused(&["--parent-comm", ""], &["--parent-comm"]);
    accepted(&["--comm=-bash"]);
}

#[test]
fn a_command_must_follow_the_dashes() {
    refused(&["--"], &["missing command"]);
    refused(&["-p", "1", "--"], &["missing command"]);
    refused(&["sleep", "1"], &["'sleep'", "-- sleep"]);
}

#[test]
fn a_user_is_for_a_command() {
    refused(&["-u", "root"], &["--user", "COMMAND"]);
    refused(
        &["-u", "no-such-user", "--", "true"],
        &["--user", "no such user"],
    );
}

#[test]
fn conditions_are_refused_with_the_place_of_the_mistake() {
    let cli = accepted(&["--fail-if", "p99>50ms", "--fail-if=alive > 0", "--", "make"]);
    let conditions: Vec<_> = cli
        .trace
        .run
        .gates
        .conditions()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(conditions, ["p99>50ms", "alive>0"]);
    for (condition, expected) in [
        ("q98>50ms", "at character 1: 'q98' is not known"),
        ("p0>50ms", "at character 1: 'p0': a percentile is above 0"),
        ("p99=50ms", "at character 4: needs > or <"),
        ("p99>50", "at character 5: '50': needs a unit"),
        ("rate<100", "at character 6: '100' is no rate"),
        ("p99>+20%", "at character 5: '+20%' is a change"),
    ] {
        refused(&["--fail-if", condition], &["--fail-if", expected]);
    }
    refused(
        &["ps", "--fail-if", "p99>50ms"],
        &[
            "--fail-if",
            "at character 1: 'p99' is not known: it can be alive, oldest",
        ],
    );
    accepted(&["ps", "--fail-if", "oldest>1m"]);
    accepted(&["--fail-if", "zombie_time>1m", "--fail-if=p99.95>1s"]);
}

#[test]
fn intervals_are_a_summary_over_time() {
    let sink = accepted(&["-i", "1s"]).trace.sink();
    assert!(sink.intervals && !sink.summary_only && !sink.json);
    assert_eq!(
        accepted(&["--interval=100ms"])
            .trace
            .interval
            .unwrap()
            .as_nanos(),
        100_000_000
    );
}

#[test]
fn formats_are_for_conditions() {
    let cli = accepted(&["--fail-if", "max>1s", "--format", "junit=report.xml"]);
    assert_eq!(
        *cli.trace.run.gates.format(),
        Format::Junit("report.xml".into())
    );
    accepted(&["ps", "--fail-if", "alive>9", "--format", "github"]);
    for args in [&["--format", "github"][..], &["ps", "--format", "github"]] {
        refused(args, &["--fail-if"]);
    }
    for (format, expected) in [
        ("junit", "junit=FILE"),
        ("xml", "text, github or junit=FILE"),
    ] {
        refused(
            &["--fail-if", "max>1s", "--format", format],
            &["--format", expected],
        );
    }
}

#[test]
fn contradictions() {
    refused(&["-q", "-v"], &["--quiet", "--verbose"]);
    refused(&["--tree", "1", "--tree", "2"], &["--tree"]);
    refused(&["--backend", "magic"], &["--backend", "tracepoint"]);
    refused(&["--color", "pink"], &["--color", "always"]);
    refused(&["--bogus"], &["--bogus"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let help = parse(&["-h"]).unwrap_err();
    assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    let version = parse(&["-V"]).unwrap_err();
    assert_eq!(
        (version.kind(), version.exit_code()),
        (ErrorKind::DisplayVersion, 0)
    );
    assert_eq!(
        version.to_string(),
        format!("zombie-trace {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn one_tree_at_a_time() {
    refused(
        &["--tree", "1", "--", "true"],
        &["--tree", "COMMAND", "leave one out"],
    );
}

#[test]
fn doctor_is_a_task_of_its_own() {
    let cli = accepted(&["doctor", "--json", "--btf", "file"]);
    let Some(Task::Doctor(args)) = cli.task else {
        panic!("no doctor: {cli:?}");
    };
    assert!(args.json);
    assert_eq!(args.btf.as_deref(), Some(Path::new("file")));
    refused(&["doctor", "--pid", "1"], &["--pid"]);
    refused(&["-s", "doctor"], &["doctor"]);
    refused(&["doctr"], &["doctr", "--"]);
    // A command of that name is still a command.
    assert_eq!(accepted(&["--", "doctor"]).trace.run.command, ["doctor"]);
}

#[test]
fn every_backend_can_be_forced() {
    for (name, backend) in [
        ("auto", None),
        ("fentry", Some(Backend::Fentry)),
        ("kprobe", Some(Backend::Kprobe)),
        ("tracepoint", Some(Backend::Tracepoint)),
    ] {
        assert_eq!(
            accepted(&["--backend", name])
                .trace
                .run
                .tuning
                .backend
                .forced(),
            backend
        );
    }
}

#[test]
fn serve_options() {
    let serve = |args: &[&str]| {
        let cli = accepted(&[&["serve"], args].concat());
        let Some(Task::Serve(args)) = cli.task else {
            panic!("no serve");
        };
        *args
    };
    let args = serve(&[]);
    assert_eq!(args.listen.to_string(), "127.0.0.1:9816");
    assert_eq!((args.otlp, args.max_series), (None, 1000));
    assert_eq!(args.tuning, accepted(&[]).trace.run.tuning);
    assert_eq!(
        serve(&["--otlp"]).otlp,
        Some(CollectorChoice::FromEnvironment)
    );
    let args = serve(&["--otlp", "http://c:4318", "--listen", "[::]:80", "-P", "7"]);
    assert!(matches!(args.otlp, Some(CollectorChoice::At(_))));
    assert!(args.listen.address().is_ipv6());

    refused(
        &["serve", "--listen", ":9816"],
        &["--listen", "127.0.0.1:9816"],
    );
    refused(&["serve", "--otlp", "https://c"], &["--otlp", "https"]);
    refused(&["serve", "-m", "1ms"], &["--min", "narrow the scope"]);
    refused(&["serve", "--max-series", "0"], &["--max-series"]);
    refused(&["serve", "--", "true"], &["true"]);
}

#[test]
fn no_secret_of_a_url_is_repeated() {
    for (url, shown) in [
        ("http://c/?token=S3cr3t", "http://c/?..."),
        ("http://c/?token=S3cr3t@x", "'...'"),
        ("http://user:S3?cr3t@c/?a", "'...'"),
        ("http://user:S3cr3t@c/?a=S3cr3t", "http://...@c/?..."),
    ] {
        let message = parse(&["serve", "--otlp", url]).unwrap_err().to_string();
        assert!(!message.contains("S3"), "{message}");
        assert!(message.contains(shown), "{message}");
    }
}

#[test]
fn the_name_of_a_flame_graph_chooses_the_format() {
    for name in ["a.svg", "b/a.folded", "a.speedscope.json"] {
        accepted(&["report", "run", "--flamegraph", name]);
    }
    for name in ["a", "a.json", "a.png", "a.svg.gz", "-", ""] {
        let message = parse(&["report", "run", "--flamegraph", name])
            .unwrap_err()
            .to_string();
        for part in ["--flamegraph", ".svg, .folded or .speedscope.json"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn an_error_shows_the_usage_of_the_command_concerned() {
    for (args, usage) in [
        (
            &["report", "--perfetto", "x.json", "a", "b"][..],
            "Usage: zombie-trace report ",
        ),
        (&["report", "-", "-"], "Usage: zombie-trace report "),
        (&["diff", "-", "-"], "Usage: zombie-trace diff "),
    ] {
        let message = parse(args).unwrap_err().to_string();
        assert_eq!(message.matches("zombie-trace").count(), 1, "{message}");
        assert!(message.contains(usage), "{message}");
    }
}

#[test]
fn the_name_of_the_output_chooses_the_format() {
    for name in ["run.jsonl", "a/run.json", "run.zst", "run-1.2.zst"] {
        assert!(accepted(&["-o", name]).trace.sink().json, "{name}");
    }
    for name in ["run", "run.txt", "run.txt.zst", "jsonl", ".jsonl", "-"] {
        assert!(!accepted(&["-o", name]).trace.sink().json, "{name}");
        assert!(
            accepted(&["--json", "-o", name]).trace.sink().json,
            "{name}"
        );
    }
}

#[test]
fn a_recording_has_the_options_of_a_run() {
    let record = |args: &[&str]| match accepted(&[&["record"], args].concat()).task {
        Some(Task::Record(args)) => args,
        task => panic!("{task:?}"),
    };
    let args = record(&[
        "-o",
        "run.zst",
        "--html",
        "run.html",
        "--csv=run.csv",
        "--perfetto",
        "run.json",
        "-P",
        "3",
        "-d",
        "1m",
        "-n",
        "a*",
        "--fail-if",
        "p99>1s",
        "--strict",
        "-q",
        "--",
        "make",
        "-j8",
    ]);
    assert_eq!(args.run.command, ["make", "-j8"]);
    assert_eq!(args.run.scope.ppid.len(), 1);
    assert!(args.run.strict && args.run.quiet && args.run.duration.is_some());
    for (args, message) in [
        (&["--csv", "-"][..], "give --csv a file"),
        (&["-o", "-", "--html", "x"], "give -o a regular file"),
        (&["-o", "/dev/null", "--csv", "x"], "give -o a regular file"),
        (
            &["-o", "x", "--html", "x"],
            "--output x and --html x are the same file",
        ),
        (&["--html", "x", "--csv", "./x"], "the same file"),
        (&["--"], "must be followed by COMMAND"),
        (
            &["--tree", "1", "--", "make"],
            "--tree cannot be used with COMMAND",
        ),
        (&["-u", "root"], "add -- COMMAND"),
        (&["--json"], "unexpected argument '--json'"),
        (&["make"], "put '--' in front: -- make"),
    ] {
        let args = [&["zombie-trace", "record"], args].concat();
        let error = Cli::from_args(args.iter().copied()).and_then(Cli::with_distinct_files);
        let text = error.expect_err(&format!("{args:?}")).to_string();
        assert!(text.contains(message), "{args:?}: {text}");
        assert!(text.contains("zombie-trace record [OPTIONS]"), "{text}");
    }
}

#[test]
fn an_output_is_what_its_name_says() {
    for (args, message) in [
        (
            &["report", "a", "--html", "-"][..],
            "--html -: it cannot be written to standard output: give a file",
        ),
        (&["report", "a", "--perfetto", "-"], "--perfetto -: "),
        (
            &["report", "a", "--fail-if", "alive>0", "--format", "junit=-"],
            "--format junit=-: ",
        ),
        (&["record", "--html", "-"], "--html -: "),
        (
            &["-o", "x.jsonl.gz"],
            "--output x.jsonl.gz: it would not be compressed as .gz says: zombie-trace compresses to .zst",
        ),
        (&["record", "-o", "x.xz"], "zombie-trace compresses to .zst"),
        (
            &["report", "a", "--html", "x.html.gz"],
            "--html x.html.gz: it would not be compressed as .gz says: leave that out",
        ),
        (
            &["report", "a", "--html", "x.html.zst"],
            "--html x.html.zst: it is never compressed: give a name such as x.html",
        ),
    ] {
        let args = [&["zombie-trace"], args].concat();
        let error = Cli::from_args(args.iter().copied()).and_then(Cli::with_distinct_files);
        let text = error.expect_err(&format!("{args:?}")).to_string();
        assert!(text.contains(message), "{args:?}: {text}");
    }
}

#[test]
fn a_mistake_gets_a_tip_that_is_true() {
    for (args, tips) in [
        (
            &["reprot"][..],
            &["did you mean 'zombie-trace report'?", "-- reprot"][..],
        ),
        (&["recrod"], &["did you mean 'zombie-trace record'?"]),
        (&["tpo"], &["did you mean 'zombie-trace top'?"]),
        (&["dif", "a", "b"], &["did you mean 'zombie-trace diff'?"]),
        (&["monitor"], &["zombie-trace -i 1s", "-- monitor"]),
        (
            &["help", "reprot"],
            &["did you mean 'zombie-trace report'?"],
        ),
        (&["make"], &["put '--' in front: -- make"]),
        (&["-q", "ps"], &["give the command first: zombie-trace ps"]),
        (&["ps", "nginx"], &["zombie-trace ps -n nginx"]),
        (&["ps", "4242"], &["zombie-trace inspect 4242"]),
        (
            &["-P", "nginx"],
            &["-P takes a pid; for a name use --parent-comm nginx"],
        ),
        (
            &["-p", "nginx"],
            &["-p takes a pid; for a name use -n nginx"],
        ),
        (&["ps", "-P", "nginx"], &["--parent-comm nginx"]),
        (&["record", "-p", "nginx"], &["-n nginx"]),
    ] {
        refused(args, tips);
    }
    // A tip that does not help is worse than none.
    for (args, untrue) in [
        (&["make"][..], "did you mean"),
        (&["doctor", "make"], "put '--' in front"),
        (&["ps", "make"], "put '--' in front"),
        (&["help", "make"], "put '--' in front"),
        (&["-p", "0"], "for a name"),
        (&["-p", "12x"], "for a name"),
        (&["--tree", "nginx"], "for a name"),
    ] {
        let text = parse(args).unwrap_err().to_string();
        assert!(!text.contains(untrue), "{args:?}: {text}");
    }
}

#[test]
fn help_is_a_command_too() {
    let help = |args: &[&str]| parse(args).unwrap_err();
    for (command, option) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "ps"], &["ps", "--help"]),
        (&["help", "record"], &["record", "--help"]),
    ] {
        assert_eq!(help(command).kind(), ErrorKind::DisplayHelp, "{command:?}");
        assert_eq!(help(command).to_string(), help(option).to_string());
    }
}
