//! Compressed recordings and `zombie-trace record`: whole at the end of a run, however it ends, and
//! readable wherever they are cut.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Outcome, Test, check, context, ensure,
    fault::Storm,
    pty::{self, Pty, until},
    report::Report,
    tracer::{Run, Tracer},
};

const SH: &str = "/bin/sh";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("record::command", command),
        Test::new("record::sigint", || stopped(libc::SIGINT)).in_pid_namespace(),
        Test::new("record::sigterm", || stopped(libc::SIGTERM)).in_pid_namespace(),
        Test::new("record::killed", killed).in_pid_namespace(),
        Test::new("record::text", text),
        Test::new("record::name-status-and-streams", defaults),
        Test::new("record::ctrl-c-gives-summary-and-whole-recording", ctrl_c),
        Test::new("record::stopped-command", stopped_command),
        Test::new("record::gate-and-quiet", gate_and_quiet),
        Test::new("record::files-of-the-recording", files),
        Test::new("record::read-wherever-it-is-cut", cut),
        Test::new("record::to-standard-output", to_stdout),
        Test::new("record::existing-files-stay-until-it-has-begun", kept),
        Test::new("record::live-line-at-40-columns", || live_line(40)),
        Test::new("record::live-line-at-80-columns", || live_line(80)),
        Test::new("record::live-line-below-the-command", live_line_below),
        Test::new("record::no-live-line", no_live_line),
        Test::new("record::completions-load-in-bash", || {
            bash(&completions("bash")?)
        })
        .unless(context::no_program("/bin/bash")),
        Test::new("record::completions-load-in-zsh", || {
            zsh(&completions("zsh")?)
        })
        .unless(context::no_program("/usr/bin/zsh")),
        Test::new("record::completions-load-in-fish", || {
            fish(&completions("fish")?)
        })
        .unless(context::no_program("/usr/bin/fish")),
    ]
}

/// A directory of its own.
fn directory() -> Result<PathBuf, String> {
    let path = context::fresh_path("recordings");
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
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

/// `zombie-trace record`, in this directory.
fn record<'a>(directory: &Path, options: impl IntoIterator<Item = &'a str>) -> Tracer {
    Tracer::new(["record"]).args(options).with(|command| {
        command.current_dir(directory);
    })
}

/// The recording, decompressed and checked.
fn recorded(path: &Path) -> Result<Report, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = zstd::decode_all(&bytes[..]).map_err(|error| format!("decompressed: {error}"))?;
    let report = Report::parse(&text)?;
    let zombies = report.zombies().count() as u64;
    let counted = report.count("reaped");
    ensure!(zombies == counted, "{zombies} zombies of {counted}");
    ensure!(report.summary()["complete"] == true, "{}", report.summary());
    Ok(report)
}

/// The name is the time's, the status and both streams are COMMAND's, the summary goes to stderr.
fn defaults() -> Outcome {
    let directory = directory()?;
    let script = "read line; echo \"got $line\"; /bin/true; exit 7";
    let (reader, mut writer) = std::io::pipe().map_err(|error| error.to_string())?;
    std::io::Write::write_all(&mut writer, b"hello\n").map_err(|error| error.to_string())?;
    let tracer = record(&directory, []).command([SH, "-c", script]);
    let run = tracer
        .with(|command| {
            command.stdin(reader);
        })
        .run()?;
    run.expect_code(7)?;
    ensure!(run.stdout == b"got hello\n", "{:?}", run.stdout);
    let names = names(&directory)?;
    let [name] = &names[..] else {
        return run.fail(format!("{names:?}"));
    };
    let time = name.strip_prefix("zombie-trace-");
    let time = time.and_then(|rest| rest.strip_suffix(".jsonl.zst"));
    let is_time = |time: &str| time.len() == 15 && time.as_bytes()[8] == b'T';
    ensure!(time.is_some_and(is_time), "{name}");
    let said = format!("recorded to {name}; to see more: zombie-trace report {name}");
    if !run.stderr.contains("2 exits in ") || !run.stderr.contains(&said) {
        return run.fail("no summary, or no word about the recording");
    }
    let report = recorded(&directory.join(name))?;
    let zombies = report.zombies().count();
    ensure!(zombies == 2, "{zombies} zombies");
    Ok(())
}

/// Without COMMAND, the summary goes to stdout.
fn ctrl_c() -> Outcome {
    let directory = directory()?;
    let mut running = record(&directory, ["-o", "run.jsonl.zst", "--ppid"])
        .args([std::process::id().to_string()])
        .start()?;
    let status = Command::new("/bin/true").status();
    ensure!(status.is_ok_and(|status| status.success()), "/bin/true");
    running.signal(libc::SIGINT);
    let run = running.finish()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    if !text.contains(" in ") || !text.contains("lost\n") || run.stderr.contains("lost") {
        return run.fail("no summary on standard output");
    }
    let report = recorded(&directory.join("run.jsonl.zst"))?;
    let mut zombies = report.zombies();
    ensure!(
        zombies.any(|zombie| zombie["comm"] == "true"),
        "no zombie of ours"
    );
    Ok(())
}

/// A COMMAND gets the signal, and its status is passed on.
fn stopped_command() -> Outcome {
    let directory = directory()?;
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = record(&directory, ["-o", "run.jsonl.zst"])
        .command([SH, "-c", script])
        .start()?;
    running.wait_stdout("ready")?;
    running.signal(libc::SIGTERM);
    let run = running.finish()?;
    run.expect_code(9)?;
    ensure!(run.stderr.contains(" exits in "), "{}", run.stderr);
    recorded(&directory.join("run.jsonl.zst")).map(drop)
}

/// A gate is judged; with -q, nothing but the summary and the verdict is said.
fn gate_and_quiet() -> Outcome {
    let directory = directory()?;
    let options = ["-q", "-o", "run.jsonl.zst", "--fail-if", "count>1"];
    let command = [SH, "-c", "/bin/true; /bin/true; exit 0"];
    let run = record(&directory, options).command(command).run()?;
    run.expect_code(3)?;
    if run.stderr.contains("recorded to") || run.stderr.contains("attached") {
        return run.fail("not quiet");
    }
    recorded(&directory.join("run.jsonl.zst")).map(drop)
}

/// They are what `report` makes of the recording.
fn files() -> Outcome {
    let directory = directory()?;
    let options = [
        "-o",
        "run.jsonl.zst",
        "--html",
        "run.html",
        "--csv",
        "run.csv",
        "--perfetto",
        "run.json",
    ];
    let command = [SH, "-c", "/bin/true; exit 0"];
    let run = record(&directory, options).command(command).run()?;
    run.expect_code(0)?;
    for (option, name) in [
        ("--html", "run.html"),
        ("--csv", "run.csv"),
        ("--perfetto", "run.json"),
    ] {
        let path = directory.join(name);
        let made = fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
        let again = directory.join(format!("again-{name}"));
        let report = Tracer::new(["report", "run.jsonl.zst", option])
            .args([&again])
            .with(|command| {
                command.current_dir(&directory);
            })
            .run()?;
        report.expect_code(0)?;
        let again = fs::read(&again).map_err(|error| format!("{name}: {error}"))?;
        ensure!(
            !made.is_empty() && made == again,
            "{name} is not the report's"
        );
    }
    // What can't be written is an error before anything runs.
    let options = ["-o", "other.jsonl.zst", "--html", "no/such/page.html"];
    let run = record(&directory, options)
        .command([SH, "-c", "touch started"])
        .run()?;
    run.expect_code(1)?;
    ensure!(
        run.stderr.contains("--html no/such/page.html"),
        "{}",
        run.stderr
    );
    let names = names(&directory)?;
    let others = ["other.jsonl.zst", "started"];
    ensure!(
        !names.iter().any(|name| others.contains(&name.as_str())),
        "{names:?}"
    );
    Ok(())
}

/// `report` reads a recording up to where it is cut.
fn cut() -> Outcome {
    let directory = directory()?;
    let path = directory.join("run.jsonl.zst");
    let run = storm(record(&directory, ["-o", "run.jsonl.zst"])).run()?;
    run.expect_code(0)?;
    recorded(&path)?;
    let whole = fs::read(&path).map_err(|error| error.to_string())?;
    let mut before = 0;
    for part in [1, 2, 5, 20, 50, 80, 95, 99] {
        let cut = &whole[..whole.len() * part / 100];
        fs::write(&path, cut).map_err(|error| error.to_string())?;
        let (text, _) = readable(cut);
        if !text.contains('\n') {
            continue;
        }
        let report = Tracer::new(["report", "--json"]).args([&path]).run()?;
        report.expect_code(0)?;
        let json: serde_json::Value =
            serde_json::from_slice(&report.stdout).map_err(|error| error.to_string())?;
        let exits = json["exits"].as_u64().unwrap_or_default();
        ensure!(exits >= before, "{part} %: {exits} exits after {before}");
        ensure!(report.stderr.contains("warning"), "{part} %: no warning");
        before = exits;
    }
    ensure!(before > 0, "no exits");
    Ok(())
}

/// The recording alone: the summary goes to stderr.
fn to_stdout() -> Outcome {
    let directory = directory()?;
    let run = record(&directory, ["-o", "-", "-d", "300ms"]).run()?;
    run.expect_code(0)?;
    Report::parse(&run.stdout).or_else(|error| run.fail(error))?;
    ensure!(run.stderr.contains("lost\n"), "{}", run.stderr);
    ensure!(names(&directory)?.is_empty(), "{:?}", names(&directory));
    let run = record(&directory, ["-o", "-", "--html", "x.html"]).run()?;
    run.expect_code(2)?;
    ensure!(
        run.stderr.contains("give -o a regular file"),
        "{}",
        run.stderr
    );
    Ok(())
}

/// A mistyped command leaves the last recording and its page alone.
fn kept() -> Outcome {
    let directory = directory()?;
    for name in ["run.jsonl.zst", "run.html"] {
        fs::write(directory.join(name), "old").map_err(|error| error.to_string())?;
    }
    let options = ["-o", "run.jsonl.zst", "--html", "run.html"];
    let command = ["/nonexistent/command"];
    let run = record(&directory, options).command(command).run()?;
    run.expect_code(127)?;
    for name in ["run.jsonl.zst", "run.html"] {
        let text = fs::read_to_string(directory.join(name)).map_err(|error| error.to_string())?;
        ensure!(text == "old", "{name} has changed");
    }
    let names = names(&directory)?;
    ensure!(names == ["run.html", "run.jsonl.zst"], "{names:?}");
    // Once it has begun, it is replaced.
    let run = record(&directory, options).command([SH, "-c", ":"]).run()?;
    run.expect_code(0)?;
    recorded(&directory.join("run.jsonl.zst")).map(drop)
}

/// Starts `zombie-trace record` on a terminal.
fn on(pty: &Pty, options: &[&str], stdout: Option<Stdio>) -> Result<Child, String> {
    let directory = directory()?;
    let mut command = Command::new(context::zombie_trace());
    command.arg("record");
    if let Some(backend) = context::forced_backend() {
        command.args(["--backend", &backend]);
    }
    command
        .args(options)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(directory);
    let clone = || pty.terminal.try_clone().map_err(|error| error.to_string());
    command.stdin(clone()?).stderr(clone()?);
    command.stdout(match stdout {
        Some(stdout) => stdout,
        None => clone()?.into(),
    });
    pty.start_with_streams(command)
}

/// What a terminal shows of it, with what has scrolled off.
fn shown(pty: &Pty, rows: u16, columns: u16) -> String {
    let [rows, columns] = [rows, columns].map(|size| size.try_into().expect("not 0"));
    let mut terminal = vt100::Parser::new(rows, columns, 0);
    terminal.process(pty.text().as_bytes());
    terminal.screen().contents()
}

/// It is drawn in place, fits, and is gone at the end.
fn live_line(columns: u16) -> Outcome {
    let pty = Pty::open(24, columns)?;
    let mut tracer = on(&pty, &["-P", "1"], None)?;
    until("a line that was drawn anew", || {
        Ok(pty.text().matches(" living").count() >= 3)
    })
    .map_err(|error| format!("{error}:\n{}", pty.text()))?;
    // Whoever reads it while it is written finds less.
    until("one line, in place", || {
        let screen = shown(&pty, 24, columns);
        let lines = screen.lines().filter(|line| line.contains(" living"));
        let lines: Vec<_> = lines.collect();
        ensure!(lines.len() <= 1, "more than one line:\n{screen}");
        Ok(lines
            .iter()
            .any(|line| line.contains(" s · ") && line.contains(" exit")))
    })?;
    // SAFETY: no pointers; our child is not reaped yet.
    unsafe { libc::kill(tracer.id() as libc::pid_t, libc::SIGINT) };
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 0, "status {code}:\n{}", pty.text());
    pty.wait("recorded to ")?;
    let screen = shown(&pty, 24, columns);
    let is_left = screen.lines().any(|line| line.contains(" s · "));
    ensure!(!is_left && screen.contains("lost"), "{screen}");
    Ok(())
}

/// COMMAND's rows and its prompt stay as they are: the line has a row of its own.
fn live_line_below() -> Outcome {
    let mut pty = Pty::open(24, 80)?;
    let script = "for n in 1 2 3; do echo row $n; sleep 0.7; done; printf 'go on? '; read line; \
                  echo \"so: $line\"";
    let mut tracer = on(&pty, &["--", SH, "-c", script], None)?;
    pty.wait("go on? ")?;
    let drawn = pty.text().matches(" living").count();
    until("another line below the prompt", || {
        Ok(pty.text().matches(" living").count() >= drawn + 2)
    })?;
    // Whoever reads it while it is written finds less.
    until("rows, and a line below them", || {
        let screen = shown(&pty, 24, 80);
        let is_last = screen
            .lines()
            .last()
            .is_some_and(|line| line.contains(" living"));
        let has = |row: &&str| screen.lines().any(|line| line.trim_end() == *row);
        Ok(is_last && ["row 1", "row 2", "row 3", "go on?"].iter().all(has))
    })
    .map_err(|error| format!("{error}:\n{}", shown(&pty, 24, 80)))?;
    pty.enter("yes\n")?;
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 0, "status {code}:\n{}", pty.text());
    pty.wait("recorded to ")?;
    let screen = shown(&pty, 60, 80);
    for row in ["row 1", "row 2", "row 3", "go on? yes", "so: yes"] {
        let is_whole = |line: &str| line.trim_end() == row;
        ensure!(screen.lines().any(is_whole), "{row:?} in:\n{screen}");
    }
    ensure!(!screen.contains(" living · "), "{screen}");
    Ok(())
}

/// None with -q, none if stderr is no terminal or can't draw in place.
fn no_live_line() -> Outcome {
    let pty = Pty::open(24, 80)?;
    let mut tracer = on(&pty, &["-q", "-d", "2s"], Some(Stdio::null()))?;
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 0, "status {code}:\n{}", pty.text());
    ensure!(!pty.text().contains('\r'), "{:?}", pty.text());
    let run = record(&directory()?, ["-d", "2s"]).run()?;
    run.expect_code(0)?;
    ensure!(!run.stderr.contains('\r'), "{:?}", run.stderr);
    Ok(())
}

/// The script for a shell, in a file.
fn completions(shell: &str) -> Result<PathBuf, String> {
    let run = Tracer::of(Command::new(context::zombie_trace()))
        .args(["completions", shell])
        .run()?;
    run.expect_code(0)?;
    let path = context::fresh_path(shell);
    fs::write(&path, &run.stdout).map_err(|error| error.to_string())?;
    Ok(path)
}

/// Standard output of a script that gets the file's name.
fn printed(shell: &[&str], script: &str, file: &Path) -> Result<String, String> {
    let script = script.replace("FILE", &file.to_string_lossy());
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", &script]);
    let output = context::succeeds(command.stdin(Stdio::null()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// It completes commands and options.
fn bash(file: &Path) -> Outcome {
    let script = "set -e; source FILE; complete=$(complete -p zombie-trace); \
                  name=${complete##*-F }; name=${name%% *}; \
                  COMP_WORDS=(zombie-trace re) COMP_CWORD=1; $name zombie-trace re zombie-trace; \
                  echo ${COMPREPLY[@]}; \
                  COMP_WORDS=(zombie-trace record --ht) COMP_CWORD=2; \
                  $name zombie-trace --ht record; echo ${COMPREPLY[@]}";
    let text = printed(&["/bin/bash"], script, file)?;
    ensure!(text == "record report\n--html\n", "{text}");
    Ok(())
}

/// It is what completes our name.
fn zsh(file: &Path) -> Outcome {
    let script = "autoload -U compinit && compinit -u -D && source FILE && \
                  echo ${_comps[zombie-trace]}";
    let text = printed(&["/usr/bin/zsh", "-f"], script, file)?;
    ensure!(text == "_zombie-trace\n", "{text}");
    Ok(())
}

/// As in [`bash`].
fn fish(file: &Path) -> Outcome {
    let script = "source FILE; complete -C 'zombie-trace rec'; \
                  complete -C 'zombie-trace record --ht'";
    let text = printed(&["/usr/bin/fish", "--no-config"], script, file)?;
    let is_there = |word: &str| {
        text.lines()
            .any(|line| line.split('\t').next() == Some(word))
    };
    ensure!(is_there("record") && is_there("--html"), "{text}");
    Ok(())
}

fn recorder() -> Tracer {
    Tracer::new(["--json", "-a", "-i", "100ms"]).into_file("out.jsonl.zst")
}

/// A storm within the tracer's command, so that nobody else's processes are in the record.
fn storm(tracer: Tracer) -> Tracer {
    tracer
        .command([context::load()])
        .args(["serial", "--spawn", "vfork", "--count", "5000"])
}

fn whole(run: &Run) -> Result<String, String> {
    let text = zstd::decode_all(&run.output[..]).or_else(|error| run.fail(error))?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn command() -> Outcome {
    let run = storm(recorder()).run()?;
    run.expect_code(0)?;
    let text = whole(&run)?;
    let report = Report::parse(text.as_bytes()).or_else(|error| run.fail(error))?;
    let problems = check::books(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    ensure!(
        run.output.len() < text.len() / 8,
        "{} bytes of {}",
        run.output.len(),
        text.len()
    );
    Ok(())
}

fn stopped(signal: libc::c_int) -> Outcome {
    let mut tracer = recorder().start()?;
    thread::sleep(Duration::from_millis(200));
    tracer.signal(signal);
    let run = tracer.finish()?;
    run.expect_code(0)?;
    Report::parse(whole(&run)?.as_bytes()).or_else(|error| run.fail(error))?;
    Ok(())
}

/// What had been written when it was killed is there, up to the last line.
fn killed() -> Outcome {
    let _storm = Storm::start()?;
    let mut tracer = recorder().start()?;
    // More than that is in the file by then: written is what can be read.
    tracer.wait_output("5 intervals and 200 lines", |bytes| {
        let (text, _) = readable(bytes);
        text.matches("\"type\":\"interval\"").count() >= 5 && text.lines().count() >= 200
    })?;
    tracer.signal(libc::SIGKILL);
    let run = tracer.finish()?;
    let (text, whole) = readable(&run.output);
    if whole {
        return run.fail("it is whole");
    }
    // The last one is empty, or was cut.
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.pop();
    for line in &lines {
        serde_json::from_str::<serde_json::Value>(line)
            .map_err(|error| format!("{error}: {line}"))?;
    }
    Ok(())
}

/// As far as it can be decompressed, and whether that is all of it.
fn readable(compressed: &[u8]) -> (String, bool) {
    let mut text = Vec::new();
    let whole = zstd::Decoder::new(compressed)
        .and_then(|mut decoder| decoder.read_to_end(&mut text))
        .is_ok();
    (String::from_utf8_lossy(&text).into_owned(), whole)
}

fn text() -> Outcome {
    let run = storm(Tracer::new(["-s"]).into_file("out.txt.zst")).run()?;
    run.expect_code(0)?;
    let text = whole(&run)?;
    ensure!(
        text.contains(" exits in ") && text.ends_with("lost\n"),
        "{text}"
    );
    Ok(())
}
