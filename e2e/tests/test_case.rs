//! A test, what it shares with others, and how it is run.
//!
//! On this machine each test is a process of its own, so that what a test traces below itself is
//! its own, and whatever it leaves behind ends with it. In a test kernel, where a test has the machine
//! to itself and every instruction counts, they run one after another in this process.

use std::{
    env,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, RwLock},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};

use crate::{Outcome, command::before_exec, context};

/// The name of the one test that this process is to run.
const CHOSEN: &str = "ZOMBIE_TRACE_E2E_CHOSEN";

const UNSHARE: &str = "/usr/bin/unshare";
const IP: &str = "/usr/sbin/ip";

/// A test that runs for longer hangs: the slowest takes a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);

/// How many of the slowest tests are printed.
const SLOWEST: usize = 10;

/// A test by name.
pub(crate) struct Test {
    pub(crate) name: String,
    /// Why it can't run here, if so.
    skip: Option<String>,
    /// Why no other test may run at the same time, if so.
    alone: Option<&'static str>,
    /// Options of unshare(1): what namespaces it has of its own.
    namespaces: &'static [&'static str],
    run: Box<dyn FnOnce() -> Outcome + Send>,
}

impl Test {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            skip: None,
            alone: None,
            namespaces: &[],
            run: Box::new(run),
        }
    }

    /// Not to be run, if there is a reason.
    pub(crate) fn unless(mut self, skip: Option<String>) -> Self {
        self.skip = self.skip.or(skip);
        self
    }

    /// Not to be run beside other tests, for this reason.
    pub(crate) fn alone(mut self, reason: &'static str) -> Self {
        self.alone = Some(reason);
        self
    }

    /// To be run where no other processes are seen than its own, in a pid namespace.
    pub(crate) fn in_pid_namespace(mut self) -> Self {
        if context::is_emulated() {
            return self;
        }
        self.namespaces = &["--pid", "--fork", "--mount-proc", "--kill-child"];
        self.unless(context::no_program(UNSHARE))
    }

    /// To be run where all ports are free, in a network namespace.
    pub(crate) fn in_network_namespace(mut self) -> Self {
        if context::is_emulated() {
            return self;
        }
        self.namespaces = &["--net"];
        self.unless(context::no_program(UNSHARE).or_else(|| context::no_program(IP)))
    }

    /// Left to `cargo xtask test --all`, for this reason.
    pub(crate) fn long(self, reason: &str) -> Self {
        let left_out = !context::is_long() && !context::is_emulated();
        self.unless(left_out.then(|| format!("{reason}: left to `cargo xtask test --all`")))
    }

    /// The reason why it is skipped, if it is.
    pub(crate) fn skipped(&self) -> Option<&str> {
        self.skip.as_deref()
    }

    /// For the test harness. Those that run alone are to be the last.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// What the harness is to run.
    pub(crate) fn into_trial(self, ignored: bool) -> Trial {
        let (name, alone) = (self.name.clone(), self.alone.is_some());
        let run = move || {
            if context::is_emulated() {
                (self.run)().map_err(Failed::from)
            } else {
                in_turn(&self.name, alone, self.namespaces)
            }
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    }
}

/// Whether this process is to run one test; the harness is another one.
pub(crate) fn is_one() -> bool {
    env::var_os(CHOSEN).is_some()
}

/// Runs the test that this process is for, if it is for one.
pub(crate) fn run_chosen(tests: Vec<Test>) -> Option<Outcome> {
    let name = env::var(CHOSEN).ok()?;
    let test = tests.into_iter().find(|test| test.name == name);
    Some(test.map_or_else(
        || Err(format!("there is no test {name}")),
        |test| (test.run)(),
    ))
}

/// Runs a test in a process of its own, beside others or alone.
fn in_turn(name: &str, alone: bool, namespaces: &[&str]) -> Result<(), Failed> {
    /// Read by what may run beside others, written by what may not.
    static TURN: RwLock<()> = RwLock::new(());
    let outcome = if alone {
        let _turn = TURN.write().expect("no thread panics with it");
        in_own_process(name, namespaces)
    } else {
        let _turn = TURN.read().expect("no thread panics with it");
        in_own_process(name, namespaces)
    };
    outcome.map_err(|explanation| {
        Failed::from(format!(
            "{explanation}\nrepeat with: cargo xtask e2e --exact {name}"
        ))
    })
}

fn in_own_process(name: &str, namespaces: &[&str]) -> Outcome {
    let start = Instant::now();
    let this = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = match namespaces {
        [] => Command::new(this),
        ["--net"] => {
            let mut command = Command::new(UNSHARE);
            let run = format!("{IP} link set lo up && exec \"$0\"");
            command.args(["--net", "sh", "-c", &run]).arg(this);
            command
        }
        namespaces => {
            let mut command = Command::new(UNSHARE);
            command.args(namespaces).arg(this);
            command
        }
    };
    command
        .env(CHOSEN, name)
        .envs(context::passed_on())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    before_exec(&mut command, || {
        // With the harness its tests end.
        // SAFETY: no pointers.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
    let mut child = command
        .spawn()
        .map_err(|error| format!("a process for {name}: {error}"))?;
    let stdout = context::Collected::default();
    let stderr = context::Collected::default();
    let readers = [
        stdout.collect(child.stdout.take().expect("piped")),
        stderr.collect(child.stderr.take().expect("piped")),
    ];
    let status = wait(&mut child, start + LIMIT);
    // What it has left behind holds the pipes.
    // SAFETY: no pointers. The group is the test's; where it is empty, this fails.
    unsafe { libc::kill(-child.id().cast_signed(), libc::SIGKILL) };
    let _ = child.wait();
    note_time(name, start.elapsed());
    let patience = Instant::now() + Duration::from_secs(10);
    while !readers.iter().all(thread::JoinHandle::is_finished) && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    let printed = stdout.text();
    match status {
        Some(status) if status.success() => {
            let _ = std::io::stdout().write_all(printed.as_bytes());
            Ok(())
        }
        status => Err(format!("{printed}{}{}", stderr.text(), ended(status))),
    }
}

fn ended(status: Option<ExitStatus>) -> String {
    match status {
        None => format!("hangs: killed after {LIMIT:?}"),
        Some(status) => match status.signal() {
            Some(signal) => format!("the test was killed by signal {signal}"),
            None => String::new(),
        },
    }
}

/// Its status, unless it still runs at that time.
fn wait(child: &mut std::process::Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

static TIMES: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

fn note_time(name: &str, time: Duration) {
    let mut times = TIMES.lock().expect("no thread panics with it");
    times.push((time, name.to_owned()));
}

/// Prints how long the slowest tests took.
pub(crate) fn print_slowest() {
    let mut times = TIMES.lock().expect("no thread panics with it");
    times.sort_by(|(one, _), (other, _)| other.cmp(one));
    if times.len() <= SLOWEST {
        return;
    }
    println!("slowest tests:");
    for (time, name) in times.iter().take(SLOWEST) {
        println!("{:>7.1} s  {name}", time.as_secs_f64());
    }
}
