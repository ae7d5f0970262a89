//! When a run ends, what it prints and how wide.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    os::fd::{FromRawFd, OwnedFd},
    process::{Command, Stdio},
    ptr,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, check, context, ensure,
    puppet::Puppet,
    report::Report,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("options::sigterm-ends", || signal_ends(libc::SIGTERM)),
        Test::new("options::sigint-ends", || signal_ends(libc::SIGINT)),
        Test::new("options::duration", duration),
        Test::new("options::whole-machine", whole_machine).in_pid_namespace(),
        Test::new("options::summary-json", summary_json),
        Test::new("options::summary-text", summary_text),
        Test::new("options::text", text),
        Test::new("options::timestamps", timestamps),
        Test::new("options::quiet", quiet),
        Test::new("options::all-off-by-default", all_off),
        Test::new("options::filter", filter),
        Test::new("options::broken-pipe", broken_pipe),
        Test::new("options::terminal-of-40-columns", narrow_terminal),
        Test::new("options::stdout-json", stdout_json),
    ]
}

/// A tracer of one puppet's children.
fn of(puppet: &Puppet) -> Tracer {
    Tracer::new(["-P", &puppet.pid().to_string()])
}

/// An ordinary zombie, a failed one, and one that is autoreaped.
fn perform(puppet: &mut Puppet) -> Outcome {
    for command in ["zombie plain 0", "zombie failed 3", "autoreap auto 2"] {
        puppet.obey(command)?;
    }
    puppet.obey("reap plain")?;
    puppet.obey("reap failed").map(drop)
}

fn puppet() -> Result<Puppet, String> {
    Puppet::start(Stdio::inherit())
}

fn signal_ends(signal: libc::c_int) -> Outcome {
    let mut puppet = puppet()?;
    let mut tracer = of(&puppet)
        .into_file("out.jsonl")
        .args(["--json", "-a"])
        .start()?;
    perform(&mut puppet)?;
    tracer.signal(signal);
    let run = tracer.finish()?;
    run.expect_code(0)?;
    check::compare(&run.report()?, &puppet.truths, &run)
}

fn duration() -> Outcome {
    let mut puppet = puppet()?;
    let early = puppet.obey("zombie early 0")?;
    let run = of(&puppet)
        .into_file("out.jsonl")
        .args(["--json", "-a", "-d", "700ms"])
        .run()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let problems = check::accounting(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    let listed = report.alive().any(|line| line["pid"] == early);
    ensure!(listed, "the zombie at the end is not listed");
    let said = Duration::from_nanos(report.count("duration_ns"));
    if said >= Duration::from_millis(700) {
        return Ok(());
    }
    run.fail(format!("it says {said:?}"))
}

/// Without any scope: others' processes too, but all in good order, and ours among them.
fn whole_machine() -> Outcome {
    let mut puppet = puppet()?;
    let tracer = Tracer::json([""; 0]).start()?;
    perform(&mut puppet)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let problems = check::accounting(&report);
    if !problems.is_empty() {
        return run.fail(problems.join("\n"));
    }
    let ours = puppet.pid();
    let report = report.without(|record| record["ppid"] != ours);
    check::compare_records(&report, &puppet.truths, &run)
}

fn summary_json() -> Outcome {
    let mut puppet = puppet()?;
    let tracer = of(&puppet)
        .into_file("out.jsonl")
        .args(["--json", "-a", "-s"])
        .start()?;
    perform(&mut puppet)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let counts = ["exits", "reaped", "autoreaped", "alive"].map(|key| report.count(key));
    if report.zombies().next().is_some() || counts != [3, 2, 1, 0] {
        return run.fail(format!("{counts:?}"));
    }
    Ok(())
}

/// The lines of text on standard output that speak of this pid.
fn lines_about(run: &Run, pid: u32) -> Vec<String> {
    let stdout = String::from_utf8_lossy(&run.stdout);
    let speaks = |line: &&str| line.split_whitespace().any(|word| word == pid.to_string());
    stdout.lines().filter(speaks).map(String::from).collect()
}

fn text_run(options: &[&str]) -> Result<(Run, [u32; 3]), String> {
    let mut puppet = puppet()?;
    let tracer = of(&puppet)
        .args(["--color", "never"])
        .args(options)
        .start()?;
    perform(&mut puppet)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    if run.stdout.contains(&0x1b) {
        return run.fail("--color never, and yet an escape sequence");
    }
    let pids = ["plain", "failed", "auto"].map(|role| puppet.truths.role(role).map(|t| t.pid));
    let [plain, failed, auto] = pids;
    Ok((run, [plain?, failed?, auto?]))
}

fn summary_text() -> Outcome {
    let (run, pids) = text_run(&["-a", "-s"])?;
    let listed = pids.iter().any(|pid| !lines_about(&run, *pid).is_empty());
    if listed {
        run.fail("-s lists processes")
    } else {
        Ok(())
    }
}

fn text() -> Outcome {
    let (run, pids) = text_run(&["-a"])?;
    for (pid, name) in pids.into_iter().zip(["plain", "failed", "auto"]) {
        let lines = lines_about(&run, pid);
        if lines.len() != 1 || !lines[0].contains(name) {
            return run.fail(format!("not one line about {name} {pid}: {lines:?}"));
        }
    }
    Ok(())
}

fn timestamps() -> Outcome {
    let (run, pids) = text_run(&["-a", "-t"])?;
    for pid in pids {
        let lines = lines_about(&run, pid);
        // HH:MM:SS.µµµµµµ
        let is_time = |word: &str| {
            let shape = "dd:dd:dd.dddddd";
            word.len() == shape.len()
                && word.chars().zip(shape.chars()).all(|(c, s)| match s {
                    'd' => c.is_ascii_digit(),
                    _ => c == s,
                })
        };
        let timed = |line: &String| line.split_whitespace().any(is_time);
        if lines.len() != 1 || !lines.iter().all(timed) {
            return run.fail(format!("no wall-clock time with µs: {lines:?}"));
        }
    }
    Ok(())
}

/// `-q`: nothing on standard error when all is well.
fn quiet() -> Outcome {
    let run = Tracer::json(["-q"]).scenario(["hold"]).run()?;
    check::scenario_run(&run)?;
    if run.stderr.is_empty() {
        Ok(())
    } else {
        run.fail("-q, and yet there is something")
    }
}

fn all_off() -> Outcome {
    // Not what is reaped within 1 ms either, which depends on the machine's speed: so all of it here.
    let (run, [plain, failed, auto]) = text_run(&["-m", "0"])?;
    let counts = [plain, failed, auto].map(|pid| lines_about(&run, pid).len());
    if counts == [1, 1, 0] {
        Ok(())
    } else {
        run.fail(format!("{counts:?}"))
    }
}

/// A filter decides what is listed, and changes no figure.
fn filter() -> Outcome {
    let run = |options: &[&str]| {
        let mut puppet = puppet()?;
        let tracer = of(&puppet)
            .into_file("out.jsonl")
            .args(["--json", "-a"])
            .args(options)
            .start()?;
        perform(&mut puppet)?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let report = run.report()?;
        let names = report.zombies().map(|line| line["comm"].clone());
        let mut names: Vec<_> = names
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        names.sort();
        let counts = ["exits", "reaped", "autoreaped"].map(|key| report.count(key));
        ensure!(counts == [3, 2, 1], "{options:?}: {counts:?}");
        Ok((names, report.start()["filter"]["conditions"].clone()))
    };
    for (conditions, listed) in [
        ("exit>0", &["auto", "failed"][..]),
        ("exit>0 zombie>0", &["failed"]),
        ("comm~ai exit!=0", &["failed"]),
        ("parent=no-such", &[]),
    ] {
        let (names, given) = run(&["--filter", conditions])?;
        ensure!(names == listed, "{conditions}: {names:?}");
        ensure!(given == conditions, "{conditions}: {given}");
    }
    let (names, given) = run(&[])?;
    ensure!(names.len() == 3 && given.is_null(), "{names:?}, {given}");
    Ok(())
}

/// `--json | head -1`: a quiet end, and status 0.
fn broken_pipe() -> Outcome {
    let mut puppet = puppet()?;
    let mut tracer = Command::new(context::zombie_trace())
        .args(["--json", "-q", "-P", &puppet.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut first = String::new();
    let mut stdout = BufReader::new(tracer.stdout.take().expect("piped"));
    stdout
        .read_line(&mut first)
        .map_err(|error| error.to_string())?;
    drop(stdout);
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        puppet.obey("zombie any 0")?;
        puppet.obey("reap any")?;
        if let Some(status) = tracer.try_wait().expect("our child") {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = tracer.kill();
            let _ = tracer.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut stderr = String::new();
    let _ = tracer
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr);
    ensure!(
        first.contains("\"start\""),
        "the first line is {first:?}\n{stderr}"
    );
    ensure!(
        status.is_some_and(|status| status.code() == Some(0)) && stderr.is_empty(),
        "a broken pipe: {status:?}\n{stderr}"
    );
    Ok(())
}

/// On a terminal of 40 columns no line is wider.
fn narrow_terminal() -> Outcome {
    for options in [&["-a"][..], &["-a", "-t"], &["-s"], &["-i", "100ms", "-t"]] {
        let mut puppet = puppet()?;
        let (controller, terminal) = open_terminal(40)?;
        let tracer = of(&puppet).args(options).with(|command| {
            command.env("TERM", "xterm-256color");
        });
        let text = tracer.on_terminal(terminal, controller, || {
            perform(&mut puppet)?;
            puppet.obey("zombie a-very-long-one 77")?;
            puppet.obey("reap a-very-long-one").map(drop)
        })?;
        ensure!(
            !text.trim().is_empty(),
            "{options:?}: nothing on the terminal"
        );
        for line in text.lines() {
            let width = width_without_colour(line);
            ensure!(
                width <= 40,
                "{options:?}: {width} columns: {line:?}\nin:\n{text}"
            );
        }
    }
    Ok(())
}

/// Columns of a line of narrow characters, SGR sequences apart.
fn width_without_colour(line: &str) -> usize {
    let mut width = 0;
    let mut characters = line.trim_end_matches('\r').chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                characters.find(|c| c.is_ascii_alphabetic());
            }
            _ => width += 1,
        }
    }
    width
}

/// A pseudo-terminal: its controller and the terminal itself.
pub(crate) fn open_terminal(columns: u16) -> Result<(File, OwnedFd), String> {
    let size = libc::winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (mut controller, mut terminal) = (-1, -1);
    // SAFETY: both descriptors and `size` are valid; no name and no attributes are asked for.
    let result = unsafe {
        let (one, two) = (&raw mut controller, &raw mut terminal);
        libc::openpty(one, two, ptr::null_mut(), ptr::null(), &raw const size)
    };
    ensure!(result == 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: fresh descriptors that nobody else owns.
    Ok(unsafe {
        (
            File::from_raw_fd(controller),
            OwnedFd::from_raw_fd(terminal),
        )
    })
}

/// JSON goes to standard output when there is no command and no file.
fn stdout_json() -> Outcome {
    let mut puppet = puppet()?;
    let tracer = of(&puppet).args(["--json", "-a"]).start()?;
    perform(&mut puppet)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = Report::parse(&run.stdout).or_else(|error| run.fail(error))?;
    check::compare(&report, &puppet.truths, &run)
}
