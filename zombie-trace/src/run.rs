//! One run, from the command line to the exit status.

use std::{io, path::Path, process::ExitStatus};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

use crate::{
    cli::{Cli, ScopeArgs, TuningArgs},
    command::{self, Traced},
    destination::Destination,
    exit_code::ExitCode,
    filter::{Pid, TimeSpan},
    gate::Gates,
    kernel::{Cgroup, Config, Release, Scope, Tracer},
    notice::{self, say, warn},
    session::{Session, Trouble, pass_on, until},
    signals::{self, Inherited, Stop},
    sink::Start,
    source::{CgroupPaths, monotonic_now, wall_clock},
};

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
    let mut scope = scope(&cli.scope)?;
    if !cli.command.is_empty() {
        // A command is our own child, and all that it starts our descendants.
        scope.tree = Some(std::process::id());
    }
    let tracer = attach(scope, cli.filter.min, &cli.tuning, cli.quiet, cli.verbose)?;
    let (mut destination, output) = Destination::open(cli)?;
    let gates = Gates::open(&cli.fail_if, &cli.format)
        .with_context(|| format!("cannot open --format {}", cli.format))?;
    let start = start_line(cli, &tracer);
    let mut session = Session::begin(cli, tracer, output)?;
    if !cli.quiet {
        say(&format!("attached (backend {})", start.backend));
    }

    let mut traced = None;
    let mut outcome = session.start(&start).map(|()| None);
    if let Some(command) = cli.command.split_first() {
        match Traced::start(command, cli.user.as_ref(), inherited) {
            Ok(command) => traced = Some(command),
            Err(error) => {
                say(&format!("zombie-trace: {error}"));
                if let Err(error) = end_unbegun(cli, session, destination, &mut stops).await {
                    say(&format!("zombie-trace: {error:#}"));
                }
                return Ok(error.exit_code);
            }
        }
    }
    if outcome.is_ok() {
        outcome = destination.begin().map(|()| None).map_err(Trouble::Output);
    }
    let deadline = cli.duration.map(|limit| Instant::now() + limit.into());
    if outcome.is_ok() {
        outcome = session.follow(traced.as_mut(), &mut stops, deadline).await;
    }
    let mut ending = None;
    if let Ok(ended) = outcome {
        outcome = session.finish().await.map(|end| {
            ending = Some(end);
            ended
        });
    }
    // The command goes on whatever becomes of our output.
    let status = match (&outcome, &mut traced) {
        (Ok(status), _) => *status,
        (Err(_), Some(traced)) => Some(outlive(traced, &mut stops, deadline).await?),
        (Err(_), None) => None,
    };
    let mut trouble = outcome.err();
    if !matches!(trouble, Some(Trouble::Output(_)))
        && let Err(error) = destination.finish(&mut stops, session.is_stopped()).await
    {
        trouble.get_or_insert(Trouble::Output(error));
    }
    let mut failures: Vec<anyhow::Error> = Vec::new();
    match trouble {
        // A gate that nobody has judged must not look as if it had passed.
        Some(Trouble::Output(error))
            if error.kind() == io::ErrorKind::BrokenPipe && gates.is_empty() => {}
        Some(trouble) => failures.push(explained(trouble, &destination)),
        None => {}
    }
    let mut condition_holds = false;
    if let Some(ending) = &ending {
        let judged = gates.judge(|condition| condition.judge(&ending.figures));
        match judged.with_context(|| format!("cannot write to --format {}", cli.format)) {
            Ok(holds) => condition_holds = holds,
            Err(error) => failures.push(error),
        }
    }
    for error in &failures {
        say(&format!("zombie-trace: {error:#}"));
    }
    let code = status.map_or(ExitCode::Success, command::exit_code);
    Ok(match code.code() {
        0 if !failures.is_empty() => ExitCode::Error,
        0 if condition_holds => ExitCode::ConditionHolds,
        0 if cli.strict && ending.is_some_and(|ending| !ending.complete) => ExitCode::Incomplete,
        _ => code,
    })
}

fn explained(trouble: Trouble, destination: &Destination) -> anyhow::Error {
    match trouble {
        Trouble::Output(error) => {
            anyhow::Error::new(error).context(format!("cannot write to {}", destination.name()))
        }
        Trouble::Other(error) => error,
    }
}

/// The command can't be started: ends what has been written of the run, but replaces no file.
async fn end_unbegun(
    cli: &Cli,
    mut session: Session,
    mut destination: Destination,
    stops: &mut UnboundedReceiver<Stop>,
) -> anyhow::Result<()> {
    // On the terminal, a summary of nothing would only hide the error.
    let is_recording = cli.json || cli.output.is_some();
    let ended = match is_recording {
        true => session.finish().await.map(drop),
        false => Ok(()),
    };
    ended.map_err(|trouble| explained(trouble, &destination))?;
    let written = destination.finish(stops, session.is_stopped()).await;
    let kept = written.and_then(|()| destination.keep_old());
    kept.map_err(|error| explained(Trouble::Output(error), &destination))
}

/// Loads the hooks, and says why they are not the best ones, if so.
pub(crate) fn attach(
    scope: Scope,
    min: Option<TimeSpan>,
    tuning: &TuningArgs,
    quiet: bool,
    verbose: u8,
) -> anyhow::Result<Tracer> {
    let tracer = Tracer::start(&Config {
        backend: tuning.backend.forced(),
        btf: tuning.btf.clone(),
        scope,
        max_zombies: tuning.max_zombies,
        buffer: tuning.buffer.bytes(),
        min_zombie_ns: min.map_or(0, TimeSpan::as_nanos),
        debug: verbose > 1,
    })?;
    if !quiet && !tracer.refusals().is_empty() {
        say(&notice::fallback(tracer.backend(), tracer.refusals()));
    }
    Ok(tracer)
}

/// Our own output has failed: the command still gets its signals, and its time.
async fn outlive(
    traced: &mut Traced,
    stops: &mut UnboundedReceiver<Stop>,
    mut deadline: Option<Instant>,
) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = traced.wait() => return status.context("cannot wait for the command"),
            Some(stop) = stops.recv() => pass_on(traced, stop),
            () = until(deadline) => {
                deadline = None;
                traced.forward(Signal::SIGTERM);
            }
        }
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
        kernel: Release::running().as_str().to_owned(),
        backend: tracer.backend().name(),
        tracer_pid: std::process::id(),
        command: (!command.is_empty()).then_some(command),
    }
}

/// What the kernel side is told of which processes the run is about.
pub(crate) fn scope(args: &ScopeArgs) -> anyhow::Result<Scope> {
    let warn = |flag: &str, pid: Pid| {
        if !Path::new("/proc").join(pid.to_string()).exists() {
            warn(&format!(
                "{flag} {pid}: there is no such process now; waiting for it"
            ));
        }
        pid.get()
    };
    let cgroup = match &args.cgroup {
        Some(path) => {
            Some(Cgroup::from_path(path).with_context(|| format!("--cgroup {}", path.display()))?)
        }
        None => None,
    };
    let mut known = CgroupPaths::new();
    if !args.container.is_empty() {
        known.add_containers();
    }
    for wanted in &args.container {
        let mut paths = known.paths();
        if wanted.is_id_begin() && !paths.any(|path| wanted.matches_path(path)) {
            notice::warn(&format!(
                "--container {}: no cgroup v2 is of such a container now; waiting for one",
                wanted.as_str()
            ));
        }
    }
    Ok(Scope {
        pids: args.pid.iter().map(|pid| warn("--pid", *pid)).collect(),
        ppids: args.ppid.iter().map(|pid| warn("--ppid", *pid)).collect(),
        tree: args.tree.map(|pid| warn("--tree", pid)),
        cgroup,
        containers: args.container.clone(),
    })
}
