//! One run: hooks live, the loop, the end.

use std::{
    future::pending,
    io::{self, Stdout, Write as _},
    os::fd::AsFd as _,
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{self, Instant, MissedTickBehavior},
};

use crate::{
    accounts::{self, Remains},
    aggregate::Lost,
    cli::Cli,
    command::{self, Traced},
    exit_code::ExitCode,
    filter::Pid,
    kernel::{self, Cgroup, Config, KernelError, Scope, Tracer},
    lifecycle::RunQueueClocks,
    pipeline::Pipeline,
    signals::{self, Inherited, Stop},
    sink::{self, Output, Start},
    source::{RecordSource, monotonic_now, wall_clock},
};

/// How often the ring buffer is looked at when the kernel side does not say that it fills up.
const TICK: Duration = Duration::from_millis(100);

/// How many ticks apart losses are looked for.
const LOSS_TICKS: u32 = 5;

/// So many records at a time, so that signals are seen under any load.
const BATCH: usize = 8192;

/// How long to wait for the kernel to free what it has released, which tells of the last ends.
/// An RCU grace period is some tens of ms.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C, for the asked time, or while the command does.
///
/// # Errors
/// No privileges, a kernel that can't be traced, an output that can't be written: each names what
/// is wrong and what to do.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let inherited = Inherited::take().context("cannot set signals up")?;
    let stops = signals::subscribe(&inherited).context("cannot set signals up")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(trace(cli, &inherited, stops))
}

async fn trace(
    cli: &Cli,
    inherited: &Inherited,
    mut stops: UnboundedReceiver<Stop>,
) -> anyhow::Result<ExitCode> {
    let config = Config {
        scope: scope(cli)?,
        max_zombies: cli.max_zombies,
        buffer: cli.buffer.bytes(),
        min_zombie_ns: cli.min.map_or(0, |min| min.as_nanos()),
        debug: cli.verbose > 1,
    };
    let tracer = Tracer::start(&config)?;
    // Not before: a run that can't begin must not empty the last one's file.
    let output = open_output(cli)?;
    let mut session = Session::begin(cli, tracer, output)?;
    if !cli.quiet {
        say(&format!("attached (backend {})", session.tracer.backend()));
    }

    let mut traced = None;
    let mut outcome = session
        .start(&start_line(cli, &session.tracer))
        .map(|()| None);
    if let Some(command) = cli.command.split_first() {
        match Traced::start(command, cli.user.as_ref(), inherited) {
            Ok(command) => traced = Some(command),
            Err(error) => {
                say(&format!("zombie-trace: {error}"));
                return Ok(error.exit_code);
            }
        }
    }
    if outcome.is_ok() {
        let deadline = cli.duration.map(|limit| Instant::now() + limit.into());
        outcome = session.follow(traced.as_mut(), &mut stops, deadline).await;
    }
    if let Ok(ended) = outcome {
        outcome = session.finish().await.map(|()| ended);
    }
    // The command goes on whatever becomes of our output.
    let status = match (&outcome, &mut traced) {
        (Ok(status), _) => *status,
        (Err(_), Some(traced)) => Some(outlive(traced, &mut stops).await?),
        (Err(_), None) => None,
    };
    match outcome {
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Trouble::Output(error)) => {
            return Err(error).with_context(|| format!("cannot write to {}", output_name(cli)));
        }
        Err(Trouble::Other(error)) => return Err(error),
        Ok(_) => {}
    }
    Ok(status.map_or(ExitCode::Success, command::exit_code))
}

/// Why a run ends before its time.
enum Trouble {
    /// The output can't be written.
    Output(io::Error),
    Other(anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<KernelError> for Trouble {
    fn from(error: KernelError) -> Self {
        Self::Other(error.into())
    }
}

/// What lives as long as a run.
struct Session {
    tracer: Tracer,
    source: RecordSource,
    pipeline: Pipeline,
    /// Our standard output, if what we write goes there.
    stdout: Option<Stdout>,
}

impl Session {
    fn begin(cli: &Cli, mut tracer: Tracer, output: Output) -> anyhow::Result<Self> {
        let source = RecordSource::new(tracer.take_ring_buffer()?)
            .context("cannot wait for the ring buffer")?;
        let sink = sink::new(cli.sink(), output);
        let mut pipeline = Pipeline::new(tracer.error_ns(), cli.filter(), sink);
        let entries = tracer.adopt()?;
        let mut cpus: Vec<_> = entries.iter().map(|entry| entry.cpu).collect();
        cpus.sort_unstable();
        cpus.dedup();
        let clocks = RunQueueClocks::new(&tracer.sample_clocks(cpus)?);
        pipeline.adopt(&entries, &clocks);
        let to_stdout = cli.output.is_none() && cli.command.is_empty();
        Ok(Self {
            tracer,
            source,
            pipeline,
            stdout: to_stdout.then(io::stdout),
        })
    }

    fn start(&mut self, start: &Start) -> Result<(), Trouble> {
        Ok(self.pipeline.start(start)?)
    }

    /// Lists what ends, until the command ends or somebody says stop. Gives the command's status.
    async fn follow(
        &mut self,
        mut traced: Option<&mut Traced>,
        stops: &mut UnboundedReceiver<Stop>,
        deadline: Option<Instant>,
    ) -> Result<Option<ExitStatus>, Trouble> {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks: u32 = 0;
        let mut deadline = deadline;
        loop {
            tokio::select! {
                filled = self.source.filled() => {
                    filled.context("cannot wait for the ring buffer")?;
                    self.drain()?;
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.drain()?;
                    self.tracer.flush_log();
                    if ticks.is_multiple_of(LOSS_TICKS) {
                        self.report_loss()?;
                    }
                    self.check_reader()?;
                }
                Some(stop) = stops.recv() => match &traced {
                    Some(traced) => pass_on(traced, stop),
                    None => return Ok(None),
                },
                () = until(deadline) => match &traced {
                    Some(traced) => {
                        deadline = None;
                        traced.forward(Signal::SIGTERM);
                    }
                    None => return Ok(None),
                },
                status = ended(&mut traced) => {
                    return Ok(Some(status.context("cannot wait for the command")?));
                }
            }
        }
    }

    /// Takes in what the ring buffer holds.
    fn drain(&mut self) -> Result<(), Trouble> {
        self.pipeline.begin_batch();
        for _ in 0..BATCH {
            match self.source.take() {
                Some(record) => {
                    let record = record.context("the kernel side is not the one we started")?;
                    self.pipeline.record(&record)?;
                }
                None => break,
            }
        }
        Ok(self.pipeline.end_batch()?)
    }

    fn report_loss(&mut self) -> Result<(), Trouble> {
        let counters = self.tracer.counters()?;
        let missed = self.tracer.missed_exits();
        if let Some(lost) = self.pipeline.loss(&counters, missed)? {
            warn_of_loss(&lost);
        }
        Ok(())
    }

    /// Somebody who reads the first lines only must not have to wait for the next zombie.
    fn check_reader(&self) -> Result<(), Trouble> {
        let Some(stdout) = &self.stdout else {
            return Ok(());
        };
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let hung_up = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            && fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR));
        if hung_up {
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        } else {
            Ok(())
        }
    }

    /// The end: what has happened until now is waited for, listed and summed up.
    async fn finish(&mut self) -> Result<(), Trouble> {
        let remains = self.settle().await?;
        self.drain()?;
        self.tracer.flush_log();
        if let Some(lost) = self.pipeline.finish(&remains)? {
            warn_of_loss(&lost);
        }
        Ok(())
    }

    /// Waits until every process that was released has been told of.
    async fn settle(&mut self) -> Result<Remains, Trouble> {
        const POLL: Duration = Duration::from_millis(5);
        self.tracer.stop_exits()?;
        let deadline = Instant::now() + SETTLE;
        loop {
            self.drain()?;
            let before = self.tracer.counters()?;
            let mut existing = self.tracer.list()?;
            existing.retain(|entry| accounts::has_ended(&entry.record));
            let counters = self.tracer.counters()?;
            let unsettled = accounts::known(&counters) > existing.len() as u64;
            let late = Instant::now() >= deadline;
            if before == counters && (late || !unsettled) {
                let mut released = Vec::new();
                if unsettled {
                    let records = self.tracer.states()?.into_iter().map(|state| state.record);
                    released = accounts::released_among(records, &existing);
                }
                let missed_exits = self.tracer.missed_exits();
                return Ok(Remains {
                    existing,
                    released,
                    counters,
                    missed_exits,
                });
            }
            time::sleep(POLL).await;
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn ended(traced: &mut Option<&mut Traced>) -> io::Result<ExitStatus> {
    match traced {
        Some(traced) => traced.wait().await,
        None => pending().await,
    }
}

/// Our own output has failed: the command still gets its signals, and its time.
async fn outlive(
    traced: &mut Traced,
    stops: &mut UnboundedReceiver<Stop>,
) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = traced.wait() => return status.context("cannot wait for the command"),
            Some(stop) = stops.recv() => pass_on(traced, stop),
        }
    }
}

/// The terminal signals the whole foreground: the command has got it already.
fn pass_on(traced: &Traced, stop: Stop) {
    if !stop.from_terminal {
        traced.forward(stop.signal);
    }
}

fn start_line(cli: &Cli, tracer: &Tracer) -> Start {
    let command: Vec<_> = cli
        .command
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    Start {
        ts: wall_clock().timestamp(monotonic_now()),
        version: env!("CARGO_PKG_VERSION"),
        kernel: kernel::release(),
        backend: tracer.backend(),
        tracer_pid: std::process::id(),
        command: (!command.is_empty()).then_some(command),
    }
}

fn scope(cli: &Cli) -> anyhow::Result<Scope> {
    let warn = |flag: &str, pid: Pid| {
        if !Path::new("/proc").join(pid.to_string()).exists() {
            warn(&format!(
                "{flag} {pid}: there is no such process now; waiting for it"
            ));
        }
        pid.get()
    };
    let cgroup = match &cli.cgroup {
        Some(path) => {
            Some(Cgroup::from_path(path).with_context(|| format!("--cgroup {}", path.display()))?)
        }
        None => None,
    };
    let tree = cli.tree.map(|pid| warn("--tree", pid));
    Ok(Scope {
        pids: cli.pid.iter().map(|pid| warn("--pid", *pid)).collect(),
        ppids: cli.ppid.iter().map(|pid| warn("--ppid", *pid)).collect(),
        // A command is our own child, and all that it starts our descendants.
        tree: if cli.command.is_empty() {
            tree
        } else {
            Some(std::process::id())
        },
        cgroup,
    })
}

fn open_output(cli: &Cli) -> anyhow::Result<Output> {
    match &cli.output {
        Some(path) => Output::create(path),
        None if cli.command.is_empty() => Output::stdout(),
        None => Output::stderr(),
    }
    .with_context(|| format!("cannot open {}", output_name(cli)))
}

fn output_name(cli: &Cli) -> String {
    match &cli.output {
        Some(path) => format!("--output {}", path.display()),
        None if cli.command.is_empty() => "standard output".to_owned(),
        None => "standard error".to_owned(),
    }
}

fn warn_of_loss(lost: &Lost) {
    let Lost {
        ring_full,
        map_full,
        missed,
    } = lost;
    let mut advice = Vec::new();
    if *ring_full > 0 {
        advice.push(format!(
            "{ring_full} records: the ring buffer was full, raise --buffer"
        ));
    }
    if *map_full > 0 {
        advice.push(format!(
            "{map_full} processes: too many at once, raise --max-zombies"
        ));
    }
    if *missed > 0 {
        advice.push(format!("{missed} processes: missed by the hooks"));
    }
    warn(&format!("lost {}", advice.join("; ")));
}

fn warn(text: &str) {
    say(&format!("zombie-trace: warning: {text}"));
}

/// On stderr; that nobody reads it is no reason to end.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
