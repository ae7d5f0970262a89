//! COMMAND as another user: its terminal, session, environment and descriptors.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use crate::{
    Outcome, Test, context, ensure,
    pty::{self, Pty, until},
    tracer::Tracer,
};

const SH: &str = "/bin/sh";
const BASH: &str = "/bin/bash";
const STTY: &str = "/usr/bin/stty";

/// `c_lflag` of a terminal in raw mode lacks it.
const ICANON: libc::tcflag_t = libc::ICANON;

pub(crate) fn tests() -> Vec<Test> {
    let stty = || context::no_program(STTY);
    let tests = vec![
        Test::new("terminal::environment", environment),
        Test::new("terminal::no-terminal", no_terminal),
        Test::new("terminal::descriptors", descriptors).unless(context::no_program(BASH)),
        Test::new("terminal::keys-not-pushed", keys_not_pushed),
        Test::new("terminal::own", own_terminal),
        Test::new("terminal::size", window_size).unless(stty()),
        Test::new("terminal::keyboard", keyboard),
        Test::new("terminal::ctrl-c", ctrl_c),
        Test::new("terminal::ctrl-c-ignored", ctrl_c_ignored),
        Test::new("terminal::hang-up", hang_up),
        Test::new("terminal::restored", restored),
        Test::new("terminal::text", text),
        Test::new("terminal::suspend", suspend).unless(context::no_program(BASH)),
        Test::new("terminal::redirected", redirected),
    ];
    let nobody = || crate::command::no_user("nobody");
    tests
        .into_iter()
        .map(|test| test.unless(context::no_program(SH)).unless(nobody()))
        .collect()
}

/// `zombie-trace -u nobody -- COMMAND`, with its recording in a file.
fn as_nobody(command: &[&str]) -> (Command, PathBuf) {
    let output = context::fresh_path("user.jsonl");
    let mut tracer = Command::new(context::zombie_trace());
    if let Some(backend) = context::forced_backend() {
        tracer.args(["--backend", &backend]);
    }
    tracer.args(["-q", "--json", "-a", "-u", "nobody", "-o"]);
    tracer.arg(&output).arg("--").args(command);
    (tracer, output)
}

/// As [`as_nobody`], on a terminal.
fn at_terminal(script: &str) -> Result<(Pty, Child), String> {
    let (tracer, _) = as_nobody(&[SH, "-c", script]);
    let pty = Pty::open(24, 80)?;
    let tracer = pty.start(tracer)?;
    Ok((pty, tracer))
}

fn ended(pty: &Pty, mut tracer: Child, code: i32) -> Outcome {
    let ended = pty::end_of(&mut tracer)?;
    ensure!(ended == code, "status {ended}:\n{}", pty.text());
    Ok(())
}

/// The user's own, with the terminal's type and the language.
fn environment() -> Outcome {
    let run = Tracer::json(["-u", "nobody"])
        .command(["env"])
        .with(|command| {
            command
                .env("PATH", "/sbin:/usr/bin:/bin")
                .env("TERM", "vt100")
                .env("LC_TIME", "C")
                .env("LD_LIBRARY_PATH", "/nonexistent")
                .env("SUDO_COMMAND", "secret")
                .env("TOKEN", "secret");
        })
        .run()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    for line in [
        "HOME=",
        "LOGNAME=nobody",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "SHELL=",
        "USER=nobody",
        "TERM=vt100",
        "LC_TIME=C",
    ] {
        ensure!(
            text.lines().any(|own| own.starts_with(line)),
            "no {line}\n{text}"
        );
    }
    for name in ["LD_LIBRARY_PATH", "SUDO_COMMAND", "TOKEN", "NO_COLOR"] {
        ensure!(!text.contains(name), "{name}:\n{text}");
    }
    Ok(())
}

/// Fields 5 to 7 of /proc/self/stat: process group, session, terminal.
const STAT: &str = "read -r pid _ _ _ group session tty _ </proc/$$/stat; \
                    echo \"pid=$pid group=$group session=$session tty=$tty \"";

/// Without a terminal it leads a session of its own.
fn no_terminal() -> Outcome {
    let run = Tracer::json(["-u", "nobody"])
        .with(|command| {
            // Nor does the tracer have one.
            crate::command::before_exec(command, || {
                // SAFETY: no pointers.
                unsafe { libc::setsid() };
                Ok(())
            });
        })
        .command([SH, "-c", STAT])
        .run()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let [pid, group, session, tty] =
        ["pid=", "group=", "session=", "tty="].map(|label| pty::number_after(&text, label));
    ensure!(pid.is_some() && group == pid && session == pid, "{text}");
    ensure!(tty == Some(0), "{text}");
    Ok(())
}

/// Those of the caller stay with the caller.
fn descriptors() -> Outcome {
    let secret = context::fresh_path("secret");
    fs::write(&secret, "secret").map_err(|error| error.to_string())?;
    let secret = secret.to_string_lossy().into_owned();
    let script = format!("exec 7<{secret} 200<{secret}; exec \"$@\"",);
    const SHOW: &str = "for fd in 1 7 200; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; true";
    let (tracer, _) = as_nobody(&[SH, "-c", SHOW]);
    let mut command = Command::new(BASH);
    command.args(["-c", &script, "bash"]);
    command.arg(tracer.get_program()).args(tracer.get_args());
    let output = context::succeeds(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text == "1\n", "open: {text:?}");
    Ok(())
}

/// What it types by TIOCSTI is for itself: the caller's shell would execute it.
fn keys_not_pushed() -> Outcome {
    let scenario = context::scenario().to_string_lossy().into_owned();
    let (tracer, _) = as_nobody(&[&scenario, "push-keys", "rm -r x\n"]);
    let pty = Pty::open(24, 80)?;
    let tracer = pty.start(tracer)?;
    ended(&pty, tracer, 0)?;
    ensure!(pty.text().contains("push-keys: 0"), "{}", pty.text());
    // That it can be done at all: the same on the caller's own terminal, as root.
    let typed = pty.typed();
    ensure!(typed == 0, "{typed} characters:\n{}", pty.text());
    let mut command = Command::new(&scenario);
    command.args(["push-keys", "x"]);
    let mut direct = pty.start(command)?;
    pty::end_of(&mut direct)?;
    let typed = pty.typed();
    ensure!(typed > 0, "TIOCSTI does nothing here:\n{}", pty.text());
    Ok(())
}

/// Its controlling terminal is its standard streams', and not the caller's.
fn own_terminal() -> Outcome {
    let script = format!("{STAT}; tty; exec 3<>/dev/tty && echo opened");
    let (pty, tracer) = at_terminal(&script)?;
    ended(&pty, tracer, 0)?;
    let text = pty.text();
    let number = |label| pty::number_after(&text, label);
    ensure!(
        number("pid=").is_some() && number("session=") == number("pid="),
        "{text}"
    );
    ensure!(number("tty=").is_some_and(|tty| tty != 0), "{text}");
    let outer = fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&pty.terminal)
    ));
    let outer = outer.map_err(|error| error.to_string())?;
    let inner = text.lines().find(|line| line.starts_with("/dev/pts/"));
    let inner = inner.ok_or(format!("no terminal:\n{text}"))?;
    ensure!(Path::new(inner.trim()) != outer, "{inner} is the caller's");
    ensure!(text.contains("opened"), "{text}");
    Ok(())
}

/// At the start, and whenever it changes.
fn window_size() -> Outcome {
    let script = "trap 'stty size; exit 9' WINCH; stty size; echo ready; \
                  while [ -e /proc/$PPID ]; do sleep 0.1; done";
    let (pty, tracer) = at_terminal(script)?;
    pty.wait("ready")?;
    ensure!(pty.text().contains("24 80"), "{}", pty.text());
    pty.resize(33, 123);
    pty.wait("33 123")?;
    ended(&pty, tracer, 9)
}

/// Lines, and the end of input.
fn keyboard() -> Outcome {
    let script = "echo ready; read -r line; echo \"got <$line>\"; cat; echo end";
    let (mut pty, tracer) = at_terminal(script)?;
    pty.wait("ready")?;
    pty.enter("some words\r")?;
    pty.wait("got <some words>")?;
    pty.enter("x\r\x04")?;
    pty.wait("end")?;
    ended(&pty, tracer, 0)
}

fn ctrl_c() -> Outcome {
    let script = "trap 'exit 6' INT; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done";
    let (mut pty, tracer) = at_terminal(script)?;
    pty.wait("ready")?;
    pty.enter("\x03")?;
    ended(&pty, tracer, 6)
}

/// It ends the run as it does without `--user`.
fn ctrl_c_ignored() -> Outcome {
    let script = "trap '' INT TERM; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done";
    let (mut pty, tracer) = at_terminal(script)?;
    pty.wait("ready")?;
    pty.enter("\x03")?;
    ended(&pty, tracer, 137)
}

fn hang_up() -> Outcome {
    let script = "trap 'exit 5' HUP; echo ready; while [ -e /proc/$PPID ]; do sleep 0.1; done";
    let (mut pty, mut tracer) = at_terminal(script)?;
    pty.wait("ready")?;
    pty.hang_up();
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 5, "status {code}");
    Ok(())
}

/// The caller's terminal is raw while COMMAND runs, and as it was afterwards.
fn restored() -> Outcome {
    for (script, code) in [
        ("echo ready; read -r _; exit 3", 3),
        ("echo ready; read -r _; kill -KILL $$", 137),
        ("echo ready; read -r _; stty -echo raw; exit 0", 0),
    ] {
        let (tracer, _) = as_nobody(&[SH, "-c", script]);
        let mut pty = Pty::open(24, 80)?;
        let before = pty.settings();
        let mut tracer = pty.start(tracer)?;
        pty.wait("ready")?;
        until("raw mode", || Ok(pty.settings()[3] & ICANON == 0))?;
        pty.enter("\r")?;
        let ended = pty::end_of(&mut tracer)?;
        ensure!(ended == code, "{script}: status {ended}:\n{}", pty.text());
        let after = pty.settings();
        ensure!(after == before, "{script}: {before:x?}, then {after:x?}");
    }
    // Nor does a command that can't be executed leave it raw.
    let program = context::fresh_path("no-program");
    fs::write(&program, "neither\n")
        .and_then(|()| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&program, mode)
        })
        .map_err(|error| error.to_string())?;
    let (tracer, _) = as_nobody(&[&program.to_string_lossy()]);
    let pty = Pty::open(24, 80)?;
    let before = pty.settings();
    let mut tracer = pty.start(tracer)?;
    let ended = pty::end_of(&mut tracer)?;
    ensure!(ended == 126, "status {ended}:\n{}", pty.text());
    ensure!(pty.settings() == before, "a program that can't be executed");
    Ok(())
}

/// The tracer's own text reaches the terminal, to the last line, and each line begins at its left
/// edge.
fn text() -> Outcome {
    let mut tracer = Command::new(context::zombie_trace());
    if let Some(backend) = context::forced_backend() {
        tracer.args(["--backend", &backend]);
    }
    tracer.args([
        "-u",
        "nobody",
        "--",
        SH,
        "-c",
        "sleep 0.3; /bin/true; sleep 0.3",
    ]);
    let pty = Pty::open(24, 80)?;
    let tracer = pty.start(tracer)?;
    ended(&pty, tracer, 0)?;
    pty.wait("complete")?;
    let text = pty.text();
    ensure!(text.contains("exits in"), "{text}");
    let bare = text.replace("\r\n", "");
    ensure!(!bare.contains('\n'), "{text:?}");
    ensure!(!text.contains("\r\r"), "{text:?}");
    Ok(())
}

/// Ctrl-Z gives the shell back, and `fg` continues both.
fn suspend() -> Outcome {
    let script = "echo pid=$$ ready; read -r line; echo \"got <$line>\"; exit 4";
    let (tracer, _) = as_nobody(&[SH, "-c", script]);
    let mut command = Command::new(BASH);
    command
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "$ ");
    let mut pty = Pty::open(24, 200)?;
    let mut bash = pty.start(command)?;
    let words: Vec<_> = [tracer.get_program()]
        .into_iter()
        .chain(tracer.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    pty.enter(&format!("{}; echo status=$? \r", words.join(" ")))?;
    until("COMMAND", || {
        Ok(pty::number_after(&pty.text(), "pid=").is_some())
    })
    .map_err(|error| format!("{error}:\n{}", pty.text()))?;
    let pid = pty::number_after(&pty.text(), "pid=").unwrap_or(0);
    pty.enter("\x1a")?;
    pty.wait("Stopped")?;
    until("COMMAND is stopped", || Ok(state(pid) == Some('T')))?;
    pty.enter("echo at-shell-$((40+2))\r")?;
    pty.wait("at-shell-42")?;
    pty.enter("fg\r")?;
    until("COMMAND goes on", || {
        Ok(state(pid).is_some_and(|state| state != 'T'))
    })?;
    pty.enter("again\r")?;
    pty.wait("got <again>")?;
    pty.enter("\r")?;
    pty.enter("exit 0\r")?;
    pty::end_of(&mut bash).map(drop)
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// What is no terminal stays what it is; the keyboard is left to others in a pipeline.
fn redirected() -> Outcome {
    let (tracer, _) = as_nobody(&[SH, "-c", "cat; echo out; tty <&2; echo end >&2"]);
    let out = context::fresh_path("out");
    let mut command = Command::new(SH);
    command
        .args(["-c", "exec \"$@\" >\"$OUT\"", "sh"])
        .arg(tracer.get_program())
        .args(tracer.get_args())
        .env("OUT", &out);
    let pty = Pty::open(24, 80)?;
    let before = pty.settings();
    let tracer = pty.start(command)?;
    ended(&pty, tracer, 0)?;
    let text = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    ensure!(text.starts_with("out\n/dev/pts/"), "{text:?}");
    pty.wait("end")?;
    ensure!(pty.settings() == before, "settings");
    Ok(())
}
