//! Outputs that nobody reads, that are full, rotated, links or the files of an earlier run.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, check,
    command::before_exec,
    context, ensure,
    options::open_terminal,
    puppet::Puppet,
    report::Report,
    tracer::{Run, Tracer},
};

const SHELL: &str = "/bin/sh";
/// What a run says when its output was not read to the end.
const NOT_READ: &str = "it is not read, or not fast enough";

pub(crate) fn tests() -> Vec<Test> {
    let shell = |name: &str, run: fn() -> Outcome| {
        Test::new(format!("output::{name}"), run).unless(context::no_program(SHELL))
    };
    let emulated = context::is_emulated().then(|| "an emulator is too slow for it".to_owned());
    vec![
        Test::new("output::fifo-without-reader-duration", fifo_duration),
        shell("fifo-without-reader-sigterm", || {
            fifo_signal("TERM", libc::SIGTERM)
        }),
        shell("fifo-without-reader-sigint", || {
            fifo_signal("INT", libc::SIGINT)
        }),
        Test::new("output::fifo-without-reader-two-signals", fifo_two_signals),
        shell("fifo-late-reader", fifo_late_reader),
        Test::new("output::full-pipe-counts-what-is-lost", full_pipe).unless(emulated),
        Test::new("output::stopped-terminal", stopped_terminal),
        Test::new("output::copytruncate", copytruncate),
        shell("symbolic-link", symbolic_link),
        shell("file-size-limit", file_size_limit),
        Test::new("output::typo-keeps-the-last-recording", typo),
        shell("replaced-once-the-run-has-begun", replaced),
        shell("failed-output-passes-the-status", status_passed),
        Test::new("output::two-runs-into-one-file", two_runs),
        shell("dash-is-standard-output", dash),
        shell("no-output-overwrites-an-input", overwritten_input),
    ]
}

/// A FIFO of its own.
fn fifo() -> Result<PathBuf, String> {
    let path = context::fresh_path("fifo");
    let name = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: a valid C string.
    let result = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    ensure!(result == 0, "mkfifo: {}", io::Error::last_os_error());
    Ok(path)
}

/// `--json -a -o PATH`
fn into(path: &Path) -> Tracer {
    Tracer::new(["--json", "-a", "-o"]).args([path])
}

fn unread(run: &Run, path: &Path) -> Outcome {
    let path = path.to_str().expect("UTF-8");
    match run.stderr.contains(NOT_READ) && run.stderr.contains(path) {
        true => Ok(()),
        false => run.fail("no word about the output"),
    }
}

fn fifo_duration() -> Outcome {
    let path = fifo()?;
    let run = into(&path).args(["-d", "300ms"]).run()?;
    run.expect_code(1)?;
    unread(&run, &path)
}

/// The command gets its signal, and its status is passed on.
fn fifo_signal(name: &str, signal: libc::c_int) -> Outcome {
    let path = fifo()?;
    let script =
        format!("trap 'echo caught; exit 7' {name}; echo ready; while :; do sleep 0.1; done");
    let mut running = into(&path).command([SHELL, "-c", &script]).start()?;
    running.wait_stdout("ready")?;
    running.signal(signal);
    let run = running.finish()?;
    run.expect_code(7)?;
    if !String::from_utf8_lossy(&run.stdout).contains("caught") {
        return run.fail("the command got no signal");
    }
    unread(&run, &path)
}

fn fifo_two_signals() -> Outcome {
    let path = fifo()?;
    let mut running = into(&path).start()?;
    running.signal(libc::SIGINT);
    running.signal(libc::SIGTERM);
    let run = running.finish()?;
    run.expect_code(1)?;
    unread(&run, &path)
}

/// A reader who comes late gets everything.
fn fifo_late_reader() -> Outcome {
    let path = fifo()?;
    let script = "/bin/true; echo ready; read line; exit 0";
    let (stdin, mut go_on) = io::pipe().map_err(|error| error.to_string())?;
    let mut running = into(&path)
        .command([SHELL, "-c", script])
        .with(|command| {
            command.stdin(stdin);
        })
        .start()?;
    running.wait_stdout("ready")?;
    let (opened, is_open) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut file = File::open(path)?;
        let _ = opened.send(());
        let mut text = Vec::new();
        file.read_to_end(&mut text).map(|_| text)
    });
    // The run is over before the pipe is full, whenever it is read.
    is_open
        .recv_timeout(Duration::from_secs(60))
        .map_err(|error| format!("nobody writes: {error}"))?;
    writeln!(go_on).map_err(|error| error.to_string())?;
    let run = running.finish()?;
    run.expect_code(0)?;
    let text = reader.join().expect("no panic");
    let text = text.map_err(|error| error.to_string())?;
    let report = Report::parse(&text).or_else(|error| run.fail(error))?;
    let problems = check::accounting(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    Ok(())
}

/// Nobody reads while more processes end than can wait; then somebody does. Each process is listed
/// or counted as lost.
fn full_pipe() -> Outcome {
    const PROCESSES: u64 = 40_000;
    /// So much waits in the queue when it is full.
    const QUEUED: usize = 16 << 20;
    let path = fifo()?;
    let ourselves = std::process::id().to_string();
    let mut running = into(&path)
        .args(["--strict", "--tree", &ourselves, "--buffer", "64MiB"])
        .start()?;
    let mut pipe = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .map_err(|error| error.to_string())?;
    let status = Command::new(context::scenario())
        .args(["fork-loop", &PROCESSES.to_string()])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("fork-loop: {error}"))?;
    ensure!(status.success(), "fork-loop: {status}");
    running.wait_stderr_line("zombie-trace: warning: lost ")?;

    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        let mut piece = [0; 65536];
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => return text,
                Ok(len) => text.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
            if text.len() >= QUEUED {
                let _ = sender.send(());
            }
        }
    });
    receiver
        .recv_timeout(Duration::from_secs(120))
        .map_err(|error| format!("the queue is not written: {error}"))?;
    running.signal(libc::SIGTERM);
    let run = running.finish()?;
    run.expect_code(4)?;
    let text = reader.join().map_err(|_| "the reader")?;
    let report = Report::parse(&text).or_else(|error| run.fail(error))?;
    let listed = report.zombies().count() as u64;
    let lost = report.summary()["lost"]["ring_full"].as_u64().unwrap_or(0);
    // The scenario itself is one more.
    ensure!(
        listed + lost == PROCESSES + 1 && lost > 0 && listed > 10_000,
        "{listed} are listed and {lost} are lost of {PROCESSES}"
    );
    let in_lines: u64 = report
        .of_type("loss")
        .filter_map(|line| line["ring_full"].as_u64())
        .sum();
    ensure!(in_lines == lost, "{in_lines} of {lost} are in loss lines");
    // What is left out of the list is in the statistics.
    let reaped = report.count("reaped");
    ensure!(reaped == PROCESSES + 1, "{reaped} were reaped");
    ensure!(report.summary()["complete"] == false, "it is complete");
    if run.stderr.contains("the output is not read") {
        Ok(())
    } else {
        run.fail("no warning")
    }
}

/// Ctrl-S: neither the lines nor the messages can be written.
fn stopped_terminal() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let (mut controller, terminal) = open_terminal(80)?;
    let stderr = terminal.try_clone().map_err(|error| error.to_string())?;
    let stdout = terminal.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(context::zombie_trace());
    if let Some(backend) = context::forced_backend() {
        command.args(["--backend", &backend]);
    }
    let mut child = command
        .args(["-P", &puppet.pid().to_string(), "--max-zombies", "1"])
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| error.to_string())?;
    drop(command);
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("attached") {
        let mut piece = [0; 4096];
        let len = controller
            .read(&mut piece)
            .map_err(|error| error.to_string())?;
        text.extend_from_slice(&piece[..len]);
    }
    // SAFETY: a terminal that we hold open.
    let stopped = unsafe { libc::tcflow(terminal.as_raw_fd(), libc::TCOOFF) };
    ensure!(stopped == 0, "tcflow: {}", io::Error::last_os_error());
    // One more than there is room for: that is a warning.
    for name in ["a", "b", "c"] {
        puppet.obey(&format!("zombie {name} 0"))?;
    }
    for name in ["a", "b", "c"] {
        puppet.obey(&format!("reap {name}"))?;
    }
    // SAFETY: no pointers; the child is not reaped yet.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    // SAFETY: as above.
    unsafe { libc::tcflow(terminal.as_raw_fd(), libc::TCOON) };
    ensure!(
        status.is_some_and(|status| status.code() == Some(1)),
        "it ends with {status:?}"
    );
    Ok(())
}

/// A log rotation copies the file and truncates it: what follows starts at its beginning.
fn copytruncate() -> Outcome {
    let path = context::fresh_path("rotated.jsonl");
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let running = into(&path)
        .args(["-P", &puppet.pid().to_string()])
        .start()?;
    let mut reap = |name: &str| {
        puppet.obey(&format!("zombie {name} 0"))?;
        puppet.obey(&format!("reap {name}"))
    };
    let first = reap("first")?;
    wait_for(&path, &format!("\"pid\":{first},"))?;
    let file = OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.set_len(0))
        .map_err(|error| error.to_string())?;
    let second = reap("second")?;
    running.stop()?.expect_code(0)?;
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    ensure!(
        text.starts_with('{') && text.contains(&format!("\"pid\":{second},")),
        "after the rotation: {text:?}"
    );
    Ok(())
}

fn wait_for(path: &Path, part: &str) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    // Of a whole line: the rest would be written later.
    let is_there = |text: String| text.contains(part) && text.ends_with('\n');
    while !fs::read_to_string(path).is_ok_and(is_there) {
        ensure!(
            Instant::now() < deadline,
            "no {part:?} in {}",
            path.display()
        );
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// As anybody can put one into /tmp.
fn symbolic_link() -> Outcome {
    let directory = context::fresh_path("sticky");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777))
        .map_err(|error| error.to_string())?;
    let target = context::fresh_path("precious");
    let link = directory.join("link");
    let recording = recorded("linked.jsonl")?;
    symlink(&target, &link).map_err(|error| error.to_string())?;
    let junit = format!("junit={}", link.display());
    let gate = ["--fail-if", "p99>1h", "--format", &junit];
    for exists in [true, false] {
        let runs = [
            into(&link).command(["/bin/true"]),
            into(Path::new("/dev/null"))
                .args(gate)
                .command(["/bin/true"]),
            report(&recording).args(["--html"]).args([&link]),
            report(&recording).args(["--csv"]).args([&link]),
            report(&recording).args(["--perfetto"]).args([&link]),
            report(&recording).args(gate),
        ];
        for tracer in runs {
            match exists {
                true => fs::write(&target, "precious"),
                false => fs::remove_file(&target).or(Ok(())),
            }
            .map_err(|error| error.to_string())?;
            let run = tracer.run()?;
            run.expect_code(1)?;
            let left = fs::read_to_string(&target).ok();
            let is_untouched = left.as_deref() == exists.then_some("precious");
            if !is_untouched || !run.stderr.contains("symbolic link") {
                return run.fail(format!("the target holds {left:?}"));
            }
        }
    }
    ensure!(names(&directory)? == ["link"], "{:?}", names(&directory)?);
    Ok(())
}

/// `report` of a recording.
fn report(recording: &Path) -> Tracer {
    let mut command = Command::new(context::zombie_trace());
    command.arg("report").arg(recording).stdin(Stdio::null());
    Tracer::of(command)
}

fn recorded(name: &str) -> Result<PathBuf, String> {
    let path = context::fresh_path(name);
    into(&path)
        .command([SHELL, "-c", "/bin/true; :"])
        .run()?
        .expect_code(0)?;
    Ok(path)
}

fn names(directory: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// `ulimit -f`: the write fails, and no line is torn.
fn file_size_limit() -> Outcome {
    const LIMIT: u64 = 8 << 10;
    for name in ["limited.jsonl", "limited.jsonl.zst"] {
        let path = context::fresh_path(name);
        let run = into(&path)
            .scenario(["fork-loop", "2000"])
            .with(|command| {
                before_exec(command, || {
                    let limit = libc::rlimit {
                        rlim_cur: LIMIT,
                        rlim_max: LIMIT,
                    };
                    // SAFETY: `limit` is valid to read.
                    match unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) } {
                        0 => Ok(()),
                        _ => Err(io::Error::last_os_error()),
                    }
                });
            })
            .run()?;
        run.expect_code(1)?;
        if !run.stderr.contains("File too large") {
            return run.fail("no word about the limit");
        }
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        ensure!(
            bytes.len() as u64 > LIMIT / 4,
            "{name} has {} bytes",
            bytes.len()
        );
        let mut text = Vec::new();
        match name.ends_with("zst") {
            true => {
                let decoder = zstd::Decoder::new(&bytes[..]);
                let mut decoder = decoder.map_err(|error| error.to_string())?;
                // The frame has no end.
                let _ = decoder.read_to_end(&mut text);
            }
            false => text = bytes,
        }
        ensure!(text.ends_with(b"\n"), "{name}: the last line is torn");
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let parsed = serde_json::from_slice::<serde_json::Value>(line);
            ensure!(parsed.is_ok(), "{name}: a damaged line");
        }
    }
    Ok(())
}

/// A command that can't start replaces no recording, but makes a whole one.
fn typo() -> Outcome {
    let directory = context::fresh_path("typo");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let script = context::fresh_path("script");
    // That no kernel executes it shows only when it is tried.
    fs::write(&script, "neither a script nor a program\n").map_err(|error| error.to_string())?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .map_err(|error| error.to_string())?;
    let script = script.to_str().expect("UTF-8");
    let old = directory.join("old.jsonl");
    fs::write(&old, "the last recording\n").map_err(|error| error.to_string())?;
    let new = directory.join("new.jsonl");
    let compressed = directory.join("new.jsonl.zst");
    for (path, command) in [
        (&old, "./typo"),
        (&old, script),
        (&new, script),
        (&compressed, script),
    ] {
        not_started(&into(path).command([command]).run()?)?;
    }
    let read = |path: &Path| fs::read(path).map_err(|error| error.to_string());
    ensure!(read(&old)? == b"the last recording\n", "it is overwritten");
    let never = directory.join("never.jsonl");
    not_started(&into(&never).command(["./typo"]).run()?)?;
    ensure!(!never.exists(), "a recording of nothing");
    Report::parse(&read(&new)?)?;
    // Without its end, the frame would be an error.
    let text = zstd::decode_all(&read(&compressed)?[..]).map_err(|error| error.to_string())?;
    Report::parse(&text)?;
    ensure!(
        names(&directory)? == ["new.jsonl", "new.jsonl.zst", "old.jsonl"],
        "{:?}",
        names(&directory)?
    );
    let (run, text) = through_pipe([script])?;
    not_started(&run)?;
    Report::parse(&text)
        .map(drop)
        .or_else(|error| run.fail(error))
}

fn not_started(run: &Run) -> Outcome {
    match run.status.code() {
        Some(126 | 127) => Ok(()),
        code => run.fail(format!("status {code:?}")),
    }
}

/// `--json` to a pipe that is somebody's standard output, with a command.
fn through_pipe(command: [&str; 1]) -> Result<(Run, Vec<u8>), String> {
    let run = Tracer::new(["--json", "-o", "-"]).command(command).run()?;
    let text = run.stdout.clone();
    Ok((run, text))
}

/// The old file stays until the hooks are attached and the command has started.
fn replaced() -> Outcome {
    let directory = context::fresh_path("replaced");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let path = directory.join("run.jsonl");
    fs::write(&path, "old\n").map_err(|error| error.to_string())?;
    let old = File::open(&path).map_err(|error| error.to_string())?;

    let run = into(&path)
        .args(["--btf", "/etc/passwd", "-d", "1ms"])
        .run()?;
    run.expect_code(1)?;
    let left = fs::read(&path).map_err(|error| error.to_string())?;
    ensure!(left == b"old\n", "a run that can't attach replaces it");

    // JSON, because the name says so.
    let running = Tracer::new(["-o"])
        .args([&path])
        .command([SHELL, "-c", "echo ready; exec sleep 1000"])
        .spawn()?;
    wait_for(&path, "\"type\":\"start\"")?;
    let metadata = fs::metadata(&path).map_err(|error| error.to_string())?;
    let mode = metadata.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "its mode is {mode:o}");
    let run = running.stop()?;
    run.expect_code(143)?;
    let text = fs::read(&path).map_err(|error| error.to_string())?;
    Report::parse(&text).or_else(|error| run.fail(error))?;
    // Whoever holds the old one has it still.
    let links = old.metadata().map_err(|error| error.to_string())?;
    ensure!(
        links.nlink() == 0 && links.len() == 4,
        "not replaced by a new file"
    );
    ensure!(
        names(&directory)? == ["run.jsonl"],
        "{:?}",
        names(&directory)?
    );
    Ok(())
}

fn status_passed() -> Outcome {
    for (script, code) in [("exit 42", 42), ("kill -9 $$", 137), ("exit 0", 1)] {
        let run = into(Path::new("/dev/full"))
            .command([SHELL, "-c", script])
            .run()?;
        run.expect_code(code)?;
        if !run.stderr.contains("cannot write to --output /dev/full") {
            return run.fail("no error");
        }
    }
    Ok(())
}

/// The later one is there in the end, and whole.
fn two_runs() -> Outcome {
    let path = context::fresh_path("shared.jsonl");
    let run = || into(&path).scenario(["fork-loop", "500"]).spawn();
    for running in [run()?, run()?] {
        running.finish()?.expect_code(0)?;
    }
    let text = fs::read(&path).map_err(|error| error.to_string())?;
    let problems = check::accounting(&Report::parse(&text)?);
    ensure!(problems.is_empty(), "{problems:?}");
    Ok(())
}

fn dash() -> Outcome {
    let (run, text) = through_pipe(["/bin/true"])?;
    run.expect_code(0)?;
    Report::parse(&text)
        .map(drop)
        .or_else(|error| run.fail(error))
}

fn overwritten_input() -> Outcome {
    let recording = recorded("kept.jsonl")?;
    let before = fs::read(&recording).map_err(|error| error.to_string())?;
    let junit = format!("junit={}", recording.display());
    let shown = recording.to_str().expect("UTF-8");
    for args in [
        &["--html", shown][..],
        &["--csv", shown],
        &["--perfetto", shown],
        &["--fail-if", "p99>1h", "--format", &junit],
    ] {
        let run = report(&recording).args(args).run()?;
        run.expect_code(2)?;
        let option = args[args.len() - 2];
        let named = [option, "FILE"]
            .iter()
            .all(|name| run.stderr.contains(name));
        let after = fs::read(&recording).map_err(|error| error.to_string())?;
        if !named || after != before {
            return run.fail("the recording is overwritten, or the arguments are not named");
        }
    }
    Ok(())
}
