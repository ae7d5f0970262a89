//! Causes and advice for programs of real runtimes: what each does is known from its source.

mod cases;
mod program;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    cases::{CASES, Case},
    program::Program,
};
use crate::{
    Outcome, Test,
    context::{self, succeeds},
    ensure,
    report::number,
    tracer::Tracer,
};

pub(crate) use program::{TOKIO, tokio_parent};

pub(crate) fn tests() -> Vec<Test> {
    let cases = CASES.iter().map(|case| {
        let test = Test::new(format!("runtime::{}", case.name), || is_explained(case));
        let test = match case.program.is_heavy() {
            true => test.long("needs a runtime that only the full setup installs"),
            false if case.name == "python-reaps-when-it-starts-the-next" => {
                test.long("is about a rhythm, which a busy machine disturbs")
            }
            false if case.name == "c-main-thread-ends" => {
                test.long("dying::main-thread-ended is the quick one")
            }
            false => test,
        };
        let test = test.unless(case.program.missing());
        match case.cause {
            "parent-busy" => test.alone("is about who gets a CPU"),
            _ => test,
        }
    });
    let perl = || context::no_program("/usr/bin/perl");
    let others = [
        Test::new("runtime::kept-to-the-end", kept_to_the_end).unless(perl()),
        Test::new("runtime::command-line-of-a-short-command", short_command).unless(perl()),
        Test::new("runtime::watched-since-its-start", watched_since_its_start).unless(perl()),
        Test::new("runtime::reaps-out-of-scope", reaps_out_of_scope)
            .unless(Program::Python("").missing()),
        Test::new("runtime::inspect-rivals", inspect_rivals).unless(Program::Python("").missing()),
        Test::new("runtime::parent-in-an-outer-namespace", outer_parent)
            .unless(Program::Python("").missing()),
        Test::new("runtime::go-thread-steals-a-child", stolen)
            .long("needs a runtime that only the full setup installs")
            .unless(Program::Go("").missing()),
    ];
    cases.chain(others).collect()
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
    let path = context::fresh_path("enough");
    let script = "exit 3 unless fork; until (-e $ARGV[0]) { select undef, undef, undef, 0.1 }";
    let mut tracer = Tracer::json(["--alive-after", "200ms"])
        .command(["/usr/bin/perl", "-e", script, &path.to_string_lossy()])
        .start()?;
    tracer.wait_line("the zombie's cause", |line| {
        line["type"] == "alive" && line["cause"] == "never-waits" && line["exit_code"] == 3
    })?;
    fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
    let run = tracer.finish()?;
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
    let mut command: Vec<String> = Vec::new();
    if case.is_init || case.finding.contains("pid namespace") {
        command.extend(["unshare", "-pf", "--kill-child"].map(str::to_owned));
    }
    command.extend(case.program.command()?);
    let mut tracer = Tracer::json(["--alive-after", "300ms"])
        .command(command)
        .start()?;
    let has = |line: &Value, key: &str, part: &str| {
        line[key].as_str().is_some_and(|text| text.contains(part))
    };
    let right = |line: &Value| {
        line["type"] == "alive"
            && line["cause"] == case.cause
            && has(line, "cause_text", case.finding)
    };
    tracer.wait_line(&format!("{}: {}", case.cause, case.finding), right)?;
    let at_one_look = at_one_look(case, tracer.pid())?;
    let run = tracer.stop()?;
    let report = run.report()?;
    let line = report
        .alive()
        .find(|line| right(line))
        .ok_or("it was there")?;
    ensure!(line["runtime"] == case.runtime, "runtime: {line}");
    ensure!(has(line, "advice", case.advice), "advice: {line}");
    ensure!(line["watched_ns"].as_u64() > Some(0), "watched_ns: {line}");
    // Whoever inherits it at the end changes nothing of what was found.
    let same = |other: &&Value| other["pid"] == line["pid"] && other["cause"] == case.cause;
    // /proc alone shows a process without a main thread, and does not say whose child it is.
    let foreign = case.foreign.filter(|_| case.cause != "leader-with-threads");
    for line in report.alive().filter(same) {
        ensure!(line["foreign"].as_bool() == foreign, "foreign: {line}");
    }
    let Some([pid, ppid, cause]) = at_one_look else {
        ensure!(case.cause == "reaps-late", "ps does not list it: {line}");
        return Ok(());
    };
    let expected = case.at_one_look.unwrap_or(case.cause);
    ensure!(
        cause == expected,
        "ps says {cause} of {pid}, child of {ppid}: {line}"
    );
    let recording = context::fresh_path("recording.jsonl");
    fs::write(&recording, &run.output).map_err(|error| format!("a recording: {error}"))?;
    let text = succeeds(
        Command::new(context::zombie_trace())
            .arg("report")
            .arg(&recording),
    )?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    ensure!(text.contains(case.cause), "report: {text}");
    Ok(())
}

/// Pid, parent and cause of a zombie by `ps`, which /proc and `inspect` agree with; `None` if it has been
/// reaped meanwhile.
fn at_one_look(case: &Case, tracer: u32) -> Result<Option<[String; 3]>, String> {
    let expected = case.at_one_look.unwrap_or(case.cause);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let ps = succeeds(Command::new(context::zombie_trace()).args([
            "ps",
            "--json",
            "--tree",
            &tracer.to_string(),
        ]))?;
        let lines = crate::tracer::json_lines(&ps.stdout);
        let of_case = lines.into_iter().filter(|line| line["type"] == "alive");
        let rows: Vec<Value> = of_case.collect();
        let row = rows.iter().find(|line| line["cause"] == expected);
        let Some(row) = row.or_else(|| rows.first()) else {
            return Ok(None);
        };
        let [pid, ppid] = ["pid", "ppid"].map(|key| number(row, key).to_string());
        let cause = row["cause"].as_str().unwrap_or_default().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let child = format!(") Z {ppid} ");
        let inspect = Command::new(context::zombie_trace())
            .args(["inspect", &pid])
            .output()
            .map_err(|error| format!("inspect: {error}"))?;
        let inspect = String::from_utf8_lossy(&inspect.stdout).into_owned();
        if stat.contains(&child) && inspect.contains(&cause) && cause == expected {
            return Ok(Some([pid, ppid, cause]));
        }
        // It has been reaped since, or its parent was running by chance.
        if Instant::now() > deadline {
            return Err(format!(
                "ps: {row}\n/proc: {stat}\ninspect: {inspect}\nexpected: {expected}"
            ));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A parent that starts long after the tracer was not watched before.
fn watched_since_its_start() -> Outcome {
    let late = "sleep 2; perl -e 'fork or exit 3; sleep 600' > /dev/null 2>&1; :";
    let mut tracer = Tracer::json(["--alive-after", "300ms"])
        .command(["bash", "-c", late])
        .start()?;
    let right = |line: &Value| line["type"] == "alive" && line["exit_code"] == 3;
    tracer.wait_line("perl's zombie", right)?;
    let run = tracer.stop()?;
    let report = run.report()?;
    let line = report
        .alive()
        .find(|line| right(line))
        .ok_or("it was there")?;
    let started = report.start()["ts"]
        .as_str()
        .and_then(|ts| ts.parse::<jiff::Timestamp>().ok());
    let seen = line["ts"]
        .as_str()
        .and_then(|ts| ts.parse::<jiff::Timestamp>().ok());
    let (Some(started), Some(seen)) = (started, seen) else {
        return run.fail("no times");
    };
    let since_start = seen.duration_since(started).as_nanos() as u64;
    // It slept for two seconds before.
    ensure!(
        number(line, "watched_ns") + 1_900_000_000 < since_start,
        "{since_start} ns after the start: {line}"
    );
    Ok(())
}

/// What the parent reaps besides the one process that the run is about is not seen, so nothing is said
/// of it.
fn reaps_out_of_scope() -> Outcome {
    let program = "import os, subprocess, sys\n\
                   leaked = os.fork() or os._exit(0)\n\
                   print(leaked, flush=True)\n\
                   while True: subprocess.run(['sleep', '0.1'])";
    let command = Program::Python(program).command()?;
    let mut parent = Command::new(&command[0])
        .args(&command[1..])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("python: {error}"))?;
    let result = (|| {
        let mut line = String::new();
        let stdout = parent.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        read.map_err(|error| format!("python: {error}"))?;
        let mut tracer = Tracer::json(["--alive-after", "300ms", "-p", line.trim()]).start()?;
        let alive = |line: &Value| line["type"] == "alive";
        tracer.wait_line("its zombie", alive)?;
        let run = tracer.stop()?;
        let report = run.report()?;
        for line in report.alive() {
            let text = line["cause_text"].as_str().unwrap_or_default();
            ensure!(!text.contains("reaped no child"), "{line}");
        }
        Ok(())
    })();
    let _ = parent.kill();
    let _ = parent.wait();
    result
}

/// A process of a container whose parent is outside of it (setns(2)): nobody in there can say what it does.
fn outer_parent() -> Outcome {
    let mut init = Command::new("unshare")
        .args(["-pf", "--mount-proc", "--kill-child", "sleep", "600"])
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let children = format!("/proc/{0}/task/{0}/children", init.id());
    let inner = wait_for("a namespace", || {
        let children = fs::read_to_string(&children).ok()?;
        let pid = children.split_whitespace().next()?.to_owned();
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm.trim() == "sleep").then_some(pid)
    });
    let result = inner.and_then(|inner| {
        let program = format!(
            "import ctypes, os, time\n\
             ctypes.CDLL(None).setns(os.open('/proc/{inner}/ns/pid', os.O_RDONLY), 0)\n\
             if os.fork() == 0: os._exit(0)\ntime.sleep(600)"
        );
        let command = Program::Python("").command()?;
        let mut outer = Command::new(&command[0])
            .args(["-c", &program])
            .spawn()
            .map_err(|error| format!("python: {error}"))?;
        let inside = |args: &[&str]| {
            succeeds(
                Command::new("nsenter")
                    .args(["-t", &inner, "-p", "-m", "--"])
                    .arg(context::zombie_trace())
                    .args(args),
            )
        };
        let row = wait_for("a zombie", || {
            let ps = inside(&["ps", "--json"]).ok()?;
            let lines = crate::tracer::json_lines(&ps.stdout);
            lines.into_iter().find(|line| line["type"] == "alive")
        });
        let row = row.and_then(|row| {
            let inspect = inside(&["inspect", &row["pid"].to_string()])?;
            Ok((row, inspect))
        });
        let _ = outer.kill();
        let _ = outer.wait();
        let (row, inspect) = row?;
        let text = String::from_utf8_lossy(&inspect.stdout).into_owned();
        let finding = "its parent is outside this pid namespace: look from the host";
        ensure!(
            row["cause"] == "unknown" && row["cause_text"] == finding,
            "{row}"
        );
        ensure!(row["ppid"].is_null(), "{row}");
        ensure!(text.contains("outside this pid namespace"), "{text}");
        Ok(())
    });
    let _ = init.kill();
    let _ = init.wait();
    result
}

fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One thread waits for any child, another for its own: which is which is known from the program.
fn inspect_rivals() -> Outcome {
    let program = Program::Python(
        "import os, subprocess, sys, threading\n\
         thread = threading.Thread(target=os.wait)\n\
         child = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL)\n\
         thread.start()\n\
         print(thread.native_id, child.pid, flush=True)\nchild.wait()",
    );
    let [name, args @ ..] = &program.command()?[..] else {
        return Err("no command".to_owned());
    };
    let mut parent = Command::new(name)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let found = rivals_of(&mut parent);
    let _ = parent.kill();
    let _ = parent.wait();
    found
}

fn rivals_of(parent: &mut Child) -> Outcome {
    let mut line = String::new();
    let stdout = parent.stdout.take().ok_or("it is piped")?;
    BufReader::new(stdout)
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let [taker, child] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("it printed {line:?}"));
    };
    let pid = parent.id();
    let expected = format!(
        "thread {taker} waits for any child and can reap process {child} first; the wait of thread {pid} for it \
         then fails (ECHILD)"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut text = String::new();
    while Instant::now() < deadline && !text.contains(&expected) {
        let mut inspect = Command::new(context::zombie_trace());
        let output = succeeds(inspect.args(["inspect", &pid.to_string()]))?;
        text = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let _ = Command::new("kill").args(["-KILL", child]).status();
    ensure!(text.contains(&expected), "{expected:?} expected: {text}");
    Ok(())
}

/// A goroutine that waits for any child takes those of `cmd.Run` away: each reap names its thread, and the
/// program itself says that it lost them.
fn stolen() -> Outcome {
    let program = Program::Go(
        r#"package main
import ("fmt"; "os/exec"; "runtime"; "syscall"; "time")
func main() {
    tid := make(chan int)
    go func() {
        runtime.LockOSThread()
        tid <- syscall.Gettid()
        for { syscall.Wait4(-1, nil, 0, nil); time.Sleep(time.Millisecond) }
    }()
    thief := <-tid
    lost := 0
    for i := 0; i < 20; i++ { if exec.Command("sleep", "0.05").Run() != nil { lost++ } }
    fmt.Println(thief, lost)
}"#,
    );
    let run = Tracer::json(["-m", "0"])
        .command(program.command()?)
        .run()?;
    run.expect_code(0)?;
    let words = String::from_utf8_lossy(&run.stdout).into_owned();
    let numbers: Vec<u64> = words
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [thief, lost] = numbers[..] else {
        return run.fail(format!("it printed {words:?}"));
    };
    let report = run.report()?;
    let by_thief = report.zombies().filter(|line| {
        line["comm"] == "sleep" && line["reaper_tid"] == thief && line["how"] == "wait4"
    });
    let stolen = by_thief.count() as u64;
    ensure!(
        lost > 0 && stolen >= lost,
        "{lost} lost, {stolen} reaped by {thief}"
    );
    Ok(())
}
