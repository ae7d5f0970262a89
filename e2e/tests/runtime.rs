//! Causes and advice for programs of real runtimes: what each does is known from its source below.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use crate::{Outcome, Test, context, ensure, tracer::Tracer};

/// A program, and what must be said of the zombie that it leaves.
struct Case {
    name: &'static str,
    /// `None` if the machine does not have it.
    program: fn() -> Option<PathBuf>,
    args: &'static [&'static str],
    cause: &'static str,
    runtime: &'static str,
    finding: &'static str,
    /// Part of the advice.
    advice: &'static str,
    foreign: Option<bool>,
}

const CASES: &[Case] = &[
    Case {
        name: "python-without-wait",
        program: python,
        args: &[
            "-c",
            "import subprocess, time; child = subprocess.Popen(['true']); time.sleep(600)",
        ],
        cause: "never-waits",
        runtime: "python",
        finding: "has reaped no child in the ",
        advice: "Popen",
        foreign: Some(false),
    },
    Case {
        name: "python-reaps-each-second",
        program: python,
        args: &[
            "-c",
            "import os, time\nwhile True:\n  if os.fork() == 0: os._exit(0)\n  time.sleep(1)\n  \
             os.wait()",
        ],
        cause: "reaps-late",
        runtime: "python",
        finding: "reaps one child every 1.",
        advice: "Popen",
        foreign: Some(false),
    },
    Case {
        name: "python-in-system",
        program: python,
        args: &[
            "-c",
            "import os\nif os.fork() == 0: os._exit(0)\nos.system('exec sleep 60 > /dev/null 2>&1')",
        ],
        cause: "waits-for-other",
        runtime: "python",
        finding: "is in system(), which holds SIGCHLD back until its command, process ",
        advice: "Popen",
        foreign: Some(false),
    },
    Case {
        name: "python-reads-to-the-end",
        program: python,
        args: &[
            "-c",
            "import os, time\nread, write = os.pipe()\nif os.fork() == 0:\n  if os.fork() == 0:\n    \
             os.closerange(0, 3)\n    time.sleep(60)\n  os._exit(0)\nos.close(write)\nos.read(read, 1)",
        ],
        cause: "parent-reads-pipe",
        runtime: "python",
        finding: "whose other end process ",
        advice: "write end",
        foreign: Some(false),
    },
    Case {
        name: "python-holds-a-pidfd",
        program: python,
        args: &[
            "-c",
            "import os, time\nchild = os.fork()\nif child == 0: os._exit(0)\nfd = \
             os.pidfd_open(child)\ntime.sleep(600)",
        ],
        cause: "holds-pidfd",
        runtime: "python",
        finding: "holds a pidfd of it",
        advice: "asyncio",
        foreign: Some(false),
    },
    Case {
        name: "python-reads-one-siginfo",
        program: python,
        args: &[
            "-c",
            "import ctypes, os, signal, time\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n\
             mask = (ctypes.c_ulong * 16)(1 << (signal.SIGCHLD - 1))\n\
             fd = ctypes.CDLL(None).signalfd(-1, mask, 0)\n\
             children = [os.fork() or os._exit(0) for _ in range(2)]\n\
             for child in children: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n\
             os.read(fd, 128)\nos.wait()\ntime.sleep(600)",
        ],
        cause: "signalfd-leaves-it",
        runtime: "python",
        finding: "has read SIGCHLD from its signalfd",
        advice: "after each read of the signalfd",
        foreign: Some(false),
    },
    Case {
        name: "node-is-busy",
        program: node,
        args: &["-e", "require('child_process').spawn('true'); for (;;);"],
        cause: "parent-busy",
        runtime: "node",
        finding: "reaps in its event loop, which is busy now",
        advice: "worker thread",
        foreign: Some(false),
    },
    Case {
        name: "node-after-exec",
        program: bash,
        args: &[
            "-c",
            "sleep 0.5 & exec node -e 'setInterval(() => {}, 1000)'",
        ],
        cause: "foreign-child",
        runtime: "node",
        finding: "did not make it",
        advice: "tini",
        foreign: Some(true),
    },
    Case {
        name: "sleep-after-process-substitution",
        program: bash,
        args: &["-c", "exec 3< <(sleep 0.5); exec sleep 600"],
        cause: "foreign-child",
        runtime: "c",
        finding: "did not make it",
        advice: "tini",
        foreign: Some(true),
    },
    Case {
        name: "perl-without-wait",
        program: perl,
        args: &["-e", "exit 0 unless fork; sleep 600"],
        cause: "never-waits",
        runtime: "perl",
        finding: "is not waiting now",
        advice: "waitpid(-1, WNOHANG)",
        foreign: Some(false),
    },
];

pub(crate) fn tests() -> Vec<Test> {
    let cases = CASES.iter().map(|case| {
        let lacks = (case.program)()
            .is_none()
            .then(|| format!("no program for {}", case.name));
        let test = Test::new(format!("runtime::{}", case.name), || is_explained(case));
        let test = test.unless(lacks).unless(no_node(case));
        match case.cause {
            "parent-busy" => test.alone("is about who gets a CPU"),
            _ => test,
        }
    });
    let kept = Test::new("runtime::kept-to-the-end", kept_to_the_end)
        .unless(context::no_program("/usr/bin/perl"));
    let short = Test::new("runtime::command-line-of-a-short-command", short_command)
        .unless(context::no_program("/usr/bin/perl"));
    cases.chain([kept, short]).collect()
}

/// COMMAND is gone before anybody can ask /proc for its command line.
fn short_command() -> Outcome {
    let run = Tracer::json(["-s"])
        .command(["/usr/bin/perl", "-e", "for (1..3) { fork or exit; wait }"])
        .run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let row = &report.summary()["by_parent"][0];
    ensure!(
        row["cmdline"] == "/usr/bin/perl -e for (1..3) { fork or exit; wait }",
        "{row}"
    );
    Ok(())
}

/// COMMAND ends before the run does, and somebody else inherits its zombie: that one is not to blame.
fn kept_to_the_end() -> Outcome {
    let run = Tracer::json(["--alive-after", "200ms"])
        .command(["/usr/bin/perl", "-e", "exit 3 unless fork; sleep 2"])
        .run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let rows = report.summary()["by_parent"].as_array();
    let perl = rows.and_then(|rows| rows.iter().find(|row| row["comm"] == "perl"));
    let perl = perl.ok_or("no row of perl")?;
    ensure!(perl["cause"] == "never-waits", "{perl}");
    let text = perl["cause_text"].as_str().unwrap_or_default();
    ensure!(text.contains(" (perl) does not handle SIGCHLD"), "{perl}");
    let of_zombie = report.zombies().chain(report.alive());
    let last = of_zombie.filter(|line| line["exit_code"] == 3).last();
    let last = last.ok_or("no line of the zombie")?;
    ensure!(last["cause"] == "never-waits", "{last}");
    Ok(())
}

fn is_explained(case: &Case) -> Outcome {
    let program = (case.program)().ok_or("it was there before")?;
    let mut tracer = Tracer::json(["--alive-after", "300ms", "--"])
        .args([program])
        .args(case.args)
        .start()?;
    let right = |line: &Value| line["type"] == "alive" && line["cause"] == case.cause;
    tracer.wait_line(case.cause, right)?;
    let run = tracer.stop()?;
    let report = run.report()?;
    let mut lines = report.alive();
    let line = lines.find(|line| right(line)).ok_or("it was there")?;
    let has = |key: &str, part: &str| line[key].as_str().is_some_and(|text| text.contains(part));
    ensure!(line["runtime"] == case.runtime, "runtime: {line}");
    ensure!(has("cause_text", case.finding), "cause_text: {line}");
    ensure!(has("advice", case.advice), "advice: {line}");
    ensure!(line["foreign"].as_bool() == case.foreign, "foreign: {line}");
    ensure!(line["watched_ns"].as_u64() > Some(0), "watched_ns: {line}");
    Ok(())
}

/// A wrapper that chooses among versions is a program of its own: the interpreter knows its path.
fn python() -> Option<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim())).filter(|path| path.is_file())
}

fn node() -> Option<PathBuf> {
    context::on_path("node")
}

fn bash() -> Option<PathBuf> {
    context::on_path("bash")
}

fn perl() -> Option<PathBuf> {
    context::on_path("perl")
}

fn no_node(case: &Case) -> Option<String> {
    let needs = case.args.iter().any(|arg| arg.contains("exec node"));
    (needs && node().is_none()).then(|| "no node on PATH".to_owned())
}
