//! `zombie-trace top`, from the side of the one who sits at the terminal.

mod replay;
mod storm;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, context, ensure,
    pty::{self, Pty, until},
};

const SH: &str = "/bin/sh";
const BASH: &str = "/bin/bash";
const TMUX: &str = "/usr/bin/tmux";

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

pub(crate) fn tests() -> Vec<Test> {
    let tests = vec![
        Test::new("top::leak", leak),
        Test::new("top::tree-and-details", tree_and_details),
        Test::new("top::quit", || ends(End::Key("q"))),
        Test::new("top::ctrl-c", || ends(End::Key("\x03"))),
        Test::new("top::sigterm", || ends(End::Signal(libc::SIGTERM))),
        Test::new("top::sighup", || ends(End::Signal(libc::SIGHUP))),
        Test::new("top::closed-terminal", closed_terminal),
        Test::new("top::resize", resize),
        Test::new("top::resize-every-view", resize_every_view),
        Test::new("top::restriction", restriction),
        Test::new("top::no-terminal", no_terminal),
        Test::new("top::piped-output", piped_output),
        Test::new("top::dumb-terminal", dumb_terminal),
        Test::new("top::no-colour", no_colour),
        Test::new("top::pause", pause),
        Test::new("top::record", record),
        Test::new("top::signal", signal),
        Test::new("top::inspect", inspect),
        Test::new("top::export-and-copy", export_and_copy),
        Test::new("top::suspend", suspend).unless(context::no_program(BASH)),
        Test::new("top::command", command_pane),
        Test::new("top::command-killed", command_killed),
        Test::new("top::command-quit", command_quit),
        Test::new("top::tmux", tmux).unless(context::no_program(TMUX)),
    ];
    tests
        .into_iter()
        .chain(replay::tests())
        .chain(storm::tests())
        .map(|test| test.unless(context::no_program(SH)))
        .collect()
}

/// A parent that leaves zombies, and is gone when this is dropped.
struct Leak(Child);

impl Leak {
    /// `zombie-trace demo`, whose parent's command name is demo-parent.
    fn start(kind: &str) -> Result<Self, String> {
        let mut command = Command::new(context::zombie_trace());
        command.args(["demo", kind, "--duration", "300s"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        // It has made them when it explains them.
        let stdout = child.stdout.as_mut().expect("piped");
        let mut first = [0];
        std::io::Read::read_exact(stdout, &mut first).map_err(|error| error.to_string())?;
        Ok(Self(child))
    }

    fn tree(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Leak {
    fn drop(&mut self) {
        // SAFETY: no pointers; our child is not reaped yet.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

/// A terminal on which top runs.
struct Seat {
    pty: Pty,
    top: Child,
    directory: PathBuf,
    before: [libc::tcflag_t; 4],
}

fn command(args: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(context::zombie_trace());
    command.arg("top");
    if let Some(backend) = context::forced_backend() {
        command.args(["--backend", &backend]);
    }
    command
        .args(args)
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env_remove("NO_COLOR")
        .current_dir(directory);
    command
}

impl Seat {
    fn start(args: &[&str]) -> Result<Self, String> {
        Self::with(args, |_| {})
    }

    /// With something changed about the program.
    fn with(args: &[&str], change: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let directory = context::fresh_path("top");
        fs::create_dir(&directory).map_err(|error| error.to_string())?;
        let pty = Pty::open(ROWS, COLUMNS)?;
        let before = pty.settings();
        let mut command = command(args, &directory);
        change(&mut command);
        let top = pty.start(command)?;
        Ok(Self {
            pty,
            top,
            directory,
            before,
        })
    }

    /// The terminal as it is now; only from a place of the output on.
    fn terminal(&self, from: usize, rows: u16, columns: u16) -> vt100::Parser {
        let [rows, columns] = [rows, columns].map(|size| size.try_into().expect("not 0"));
        let mut terminal = vt100::Parser::new(rows, columns, 0);
        terminal.process(&self.pty.text().as_bytes()[from..]);
        terminal
    }

    fn screen(&self) -> String {
        self.terminal(0, ROWS, COLUMNS).screen().contents()
    }

    fn wait(&self, part: &str) -> Outcome {
        until(&format!("{part:?}"), || Ok(self.screen().contains(part)))
            .map_err(|error| format!("{error}:\n{}", self.screen()))
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) -> Outcome {
        until(what, || Ok(holds(&self.screen())))
            .map_err(|error| format!("{error}:\n{}", self.screen()))
    }

    fn press(&mut self, keys: &str) -> Outcome {
        self.pty.enter(keys)
    }

    /// Presses a key until it has come there: how often depends on how long the run took.
    fn go(&mut self, key: &str, what: &str, is_there: impl Fn(&str) -> bool) -> Outcome {
        for _ in 0..60 {
            if is_there(&self.screen()) {
                return Ok(());
            }
            let before = self.screen();
            self.press(key)?;
            self.wait_for("another screen", |screen| screen != before)?;
        }
        Err(format!("not {what}:\n{}", self.screen()))
    }

    fn end(&mut self, end: &End) -> Outcome {
        match end {
            End::Key(key) => self.press(key),
            End::Signal(signal) => {
                self.kill(*signal);
                Ok(())
            }
        }
    }

    /// Another size, and what is on the screen once all of it was drawn.
    fn resize(&self, rows: u16, columns: u16, part: &str) -> Result<String, String> {
        let from = self.pty.text().len();
        self.pty.resize(rows, columns);
        let screen = || self.terminal(from, rows, columns).screen().contents();
        // A new size is drawn as a whole.
        until(&format!("{part:?} on {columns}x{rows}"), || {
            let screen = screen().replace('\n', " ");
            Ok(screen.contains(part) && (rows < 15 || screen.contains("? help")))
        })
        .map_err(|error| format!("{error}:\n{}", screen()))?;
        Ok(screen())
    }

    fn kill(&self, signal: i32) {
        // SAFETY: no pointers; our child is not reaped yet.
        unsafe { libc::kill(self.top.id() as libc::pid_t, signal) };
    }

    /// The terminal is as before, and shows the summary. Gives what it shows.
    fn ended(&mut self, code: i32) -> Result<String, String> {
        let ended = pty::end_of(&mut self.top)?;
        ensure_text(ended == code, || {
            format!("status {ended}:\n{}", self.pty.text())
        })?;
        let settings = self.pty.settings();
        ensure_text(settings == self.before, || {
            format!("settings: {:x?}, then {settings:x?}", self.before)
        })?;
        // What was written last may be on its way.
        let is_left = || {
            let terminal = self.terminal(0, ROWS, COLUMNS);
            let screen = terminal.screen();
            Ok(!screen.alternate_screen() && !screen.hide_cursor())
        };
        until("the screen is left", is_left)?;
        let terminal = self.terminal(0, ROWS, COLUMNS);
        let mode = terminal.screen().mouse_protocol_mode();
        ensure_text(mode == vt100::MouseProtocolMode::None, || {
            format!("the mouse: {mode:?}")
        })?;
        Ok(terminal.screen().contents())
    }
}

fn ensure_text(holds: bool, text: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(text()) }
}

/// One screen of 80 columns says who, how many, how old, why, and what helps.
fn leak() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree(), "--alive-after", "1s"])?;
    seat.wait("Fix: ")?;
    let screen = seat.screen();
    for part in [
        "ALIVE",
        "OLDEST",
        "never-waits",
        "LIVE",
        "lost 0",
        "[1 Parents]",
    ] {
        ensure!(screen.contains(part), "{part}:\n{screen}");
    }
    seat.wait_for("a marked row", |screen| {
        screen.lines().any(|line| line.starts_with('!'))
    })?;
    seat.press("q")?;
    let summary = seat.ended(0)?;
    ensure!(summary.contains("lost"), "{summary}");
    Ok(())
}

/// The parent stands below its ancestors, and its threads are shown.
fn tree_and_details() -> Outcome {
    let leak = Leak::start("blocked")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    seat.press("t")?;
    seat.wait_for("its ancestors", |screen| {
        let is_above = |line: &str| line.contains(&leak.tree()) && line.contains("└");
        screen.lines().any(is_above)
    })?;
    seat.press("\r")?;
    for part in [
        "; blocks SIGCHLD",
        "blocked by every thread",
        &format!("zombie-trace ({})", leak.tree()),
    ] {
        seat.wait(part)?;
    }
    seat.press("q")?;
    seat.ended(0).map(drop)
}

enum End {
    Key(&'static str),
    Signal(i32),
}

/// However it ends, the terminal is as it was, and the summary is shown.
fn ends(end: End) -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("LIVE")?;
    seat.end(&end)?;
    let screen = seat.ended(0)?;
    ensure!(screen.contains("nothing was lost"), "{screen}");
    Ok(())
}

/// It ends by itself, and soon: a screen that nobody sees has no use.
fn closed_terminal() -> Outcome {
    let mut seat = Seat::start(&["-P", "1"])?;
    seat.wait("LIVE")?;
    seat.pty.hang_up();
    pty::end_of(&mut seat.top).map(drop)
}

fn resize() -> Outcome {
    let mut seat = Seat::start(&["-P", "1"])?;
    seat.wait("[1 Parents]")?;
    for (rows, columns, part) in [
        (40, 120, "[1 Parents]"),
        (10, 40, "needs 60x15"),
        (15, 60, "[1 Parents]"),
        (ROWS, COLUMNS, "[1 Parents]"),
    ] {
        seat.resize(rows, columns, part)?;
    }
    seat.press("q")?;
    seat.ended(0).map(drop)
}

/// Whatever is shown, another size shows the same, and nothing is left of the old one.
fn resize_every_view() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    for (keys, part) in [
        ("2", "[2 Alive]"),
        ("3", "[3 Reaps]"),
        ("4", "[4 Commands]"),
        ("5", "[5 Containers]"),
        ("6", "[6 Timeline]"),
        ("1", "[1 Parents]"),
        ("t", "tree"),
        ("t\r", "SIGCHLD"),
        ("?", "any other key closes it"),
        ("qx", "Send a signal to"),
    ] {
        seat.press(keys)?;
        seat.wait(part)?;
        for (rows, columns) in [(40, 120), (24, 80), (50, 70), (ROWS, COLUMNS)] {
            let screen = seat.resize(rows, columns, part)?;
            let heads = screen.matches("zombie-trace  ").count();
            ensure!(heads == 1, "{part} on {columns}x{rows}:\n{screen}");
        }
    }
    seat.press("\x03")?;
    seat.ended(0).map(drop)
}

/// What hides rows is on the smallest screen, with the key that lifts it.
fn restriction() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    seat.press("fparent=nobody\r")?;
    seat.wait("1 row hidden: filter parent=nobody (Esc clears)")?;
    seat.resize(15, 60, "1 row hidden: filter parent=nobody (Esc clears)")?;
    seat.press("\x1b")?;
    until("the row again", || {
        let screen = seat.terminal(0, 15, 60).screen().contents();
        Ok(screen.contains("never-waits") && !screen.contains("nobody"))
    })?;
    seat.press("q")?;
    seat.ended(0).map(drop)
}

/// What to use instead.
fn no_terminal() -> Outcome {
    let directory = context::fresh_path("top");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let mut command = command(&[], &directory);
    command.stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        text.contains("terminal") && text.contains("'zombie-trace record'"),
        "{text}"
    );
    ensure!(output.stdout.is_empty(), "{output:?}");
    Ok(())
}

/// A screen that goes through a pipe is none.
fn piped_output() -> Outcome {
    let directory = context::fresh_path("top");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let pty = Pty::open(ROWS, COLUMNS)?;
    let mut command = command(&[], &directory);
    let stdin = pty.terminal.try_clone();
    command
        .stdin(stdin.map_err(|error| error.to_string())?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let top = pty.start_with_streams(command)?;
    let output = top.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        text.contains("terminal for input and output") && text.contains("'zombie-trace'"),
        "{text}"
    );
    ensure!(output.stdout.is_empty(), "{output:?}");
    Ok(())
}

/// Nothing can be drawn there.
fn dumb_terminal() -> Outcome {
    for term in ["dumb", ""] {
        let mut seat = Seat::with(&[], |command| {
            command.env("TERM", term);
        })?;
        let ended = pty::end_of(&mut seat.top)?;
        seat.pty.wait("(TERM)")?;
        let text = seat.pty.text();
        ensure!(ended == 1, "{ended}: {text}");
        ensure!(!text.contains('\x1b'), "{text:?}");
    }
    Ok(())
}

fn no_colour() -> Outcome {
    let leak = Leak::start("classic")?;
    let coloured = |args: &[&str], (name, value): (&str, &str)| -> Result<bool, String> {
        let tree = leak.tree();
        let args = [&["--tree", &tree], args].concat();
        let mut seat = Seat::with(&args, |command| {
            command.env(name, value);
        })?;
        seat.wait("Fix: ")?;
        let text = seat.pty.text();
        seat.press("q")?;
        seat.ended(0)?;
        // Red in the basic palette, as crossterm writes it.
        Ok(text.contains("\x1b[38;5;") || text.contains("\x1b[31m"))
    };
    let usual = ("TERM", "xterm-256color");
    ensure!(coloured(&[], usual)?, "a terminal is coloured");
    ensure!(!coloured(&["--color", "never"], usual)?, "--color never");
    ensure!(!coloured(&[], ("NO_COLOR", "1"))?, "NO_COLOR");
    ensure!(!coloured(&[], ("TERM", "vt100"))?, "TERM=vt100");
    let always = ["--color", "always"];
    ensure!(coloured(&always, ("TERM", "vt100"))?, "--color always");
    Ok(())
}

/// A paused screen writes nothing.
fn pause() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    seat.press("p")?;
    seat.wait("PAUSED")?;
    // The rest of that screen may still be on its way; then nothing comes.
    let mut shown = (seat.pty.text().len(), Instant::now());
    until("nothing is drawn for two seconds", || {
        let len = seat.pty.text().len();
        if len != shown.0 {
            shown = (len, Instant::now());
        }
        Ok(shown.1.elapsed() > Duration::from_secs(2))
    })?;
    seat.press("p")?;
    seat.wait("LIVE")?;
    seat.press("q")?;
    seat.ended(0).map(drop)
}

fn file_of(directory: &Path, extension: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.to_string_lossy().ends_with(extension))
        .ok_or_else(|| format!("no {extension} file"))
}

/// R makes a whole recording of its own, and H a page of it.
fn record() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    seat.press("R")?;
    seat.wait("● REC")?;
    std::thread::sleep(Duration::from_secs(1));
    seat.press("R")?;
    seat.wait("recorded to zombie-trace-")?;
    seat.press("H")?;
    seat.wait("page written to zombie-trace-")?;
    seat.press("q")?;
    seat.ended(0)?;
    let recording = file_of(&seat.directory, ".jsonl.zst")?;
    let mut report = Command::new(context::zombie_trace());
    let output = context::succeeds(report.args(["report", "--json"]).arg(&recording))?;
    ensure!(output.stderr.is_empty(), "{output:?}");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let text = report.to_string();
    ensure!(text.contains("never-waits"), "{report:#}");
    let page = fs::read_to_string(file_of(&seat.directory, ".html")?);
    let page = page.map_err(|error| error.to_string())?;
    ensure!(page.contains("</html>"), "{page}");
    Ok(())
}

/// x asks, and y sends it to the parent.
fn signal() -> Outcome {
    let mut parent = Command::new(SH);
    // It has a zombie that its shell leaves to it.
    parent.args(["-c", "(exit 3) & exec sleep 600"]);
    let mut parent = parent.spawn().map_err(|error| error.to_string())?;
    let pid = parent.id().to_string();
    let mut seat = Seat::start(&["-P", &pid])?;
    let row = format!("{pid} sleep");
    let asked = seat.wait(&row).and_then(|()| {
        seat.press("x")?;
        seat.wait(&format!("Send a signal to {pid} sleep"))?;
        seat.press("jjj\r")?;
        seat.wait(&format!("Send SIGTERM to {pid} sleep?"))?;
        // Any other key sends nothing.
        seat.press("n")?;
        seat.wait("no signal was sent")?;
        ensure!(matches!(parent.try_wait(), Ok(None)), "it has ended");
        seat.press("xjjj\ry")?;
        seat.wait(&format!("SIGTERM was sent to {pid}"))
    });
    if asked.is_err() {
        let _ = parent.kill();
    }
    let ended = pty::end_of(&mut parent)?;
    asked?;
    ensure!(ended == -libc::SIGTERM, "{ended}");
    seat.press("q")?;
    seat.ended(0).map(drop)
}

/// i shows everything about the process, on the terminal as it was.
fn inspect() -> Outcome {
    let leak = Leak::start("classic")?;
    let mut seat = Seat::start(&["--tree", &leak.tree()])?;
    seat.wait("Fix: ")?;
    seat.press("i")?;
    seat.wait("Press Enter to go back")?;
    ensure!(
        !seat.terminal(0, ROWS, COLUMNS).screen().alternate_screen(),
        "{}",
        seat.screen()
    );
    seat.press("\r")?;
    seat.wait("[1 Parents]")?;
    seat.press("q")?;
    seat.ended(0).map(drop)
}

fn export_and_copy() -> Outcome {
    let leak = Leak::start("classic")?;
    let tree = leak.tree();
    let mut seat = Seat::start(&["--tree", &tree])?;
    seat.wait("Fix: ")?;
    seat.press("e")?;
    seat.wait("exported to zombie-trace-row-")?;
    let row = fs::read_to_string(file_of(&seat.directory, ".json")?);
    let row: serde_json::Value =
        serde_json::from_str(&row.unwrap_or_default()).map_err(|error| error.to_string())?;
    ensure!(
        row["cause"] == "never-waits" && row["pid"].is_u64(),
        "{row:#}"
    );
    let pid = row["pid"].as_u64().unwrap_or(0);
    seat.press("y")?;
    let command = format!("zombie-trace --tree {tree} -P {pid} -m 1ms");
    seat.wait(&format!("copied: {command}"))?;
    seat.pty.wait("\x1b]52;c;")?;
    seat.press("q")?;
    seat.ended(0).map(drop)
}

/// Ctrl-Z gives the shell back, and `fg` the screen.
fn suspend() -> Outcome {
    let directory = context::fresh_path("top");
    fs::create_dir(&directory).map_err(|error| error.to_string())?;
    let top = command(&["-P", "1"], &directory);
    let words = [top.get_program()].into_iter().chain(top.get_args());
    let words: Vec<_> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut bash = Command::new(BASH);
    bash.args(["--norc", "--noprofile", "-i"])
        .env("PS1", "$ ")
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8");
    let mut pty = Pty::open(ROWS, COLUMNS)?;
    let mut bash = pty.start(bash)?;
    pty.enter(&format!("{}; echo status=$?\r", words.join(" ")))?;
    pty.wait("LIVE")?;
    pty.enter("\x1a")?;
    pty.wait("Stopped")?;
    pty.enter("echo at-shell-$((40+2))\r")?;
    pty.wait("at-shell-42")?;
    let before = pty.text().len();
    pty.enter("fg\r")?;
    until("the screen again", || {
        Ok(pty.text()[before..].contains("LIVE"))
    })?;
    pty.enter("q")?;
    pty.wait("nothing was lost")?;
    pty.enter("exit 0\r")?;
    pty::end_of(&mut bash).map(drop)
}

/// COMMAND has a terminal of its own, which o shows; its status is passed on.
fn command_pane() -> Outcome {
    let script = "echo hello; read -r line; echo \"got <$line>\"; read -r _; exit 7";
    let mut seat = Seat::start(&["--", SH, "-c", script])?;
    seat.wait("LIVE")?;
    seat.press("o")?;
    seat.wait("hello")?;
    // Letters that are keys of the screen are COMMAND's now.
    seat.press("quit px\r")?;
    seat.wait("got <quit px>")?;
    seat.press("\x1d")?;
    seat.wait("? help")?;
    seat.press("o")?;
    seat.wait("got <quit px>")?;
    seat.press("\r")?;
    let screen = seat.ended(7)?;
    ensure!(screen.contains("nothing was lost"), "{screen}");
    Ok(())
}

fn command_killed() -> Outcome {
    let mut seat = Seat::start(&["--", SH, "-c", "echo pid=$$ ready; exec sleep 600"])?;
    seat.wait("LIVE")?;
    seat.press("o")?;
    seat.wait("ready")?;
    let pid = pty::number_after(&seat.screen(), "pid=").ok_or("no pid")?;
    // SAFETY: no pointers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    seat.ended(137).map(drop)
}

/// Quitting ends COMMAND, as Ctrl-C would.
fn command_quit() -> Outcome {
    let mut seat = Seat::start(&["--", SH, "-c", "exec sleep 600"])?;
    seat.wait("LIVE")?;
    seat.press("q")?;
    seat.ended(130).map(drop)
}

/// In a real terminal program, with its own idea of a terminal.
fn tmux() -> Outcome {
    let leak = Leak::start("classic")?;
    let socket = context::fresh_path("tmux");
    let socket = socket.to_string_lossy().into_owned();
    let tmux = |args: &[&str]| {
        let mut command = Command::new(TMUX);
        command.args(["-S", &socket, "-f", "/dev/null"]).args(args);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        context::succeeds(&mut command)
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let program = context::zombie_trace().to_string_lossy().into_owned();
    let backend = context::forced_backend().map(|name| format!("--backend {name}"));
    let line = format!(
        "stty -g >{socket}.before; {program} top {} --tree {}; stty -g >{socket}.after; sleep 600",
        backend.unwrap_or_default(),
        leak.tree()
    );
    tmux(&[
        "new-session",
        "-d",
        "-x",
        "80",
        "-y",
        "24",
        "-s",
        "top",
        &line,
    ])?;
    let shows = |part: &str| {
        until(&format!("{part:?} in tmux"), || {
            Ok(tmux(&["capture-pane", "-p", "-t", "top"])?.contains(part))
        })
    };
    let outcome = shows("Fix: ").and_then(|()| {
        tmux(&["resize-window", "-t", "top", "-x", "120", "-y", "30"])?;
        shows("AVG ALIVE")?;
        tmux(&["send-keys", "-t", "top", "?"])?;
        shows("any other key closes it")?;
        // One after the other: together they are Alt-q.
        tmux(&["send-keys", "-t", "top", "Escape"])?;
        until("the help is closed", || {
            Ok(!tmux(&["capture-pane", "-p", "-t", "top"])?.contains("any other key closes it"))
        })?;
        tmux(&["send-keys", "-t", "top", "q"])?;
        shows("nothing was lost")?;
        let settings =
            |name: &str| fs::read_to_string(format!("{socket}.{name}")).unwrap_or_default();
        until("the settings", || Ok(!settings("after").is_empty()))?;
        ensure!(
            settings("after") == settings("before"),
            "{} {}",
            settings("before"),
            settings("after")
        );
        Ok(())
    });
    tmux(&["kill-server"])?;
    outcome
}
