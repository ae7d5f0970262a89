//! The tracer as a runner of a command: its status, streams, signals and user.

use std::{
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Outcome, Test,
    check::{self, Truths},
    context, ensure,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    let status = |name: &str, command: &'static [&str], code| {
        let test = Test::new(format!("command::status-{name}"), move || {
            exit_status(command, code)
        });
        let missing = Path::new(command[0]).is_absolute() && code < 126;
        test.unless(missing.then(|| context::no_program(command[0])).flatten())
    };
    vec![
        status("true", &["/bin/true"], 0),
        status("false", &["/bin/false"], 1),
        status("code", &["/bin/sh", "-c", "exit 42"], 42),
        Test::new("command::status-killed", || {
            exit_status(&["sh", "-c", "kill -9 $$"], 137)
        })
        .unless(context::no_program("/bin/sh")),
        status("not-found", &["/nonexistent"], 127),
        status("not-found-in-path", &["no-such-program-anywhere"], 127),
        status("not-executable", &["/etc/passwd"], 126).unless(context::no_program("/etc/passwd")),
        status("directory", &["/tmp"], 126),
        Test::new("command::status-bad-format", bad_format),
        Test::new("command::status-no-interpreter", no_interpreter),
        Test::new("command::open-files", open_files),
        Test::new("command::virtual-memory", virtual_memory),
        Test::new("command::stdin-stdout", untouched_streams).unless(context::no_program(CAT)),
        Test::new("command::environment", untouched_environment)
            .unless(context::no_program("/bin/sh")),
        Test::new("command::scheduling", scheduling),
        Test::new("command::text-to-stderr", text_to_stderr),
        Test::new("command::sigterm", || forwarded(libc::SIGTERM)),
        Test::new("command::sigint", || forwarded(libc::SIGINT)),
        Test::new("command::killed-by-sigterm", killed_by_forwarded),
        Test::new("command::left-alive", left_alive),
        Test::new("command::hooks-before-exec", hooks_before_exec),
        Test::new("command::user", user).unless(no_user("nobody")),
        Test::new("command::user-id", user_id)
            .unless(context::no_program(ID).or_else(|| no_user("nobody"))),
        Test::new("command::two-at-once", two_at_once),
        Test::new("command::odd-comm", odd_comm),
        Test::new("command::odd-comm-text", odd_comm_text),
        Test::new("command::in-pid-namespace", in_pid_namespace)
            .unless(context::no_program(UNSHARE)),
    ]
}

/// The tracer itself preempts nobody; the command's policy is the ordinary one. The policy is the 41st field
/// of proc_pid_stat(5).
fn scheduling() -> Outcome {
    let policy = |stat: &str| -> Option<String> {
        let fields = stat.rsplit_once(')')?.1;
        Some(fields.split_whitespace().nth(38)?.to_owned())
    };
    let shell = ["sh", "-c", "read line </proc/self/stat; echo \"$line\""];
    let run = Tracer::json([""; 0]).command(shell).run()?;
    run.expect_code(0)?;
    let of_command = policy(&String::from_utf8_lossy(&run.stdout));
    ensure!(of_command.as_deref() == Some("0"), "{of_command:?}");
    let running = Tracer::json([""; 0]).start()?;
    let path = format!("/proc/{}/stat", running.pid());
    let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    running.stop()?.expect_code(0)?;
    // SCHED_BATCH
    let own = policy(&stat);
    ensure!(own.as_deref() == Some("3"), "{own:?}: {stat}");
    Ok(())
}

fn exit_status(command: &[&str], code: i32) -> Outcome {
    let run = Tracer::json([""; 0]).command(command).run()?;
    run.expect_code(code)?;
    if code == 126 || code == 127 {
        let named = run.stderr.contains(command[0]);
        return if named {
            Ok(())
        } else {
            run.fail("the message does not name the command")
        };
    }
    let report = run.report()?;
    let own: Vec<_> = report
        .zombies()
        .filter(|record| record["ppid"] == report.start()["tracer_pid"])
        .map(|record| (record["exit_code"].as_i64(), record["signal"].as_i64()))
        .collect();
    let fate = if code == 137 {
        (None, Some(9))
    } else {
        (Some(code.into()), None)
    };
    if own != [fate] {
        return run.fail(format!("the command's own record: {own:?} for {fate:?}"));
    }
    let problems = check::accounting(&report);
    if problems.is_empty() {
        Ok(())
    } else {
        run.fail(problems.join("\n"))
    }
}

fn script(name: &str, text: &str) -> Result<std::path::PathBuf, String> {
    let path = context::fresh_path(name);
    std::fs::write(&path, text)
        .and_then(|()| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode)
        })
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// The run ends in good order: its recording is whole.
fn bad_format() -> Outcome {
    let path = script("bad-format", "neither program nor script\n")?;
    let run = Tracer::json([""; 0]).command([&path]).run()?;
    run.expect_code(126)?;
    if !run.stderr.contains("#! line") {
        return run.fail("it does not say why");
    }
    let problems = check::accounting(&run.report()?);
    match problems.is_empty() {
        true => Ok(()),
        false => run.fail(problems.join("\n")),
    }
}

/// It is the interpreter that was not found, and the last recording stays.
fn no_interpreter() -> Outcome {
    let path = script("no-interpreter", "#!/no/such/interpreter -x\n")?;
    let recording = context::fresh_path("last.jsonl");
    std::fs::write(&recording, "the last one").map_err(|error| error.to_string())?;
    let run = Tracer::new(["--json", "-o"])
        .args([&recording])
        .command([&path])
        .run()?;
    run.expect_code(127)?;
    if !run.stderr.contains("/no/such/interpreter") || run.stderr.contains("command not found") {
        return run.fail("the interpreter is not named");
    }
    let kept = std::fs::read_to_string(&recording).map_err(|error| error.to_string())?;
    ensure!(kept == "the last one", "the recording is {kept:?}");
    Ok(())
}

/// Where threads and mappings find no room, the message names the limit and how to raise it.
fn virtual_memory() -> Outcome {
    for kib in [50_000, 100_000, 200_000] {
        let run = Tracer::new(["-q", "-s", "-d", "1ms", "-o", "/dev/null"])
            .with(|command| {
                before_exec(command, move || {
                    let limit = libc::rlimit {
                        rlim_cur: kib << 10,
                        rlim_max: kib << 10,
                    };
                    // SAFETY: the structure lives.
                    match unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    }
                });
            })
            .run()?;
        run.expect_code(1)?;
        for part in ["ulimit -v", "LimitAS=", &format!("is {kib} KiB")] {
            if !run.stderr.contains(part) {
                return run.fail(format!("no {part:?}"));
            }
        }
    }
    Ok(())
}

/// Whatever the limit: it works, or the message names the limit and how to raise it.
fn open_files() -> Outcome {
    // With fewer a dynamic program is not even loaded.
    for limit in 4..=64 {
        let run = Tracer::new(["-q", "-s", "-d", "1ms", "-o", "/dev/null"])
            .with(|command| {
                before_exec(command, move || {
                    let limit = libc::rlimit {
                        rlim_cur: limit,
                        rlim_max: limit,
                    };
                    // SAFETY: the structure lives.
                    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    }
                });
            })
            .run()?;
        let says_why = ["ulimit -n", "LimitNOFILE=", &limit.to_string()]
            .iter()
            .all(|part| run.stderr.contains(part));
        match run.status.code() {
            Some(0) => {}
            Some(1) if says_why && !run.stderr.contains("panicked") => {}
            _ => return run.fail(format!("{limit} open files")),
        }
    }
    Ok(())
}

const CAT: &str = "/bin/cat";
const ID: &str = "/usr/bin/id";
const UNSHARE: &str = "/usr/bin/unshare";

fn untouched_streams() -> Outcome {
    let mut child = Command::new(context::zombie_trace())
        .args(["-o", "/dev/null", "--", CAT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let sent = child.stdin.take().expect("piped").write_all(b"hi\n");
    sent.map_err(|error| error.to_string())?;
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    ensure!(
        output.status.success() && output.stdout == b"hi\n",
        "cat through the tracer: {output:?}"
    );
    Ok(())
}

/// Signal mask, dispositions, descriptors, directory, process group and limits are the caller's.
fn untouched_environment() -> Outcome {
    const SHOW: &str = "grep -E '^(Sig(Blk|Ign)|Cap|Uid|Gid|Groups|Umask|NoNewPrivs|Seccomp:)' \
                        /proc/self/status; ls /proc/self/fd; pwd; ulimit -a; nice; env | sort";
    let show = |command: &mut Command| {
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok::<_, String>(text.lines().map(without_libc_signals).collect::<Vec<_>>())
    };
    let alone = show(Command::new("/bin/sh").args(["-c", SHOW]))?;
    let options = ["-o", "/dev/null", "--", "/bin/sh", "-c", SHOW];
    let traced = show(Command::new(context::zombie_trace()).args(options))?;
    let lost: Vec<_> = alone.iter().filter(|line| !traced.contains(line)).collect();
    let new: Vec<_> = traced.iter().filter(|line| !alone.contains(line)).collect();
    ensure!(
        alone == traced,
        "only alone: {lost:?}\nonly traced: {new:?}"
    );
    Ok(())
}

/// Signals 32 and 33 belong to the C library, which catches the latter (SIGSETXID) in any program
/// with threads, so that exec resets it.
pub(crate) fn without_libc_signals(line: &str) -> String {
    let ignored = line.strip_prefix("SigIgn:").map(str::trim);
    match ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok()) {
        Some(mask) => format!("SigIgn: {:x}", mask & !(0b11 << 31)),
        None => line.into(),
    }
}

/// Standard output belongs to the command.
fn text_to_stderr() -> Outcome {
    let run = Tracer::new(["-a", "--color", "never"])
        .scenario(["hold"])
        .run()?;
    run.expect_code(0)?;
    let truths = Truths::parse(&run.stdout).or_else(|error| run.fail(error))?;
    let child = truths.role("child")?;
    let pid = child.pid.to_string();
    let shown = run.stderr.lines().any(|line| {
        let mut words = line.split_whitespace();
        line.contains("child") && words.any(|word| word == pid)
    });
    if shown {
        Ok(())
    } else {
        run.fail(format!("no line about {pid}"))
    }
}

/// The command survives the signal; so does the trace, to the end.
fn forwarded(signal: libc::c_int) -> Outcome {
    let mut running = Tracer::json([""; 0]).scenario(["wait-term"]).start()?;
    running.wait_stdout("done")?;
    running.signal(signal);
    check::scenario_run(&running.finish()?).map(drop)
}

/// The command dies of the forwarded signal: there is a summary all the same.
fn killed_by_forwarded() -> Outcome {
    let (reader, _writer) = std::io::pipe().map_err(|error| error.to_string())?;
    let tracer = Tracer::json([""; 0]).scenario(["puppet"]);
    let mut running = tracer
        .with(|command| {
            command.stdin(reader);
        })
        .start()?;
    running.wait_stdout("done")?;
    running.signal(libc::SIGTERM);
    let run = running.finish()?;
    // Section 4 has it both ways: the command's status is ours, SIGTERM ends with 0.
    if !matches!(run.status.code(), Some(0 | 143)) {
        return run.fail(format!(
            "{:?}, signal {:?}",
            run.status.code(),
            run.status.signal()
        ));
    }
    let report = run.report()?;
    let killed = report
        .zombies()
        .filter(|record| record["signal"] == libc::SIGTERM)
        .count();
    if killed == 1 {
        Ok(())
    } else {
        run.fail("the command's record")
    }
}

/// A zombie of the tree that outlives the command.
fn left_alive() -> Outcome {
    let run = Tracer::json([""; 0]).scenario(["leave-alive"]).run()?;
    let (report, _) = check::scenario_run(&run)?;
    let alive = report.count("alive");
    if alive == 1 {
        Ok(())
    } else {
        run.fail(format!("alive: {alive}"))
    }
}

/// A command that forks at once loses nothing, time and again.
fn hooks_before_exec() -> Outcome {
    let times = if context::is_long() { 50 } else { 10 };
    for _ in 0..times {
        check::scenario_run(&Tracer::json([""; 0]).scenario(["quick"]).run()?)?;
    }
    Ok(())
}

/// Why there is no such user, if so.
pub(crate) fn no_user(name: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users
        .lines()
        .any(|line| line.split(':').next() == Some(name));
    (!known).then(|| format!("no user {name}"))
}

/// The command's processes are the user's, and their records say so.
fn user() -> Outcome {
    let run = Tracer::json(["-u", "nobody"]).scenario(["quick"]).run()?;
    let (_, truths) = check::scenario_run(&run)?;
    let uid = truths.role("child")?.uid;
    if uid == Some(65534) {
        Ok(())
    } else {
        run.fail(format!("uid {uid:?}"))
    }
}

fn user_id() -> Outcome {
    for (option, name) in [("-u", "nobody"), ("--user", "root")] {
        let asked = Command::new(ID)
            .args(["-u", name])
            .output()
            .map_err(|e| e.to_string())?;
        let run = Tracer::json([option, name]).command([ID, "-u"]).run()?;
        run.expect_code(0)?;
        ensure!(
            run.stdout == asked.stdout,
            "{name}: {}",
            String::from_utf8_lossy(&run.stdout)
        );
        // Not only the user: the groups too.
        let groups = Command::new(ID)
            .args(["-G", name])
            .output()
            .map_err(|e| e.to_string())?;
        let run = Tracer::json([option, name]).command([ID, "-G"]).run()?;
        ensure!(
            run.stdout == groups.stdout,
            "{name}: {}",
            String::from_utf8_lossy(&run.stdout)
        );
    }
    Ok(())
}

/// Two tracers do not see each other's, and both see all of their own.
fn two_at_once() -> Outcome {
    let start = || {
        Tracer::json([""; 0])
            .scenario(["fork-loop", "3000"])
            .spawn()
    };
    let runs: [Run; 2] = {
        let running = [start()?, start()?];
        let [one, two] = running.map(|running| running.finish());
        [one?, two?]
    };
    runs.iter()
        .try_for_each(|run| check::scenario_run(run).map(drop))
}

fn odd_comm() -> Outcome {
    check::scenario_run(&Tracer::json([""; 0]).scenario(["odd-comm"]).run()?).map(drop)
}

/// No command name reaches the terminal as it is.
fn odd_comm_text() -> Outcome {
    let run = Tracer::new(["-a", "--color", "never"])
        .scenario(["odd-comm"])
        .run()?;
    run.expect_code(0)?;
    let raw = run.stderr.chars().find(|c| c.is_control() && *c != '\n');
    match raw {
        Some(control) => run.fail(format!("a raw {control:?} in the text")),
        None if !run.stderr.contains("odd") => run.fail("no line about the odd one"),
        None => Ok(()),
    }
}

/// A tracer in a pid namespace of its own speaks of the pids that are valid there.
fn in_pid_namespace() -> Outcome {
    let tracer = Tracer::json([""; 0]).scenario(["hold"]);
    let run = tracer
        .wrapped([UNSHARE, "--pid", "--fork", "--mount-proc"])
        .run()?;
    check::scenario_run(&run).map(drop)
}

/// Runs a function in the child between fork and exec.
pub(crate) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the callers' functions make system calls only.
    unsafe { command.pre_exec(prepare) };
}
