//! Running the tracer.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use zombie_trace_e2e::now;

use crate::{
    context::{self, Collected},
    report::Report,
};

/// What the tracer says on standard error once every hook is live.
const ATTACHED: &str = "attached (backend ";
/// No test needs longer, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(360);
/// What an ended program has written is read within this time, unless another one holds the pipe open.
const READ: Duration = Duration::from_secs(30);

/// A tracer to be started.
pub(crate) struct Tracer {
    command: Command,
    output: Option<PathBuf>,
}

impl Tracer {
    /// With these options.
    pub(crate) fn new<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(context::zombie_trace());
        if let Some(backend) = context::forced_backend() {
            command.args(["--backend", &backend]);
        }
        command
            .args(options)
            .stdin(Stdio::null())
            .env_remove("NO_COLOR");
        Self {
            command,
            output: None,
        }
    }

    /// What runs it in a way of its own.
    pub(crate) fn of(command: Command) -> Self {
        Self {
            command,
            output: None,
        }
    }

    /// `--json -a -o FILE`, and these options.
    pub(crate) fn json<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Self {
        Self::new(["--json", "-a"])
            .into_file("out.jsonl")
            .args(options)
    }

    /// As [`json`](Self::json) by a user who can write in this directory only.
    pub(crate) fn json_in(directory: &Path) -> Self {
        let path = directory.join("out.jsonl");
        let mut tracer = Self::new(["--json", "-a", "-o"]);
        tracer.command.arg(&path);
        tracer.output = Some(path);
        tracer
    }

    /// Writes to a file, which [`Run::output`] is then read from.
    pub(crate) fn into_file(mut self, name: &str) -> Self {
        let path = context::fresh_path(name);
        self.command.arg("-o").arg(&path);
        self.output = Some(path);
        self
    }

    /// More arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// `-- COMMAND…`
    pub(crate) fn command<S: AsRef<OsStr>>(self, command: impl IntoIterator<Item = S>) -> Self {
        self.args(["--"]).args(command)
    }

    /// `-- scenario NAME…`
    pub(crate) fn scenario<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        self.args([OsStr::new("--"), context::scenario().as_os_str()])
            .args(args)
    }

    /// Run by another program, as its last arguments.
    pub(crate) fn wrapped<S: AsRef<OsStr>>(self, wrapper: impl IntoIterator<Item = S>) -> Self {
        let mut wrapper = wrapper.into_iter();
        let mut command = Command::new(wrapper.next().expect("a program"));
        command
            .args(wrapper)
            .arg(self.command.get_program())
            .args(self.command.get_args());
        command.stdin(Stdio::null()).env_remove("NO_COLOR");
        Self {
            command,
            output: self.output,
        }
    }

    /// Anything else about the process.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Starts it without waiting for anything.
    pub(crate) fn spawn(mut self) -> Result<Running, String> {
        let line = Shown(&self.command).to_string();
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .map_err(|error| format!("{line}: {error}"))?;
        let stderr = Collected::default();
        let stdout = Collected::default();
        let readers = vec![
            stderr.collect(child.stderr.take().expect("piped")),
            stdout.collect(child.stdout.take().expect("piped")),
        ];
        Ok(Running {
            child,
            line,
            output: self.output,
            stdout,
            stderr,
            readers,
        })
    }

    /// Starts it and waits until it is attached.
    pub(crate) fn start(self) -> Result<Running, String> {
        let mut running = self.spawn()?;
        running.wait_attached()?;
        Ok(running)
    }

    /// Runs it to its own end.
    pub(crate) fn run(self) -> Result<Run, String> {
        self.spawn()?.finish()
    }
}

/// A command as one would type it.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<OsString> = [self.0.get_program()]
            .into_iter()
            .chain(self.0.get_args())
            .map(OsStr::to_os_string)
            .collect();
        f.write_str(&words.join(OsStr::new(" ")).to_string_lossy())
    }
}

/// A tracer that runs.
pub(crate) struct Running {
    child: Child,
    line: String,
    output: Option<PathBuf>,
    stdout: Collected,
    stderr: Collected,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is attached.
    pub(crate) fn wait_attached(&mut self) -> Result<(), String> {
        let attached = |text: &str| text.lines().any(|line| line.starts_with(ATTACHED));
        self.wait_for("attaching", |running| attached(&running.stderr.text()))
    }

    /// Waits until its standard output (the command's, too) holds this.
    pub(crate) fn wait_stdout(&mut self, part: &str) -> Result<(), String> {
        self.wait_for(part, |running| running.stdout.text().contains(part))
    }

    /// What it has written to standard output so far (the command too).
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until what it has written to standard output so far is as it should be.
    pub(crate) fn wait_stdout_for(
        &mut self,
        what: &str,
        holds: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        self.wait_for(what, |running| holds(&running.stdout.text()))
    }

    /// Waits until its standard error holds this.
    pub(crate) fn wait_stderr_part(&mut self, part: &str) -> Result<(), String> {
        self.wait_for(part, |running| running.stderr.text().contains(part))
    }

    /// Waits for a line of standard error that begins like this; gives the rest of it.
    pub(crate) fn wait_stderr_line(&mut self, begin: &str) -> Result<String, String> {
        let rest = |text: &str| {
            // Not of one that is still being written.
            let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let mut lines = lines.lines();
            lines.find_map(|line| line.strip_prefix(begin).map(ToOwned::to_owned))
        };
        self.wait_for(begin, |running| rest(&running.stderr.text()).is_some())?;
        Ok(rest(&self.stderr.text()).unwrap_or_default())
    }

    /// Waits until what it has written to its file is as it should be.
    pub(crate) fn wait_output(
        &mut self,
        what: &str,
        holds: impl Fn(&[u8]) -> bool,
    ) -> Result<(), String> {
        self.wait_for(what, |running| {
            let path = running.output.as_deref().expect("it writes to a file");
            fs::read(path).is_ok_and(|bytes| holds(&bytes))
        })
    }

    /// Waits until these JSON lines hold one like this.
    pub(crate) fn wait_line(
        &mut self,
        what: &str,
        is: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<(), String> {
        self.wait_output(what, |bytes| json_lines(bytes).iter().any(&is))
    }

    fn wait_for(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT / 2;
        while !holds(self) {
            let ended = self.child.try_wait().expect("our child");
            // The pipes may hold more than the readers have seen yet.
            if ended.is_some() {
                let patience = Instant::now() + READ;
                while !self.is_read() && Instant::now() < patience {
                    thread::sleep(Duration::from_millis(1));
                }
                if holds(self) {
                    break;
                }
            }
            if ended.is_some() || Instant::now() > deadline {
                let text = self.stderr.text();
                return Err(format!(
                    "{}: no {what:?}; ended: {ended:?}\n{text}",
                    self.line
                ));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether its pipes have been read to the end.
    fn is_read(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: libc::c_int) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: no pointers; the child is not reaped yet, so the pid is its.
            unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// Waits for its end, up to a limit.
    pub(crate) fn finish(mut self) -> Result<Run, String> {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            if Instant::now() > deadline {
                let text = self.stderr.text();
                return Err(format!("{}: still runs after {LIMIT:?}\n{text}", self.line));
            }
            thread::sleep(Duration::from_millis(1));
        };
        let ended = now();
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Ok(Run {
            line: self.line.clone(),
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
            output: self
                .output
                .as_deref()
                .map(read)
                .transpose()?
                .unwrap_or_default(),
            ended,
        })
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> Result<Run, String> {
        self.signal(libc::SIGTERM);
        self.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must not leave its tracer behind; harmless if it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole lines among these that are JSON.
pub(crate) fn json_lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// What a tracer left behind.
pub(crate) struct Run {
    line: String,
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// Standard output, its own and the command's.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
    /// The file of [`Tracer::into_file`].
    pub(crate) output: Vec<u8>,
    /// `CLOCK_MONOTONIC` after its end.
    pub(crate) ended: u64,
}

impl Run {
    /// Fails unless it exited with this code.
    pub(crate) fn expect_code(&self, code: i32) -> Result<&Self, String> {
        if self.status.code() == Some(code) {
            return Ok(self);
        }
        let signal = self.status.signal();
        self.fail(format!(
            "exit code {:?} (signal {signal:?}) for {code}",
            self.status.code()
        ))
    }

    /// The JSON lines in the output file.
    pub(crate) fn report(&self) -> Result<Report, String> {
        Report::parse(&self.output).or_else(|error| self.fail(error))
    }

    /// A failure, with what there is to know about the run.
    pub(crate) fn fail<T>(&self, explanation: impl fmt::Display) -> Result<T, String> {
        let output = excerpt(&self.output);
        let stdout = excerpt(&self.stdout);
        Err(format!(
            "{explanation}\n$ {}\n--- standard error:\n{}--- standard output:\n{stdout}\
             --- output file:\n{output}",
            self.line, self.stderr
        ))
    }
}

/// The beginning and the end of something long.
fn excerpt(bytes: &[u8]) -> String {
    const HALF: usize = 1500;
    let text = String::from_utf8_lossy(bytes);
    if text.chars().count() <= 2 * HALF {
        return text.into_owned();
    }
    let head: String = text.chars().take(HALF).collect();
    let mut tail: Vec<char> = text.chars().rev().take(HALF).collect();
    tail.reverse();
    format!("{head}\n[…]\n{}", tail.into_iter().collect::<String>())
}

impl Tracer {
    /// Runs it with standard output on a terminal while `act` acts, and ends it by SIGTERM; returns
    /// what came to the terminal.
    pub(crate) fn on_terminal(
        mut self,
        terminal: OwnedFd,
        controller: File,
        act: impl FnOnce() -> Result<(), String>,
    ) -> Result<String, String> {
        self.command.stdout(terminal).stderr(Stdio::piped());
        let line = Shown(&self.command).to_string();
        let mut child = self
            .command
            .spawn()
            .map_err(|error| format!("{line}: {error}"))?;
        // Our copy of the terminal goes with the command: the controller then sees its end.
        drop(self);
        let stderr = Collected::default();
        let text = Collected::default();
        let reader = stderr.collect(child.stderr.take().expect("piped"));
        let watcher = text.collect(controller);
        let mut running = Running {
            child,
            line,
            output: None,
            stdout: Collected::default(),
            stderr,
            readers: vec![reader, watcher],
        };
        running.wait_attached()?;
        act()?;
        running.stop()?.expect_code(0)?;
        Ok(text.text())
    }
}
