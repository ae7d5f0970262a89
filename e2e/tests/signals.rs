//! Signals: what ends a run, and what reaches COMMAND.

use std::{
    ffi::CString,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, check,
    command::before_exec,
    context, ensure,
    pty::{self, Pty, until},
    report::Report,
    tracer::{Run, Running, Tracer},
};

const SH: &str = "/bin/sh";
const TIMEOUT: &str = "/usr/bin/timeout";
const SETSID: &str = "/usr/bin/setsid";

/// Survives everything but SIGKILL.
const STUBBORN: &str =
    "trap '' TERM INT HUP; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("signals::ignored-duration", || {
            stubborn(["-d", "10ms"], &[])
        }),
        Test::new("signals::ignored-sigterm", || {
            stubborn([""; 0], &[libc::SIGTERM])
        }),
        Test::new("signals::ignored-sigint", || {
            stubborn([""; 0], &[libc::SIGINT])
        }),
        Test::new("signals::ignored-sighup", || {
            stubborn([""; 0], &[libc::SIGHUP])
        }),
        Test::new("signals::second", second),
        Test::new("signals::timeout", under_timeout).unless(context::no_program(TIMEOUT)),
        Test::new("signals::in-vfork", in_vfork),
        Test::new("signals::in-exec", in_exec),
        Test::new("signals::descendants-live-on", descendants_live_on),
        Test::new("signals::before-command-sigint", || {
            before_command(libc::SIGINT)
        }),
        Test::new("signals::before-command-sigterm", || {
            before_command(libc::SIGTERM)
        }),
        Test::new("signals::held-until-command-runs", held_until_command_runs),
        Test::new("signals::tracer-in-tracer", || tracer_in_tracer(2)),
        Test::new("signals::tracer-in-tracers", || tracer_in_tracer(4)),
        Test::new("signals::hang-up", hang_up),
        Test::new("signals::ctrl-c-other-group", ctrl_c_other_group)
            .unless(context::no_program(SETSID)),
        Test::new("signals::ctrl-c-once", ctrl_c_once),
        Test::new("signals::ctrl-backslash", ctrl_backslash),
        Test::new("signals::dispositions", dispositions),
        Test::new("signals::killed-by-realtime", killed_by_realtime),
    ];
    for (name, signal) in [
        ("QUIT", libc::SIGQUIT),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("ALRM", libc::SIGALRM),
        ("HUP", libc::SIGHUP),
    ] {
        let test = format!("signals::passed-{}", name.to_lowercase());
        tests.push(Test::new(test, move || passed(name, signal)));
    }
    for (name, signal) in [("sighup", libc::SIGHUP), ("sigquit", libc::SIGQUIT)] {
        tests.push(Test::new(format!("signals::alone-{name}"), move || {
            ends_alone(signal)
        }));
    }
    for (name, signal) in [
        ("sigusr1", libc::SIGUSR1),
        ("sigusr2", libc::SIGUSR2),
        ("sigalrm", libc::SIGALRM),
    ] {
        tests.push(Test::new(format!("signals::alone-{name}"), move || {
            survives_alone(signal)
        }));
    }
    tests
        .into_iter()
        .map(|test| test.unless(context::no_program(SH)))
        .collect()
}

/// The recording is whole, and COMMAND's own end is in it.
fn whole(run: &Run, signal: libc::c_int) -> Outcome {
    let report = run.report()?;
    let problems = check::accounting(&report);
    if !problems.is_empty() {
        return run.fail(problems.join("\n"));
    }
    let own = report.zombies().filter(|record| {
        record["ppid"] == report.start()["tracer_pid"] && record["signal"] == signal
    });
    match own.count() {
        1 => Ok(()),
        count => run.fail(format!("{count} records of COMMAND, killed by {signal}")),
    }
}

fn stubborn<const N: usize>(options: [&'static str; N], signals: &[libc::c_int]) -> Outcome {
    let tracer = Tracer::json(options).command([SH, "-c", STUBBORN]);
    // From the start, or else -d could come before the trap.
    let mut running = tracer
        .with(|command| ignoring(command, libc::SIGTERM))
        .start()?;
    for signal in signals {
        running.wait_stdout("ready")?;
        running.signal(*signal);
    }
    let run = running.finish()?;
    run.expect_code(137)?;
    // -d sends SIGTERM.
    let by_caller = signals.iter().all(|signal| *signal == libc::SIGTERM);
    let said = "SIGTERM, which the caller of zombie-trace ignores: killing it";
    if run.stderr.contains(said) != by_caller {
        return run.fail("the reason why it still runs is not as it should be");
    }
    whole(&run, libc::SIGKILL)
}

fn ignoring(command: &mut Command, signal: libc::c_int) {
    before_exec(command, move || {
        // SAFETY: it installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
        Ok(())
    });
}

/// It does not wait for the grace period's end.
fn second() -> Outcome {
    let mut running = Tracer::json([""; 0])
        .command([SH, "-c", STUBBORN])
        .start()?;
    running.wait_stdout("ready")?;
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    let status = format!("/proc/{}/status", running.pid());
    until("it has taken the first", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let pending = text.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Ok(pending.is_some_and(|mask| mask & 1 << (libc::SIGTERM - 1) == 0))
    })?;
    // Two that come at once count as one, as timeout(1) sends them.
    std::thread::sleep(Duration::from_millis(200));
    running.signal(libc::SIGTERM);
    // If we are late, it has waited for a reason.
    let is_late = asked.elapsed() > Duration::from_secs(1);
    let run = running.finish()?;
    run.expect_code(137)?;
    if run.stderr.contains("still runs") && !is_late {
        return run.fail("it has waited for COMMAND");
    }
    whole(&run, libc::SIGKILL)
}

/// It signals the tracer twice: that is one request, which leaves COMMAND its time.
fn under_timeout() -> Outcome {
    let ready = context::fresh_path("ready");
    let script = format!(
        "trap 'sleep 0.3; exit 6' TERM; echo >{}; while [ -e /proc/$PPID ]; do sleep 0.1; done",
        ready.display()
    );
    let (command, output) = on_terminal(&script);
    let mut timeout = Command::new(TIMEOUT);
    timeout.arg("600").arg(command.get_program());
    let mut timeout = timeout
        .args(command.get_args())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{TIMEOUT}: {error}"))?;
    let outcome = until("COMMAND", || Ok(ready.exists()));
    // SAFETY: no pointers; our child is not reaped yet. It passes the signal on as it does its own.
    unsafe { libc::kill(timeout.id() as libc::pid_t, libc::SIGTERM) };
    let code = pty::end_of(&mut timeout)?;
    outcome?;
    let report = recording(&output)?;
    let own: Vec<_> = report
        .zombies()
        .filter(|record| record["ppid"] == report.start()["tracer_pid"])
        .map(|record| record["exit_code"].clone())
        .collect();
    ensure!(own == [6], "COMMAND's status is {own:?}, timeout's {code}");
    Ok(())
}

fn in_vfork() -> Outcome {
    let mut running = Tracer::json([""; 0]).scenario(["stay-in-vfork"]).start()?;
    running.wait_stdout("done")?;
    running.signal(libc::SIGTERM);
    let run = running.finish()?;
    run.expect_code(137)?;
    whole(&run, libc::SIGKILL)
}

/// A program whose execution somebody has to permit, and does not.
fn in_exec() -> Outcome {
    let program = context::fresh_path("not-permitted");
    fs::copy(context::scenario(), &program).map_err(|error| error.to_string())?;
    let path = CString::new(program.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: no pointers but to a valid string.
    let permission = unsafe {
        let fd = libc::fanotify_init(libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC, 0);
        let mask = libc::FAN_OPEN_EXEC_PERM;
        if fd < 0 || libc::fanotify_mark(fd, libc::FAN_MARK_ADD, mask, -1, path.as_ptr()) < 0 {
            println!("no fanotify: {}", std::io::Error::last_os_error());
            return Ok(());
        }
        fd
    };
    let outcome = (|| {
        let mut running = Tracer::json([""; 0]).command([&program]).start()?;
        // The child of the tracer that still is the tracer's program.
        let children = format!("/proc/{0}/task/{0}/children", running.pid());
        until("a child", || {
            Ok(fs::read_to_string(&children).is_ok_and(|children| !children.is_empty()))
        })?;
        running.signal(libc::SIGTERM);
        running.finish()
    })();
    // SAFETY: it is ours.
    unsafe { libc::close(permission) };
    let run = outcome?;
    run.expect_code(143)?;
    whole(&run, libc::SIGTERM)
}

fn descendants_live_on() -> Outcome {
    const COMMAND: &str =
        "trap '' TERM; sleep 600 >/dev/null 2>&1 & trap - TERM; echo \"sleeper $! \"; wait";
    let mut running = Tracer::json([""; 0]).command([SH, "-c", COMMAND]).start()?;
    running.wait_stdout("sleeper ")?;
    running.signal(libc::SIGTERM);
    let run = running.finish();
    let run = run?;
    let stdout = String::from_utf8_lossy(&run.stdout).into_owned();
    let sleeper = pty::number_after(&stdout, "sleeper ").filter(|pid| *pid > 1);
    let sleeper = sleeper.ok_or(stdout)?;
    // Until it calls exec, it has the shell's name.
    let comm = format!("/proc/{sleeper}/comm");
    until("the sleeper sleeps", || {
        Ok(fs::read_to_string(&comm).is_ok_and(|comm| comm.trim() == "sleep"))
    })?;
    // SAFETY: no pointers; nobody but us ends it.
    unsafe { libc::kill(sleeper, libc::SIGKILL) };
    run.expect_code(143)?;
    whole(&run, libc::SIGTERM)
}

/// While it loads: a pipe that nobody writes to is the kernel's BTF.
fn before_command(signal: libc::c_int) -> Outcome {
    let (btf, touched) = (fifo()?, context::fresh_path("touched"));
    let mut running = Tracer::json(["--btf", &btf])
        .command(["/bin/touch".as_ref(), touched.as_os_str()])
        .spawn()?;
    wait_caught(&running, signal)?;
    running.signal(signal);
    let run = running.finish()?;
    ensure!(!touched.exists(), "COMMAND has run");
    run.expect_code(128 + signal).map(drop)
}

/// However many tracers are each other's COMMAND: the innermost COMMAND ends with them, even if it ignores
/// the stop.
fn tracer_in_tracer(depth: usize) -> Outcome {
    let script = "trap '' TERM INT HUP; echo \"stubborn $$ \"; while :; do sleep 0.1; done";
    let mut command = Vec::new();
    for level in 1..depth {
        command.push(context::zombie_trace().to_string_lossy().into_owned());
        if let Some(backend) = context::forced_backend() {
            command.extend(["--backend".to_owned(), backend]);
        }
        let output = context::fresh_path(&format!("inner-{level}.jsonl"));
        command.extend(["-q".to_owned(), "-o".to_owned()]);
        command.extend([output.to_string_lossy().into_owned(), "--".to_owned()]);
    }
    command.extend([SH, "-c", script].map(str::to_owned));
    let mut running = Tracer::json([""; 0]).command(command).start()?;
    running.wait_stdout("stubborn ")?;
    let stdout = running.stdout();
    let pid = pty::number_after(&stdout, "stubborn ").filter(|pid| *pid > 1);
    let pid = pid.ok_or(stdout)?;
    running.signal(libc::SIGTERM);
    until("the tracer's end", || Ok(running.has_ended()))?;
    // Nothing but a signal ends it, which it may not have taken yet.
    let is_gone = until("the end of the innermost COMMAND", || {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let script = script.as_bytes();
        Ok(!cmdline.windows(script.len()).any(|part| part == script))
    });
    if is_gone.is_err() {
        // SAFETY: no pointers; it still is that shell.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        return running
            .finish()?
            .fail("the innermost COMMAND has outlived the tracers");
    }
    running.finish()?.expect_code(137).map(drop)
}

fn fifo() -> Result<String, String> {
    let path = context::fresh_path("btf");
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a valid string.
    ensure!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) } == 0, "mkfifo");
    Ok(path.to_string_lossy().into_owned())
}

/// A signal for COMMAND that comes while it loads reaches COMMAND all the same.
fn held_until_command_runs() -> Outcome {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    let bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    let btf = fifo()?;
    let mut running = Tracer::json(["--btf", &btf])
        .command([SH, "-c", "while [ -e /proc/$PPID ]; do sleep 0.1; done"])
        .spawn()?;
    wait_caught(&running, libc::SIGUSR1)?;
    running.signal(libc::SIGUSR1);
    fs::write(&btf, bytes).map_err(|error| format!("{btf}: {error}"))?;
    let run = running.finish()?;
    run.expect_code(128 + libc::SIGUSR1)?;
    whole(&run, libc::SIGUSR1)
}

/// Until it handles this signal.
fn wait_caught(running: &Running, signal: libc::c_int) -> Outcome {
    let status = format!("/proc/{}/status", running.pid());
    until("a handler", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Ok(caught.is_some_and(|mask| mask & 1 << (signal - 1) != 0))
    })
}

/// A tracer on a terminal, and where its recording is.
fn on_terminal(script: &str) -> (Command, std::path::PathBuf) {
    let output = context::fresh_path("terminal.jsonl");
    let mut command = Command::new(context::zombie_trace());
    if let Some(backend) = context::forced_backend() {
        command.args(["--backend", &backend]);
    }
    command.args(["-q", "--json", "-a", "-o"]).arg(&output);
    command.args(["--", SH, "-c", script]);
    (command, output)
}

fn recording(path: &Path) -> Result<Report, String> {
    let report = Report::parse(&fs::read(path).map_err(|error| error.to_string())?)?;
    let problems = check::accounting(&report);
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(report)
}

/// The window of a tracer that leads its session is closed: COMMAND hears of it.
fn hang_up() -> Outcome {
    let heard = context::fresh_path("heard");
    let script = format!(
        "trap 'echo HUP >{}; exit 5' HUP; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done",
        heard.display()
    );
    let (command, output) = on_terminal(&script);
    let mut pty = Pty::open(24, 80)?;
    let mut tracer = pty.start(command)?;
    pty.wait("ready")?;
    pty.hang_up();
    let code = pty::end_of(&mut tracer)?;
    ensure!(heard.exists(), "COMMAND got no SIGHUP, status {code}");
    ensure!(code == 5, "status {code}");
    recording(&output).map(drop)
}

/// The terminal's own SIGINT does not get there.
fn ctrl_c_other_group() -> Outcome {
    let script = "exec /usr/bin/setsid -w /bin/sh -c 'trap \"exit 6\" INT; echo ready; \
                  while [ -e /proc/$PPID ]; do sleep 0.1; done'";
    // Not by way of the shell: setsid(1) forks only if it leads a group.
    let (command, output) = on_terminal(script);
    let mut pty = Pty::open(24, 80)?;
    let mut tracer = pty.start(command)?;
    pty.wait("ready")?;
    pty.enter("\x03")?;
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 6, "status {code}:\n{}", pty.text());
    recording(&output).map(drop)
}

/// In the terminal's foreground COMMAND gets it from there, and not from us as well.
fn ctrl_c_once() -> Outcome {
    let script = "trap 'echo int' INT; echo ready; \
                  while [ -e /proc/$PPID ]; do sleep 0.02; done";
    let (command, output) = on_terminal(script);
    let mut pty = Pty::open(24, 80)?;
    let mut tracer = pty.start(command)?;
    pty.wait("ready")?;
    pty.enter("\x03")?;
    // It is killed some seconds later.
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 137, "status {code}:\n{}", pty.text());
    let count = pty.text().matches("int\r").count();
    ensure!(count == 1, "{count} SIGINTs:\n{}", pty.text());
    recording(&output).map(drop)
}

fn ctrl_backslash() -> Outcome {
    let script = "trap 'exit 8' QUIT; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done";
    let (command, output) = on_terminal(script);
    let mut pty = Pty::open(24, 80)?;
    let mut tracer = pty.start(command)?;
    pty.wait("ready")?;
    pty.enter("\x1c")?;
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 8, "status {code}:\n{}", pty.text());
    recording(&output).map(drop)
}

fn passed(name: &str, signal: libc::c_int) -> Outcome {
    let script =
        format!("trap 'exit 7' {name}; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done");
    let mut running = Tracer::json([""; 0]).command([SH, "-c", &script]).start()?;
    running.wait_stdout("ready")?;
    running.signal(signal);
    let run = running.finish()?;
    run.expect_code(7)?;
    let problems = check::accounting(&run.report()?);
    match problems.is_empty() {
        true => Ok(()),
        false => run.fail(problems.join("\n")),
    }
}

fn ends_alone(signal: libc::c_int) -> Outcome {
    let mut running = Tracer::json(["-P", "1"]).start()?;
    running.signal(signal);
    let run = running.finish()?;
    run.expect_code(0)?;
    run.report().map(drop)
}

fn survives_alone(signal: libc::c_int) -> Outcome {
    let mut running = Tracer::json(["-P", "1"]).start()?;
    wait_caught(&running, signal)?;
    running.signal(signal);
    let run = running.stop()?;
    run.expect_code(0)?;
    run.report().map(drop)
}

/// What is ignored and what is blocked is the caller's, and nothing else is.
fn dispositions() -> Outcome {
    const SHOW: [&str; 3] = ["/bin/grep", "-E", "^Sig(Blk|Ign):"];
    let prepare = |command: &mut Command| {
        command.args(["/proc/self/status"]).stdin(Stdio::null());
        // SAFETY: plain data and system calls.
        before_exec(command, || unsafe {
            for signal in [
                libc::SIGPIPE,
                libc::SIGUSR2,
                libc::SIGQUIT,
                libc::SIGRTMIN() + 2,
            ] {
                libc::signal(signal, libc::SIG_IGN);
            }
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            let mut mask: libc::sigset_t = std::mem::zeroed();
            for signal in [libc::SIGUSR1, libc::SIGTERM, libc::SIGWINCH] {
                libc::sigaddset(&raw mut mask, signal);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
            Ok(())
        });
    };
    let mut alone = Command::new(SHOW[0]);
    alone.args(&SHOW[1..]);
    prepare(&mut alone);
    let alone = context::succeeds(&mut alone)?;
    let run = Tracer::json([""; 0]).command(SHOW).with(prepare).run()?;
    run.expect_code(0)?;
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines()
            .map(crate::command::without_libc_signals)
            .collect::<Vec<_>>()
    };
    let (alone, traced) = (lines(&alone.stdout), lines(&run.stdout));
    ensure!(alone == traced, "alone {alone:?}, traced {traced:?}");
    Ok(())
}

fn killed_by_realtime() -> Outcome {
    let run = Tracer::json([""; 0])
        .command([SH, "-c", "kill -40 $$"])
        .run()?;
    run.expect_code(168)?;
    whole(&run, 40)
}
