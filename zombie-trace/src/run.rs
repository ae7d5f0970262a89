//! One run, from the command line to the exit status.

use std::{io, path::Path, process::ExitStatus};

use anyhow::Context as _;
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

use crate::{
    cli::{Cli, ScopeArgs, TuningArgs},
    command::{self, Traced},
    exit_code::ExitCode,
    filter::{Pid, TimeSpan},
    gate::Gates,
    kernel::{Cgroup, Config, Release, Scope, Tracer},
    notice::{self, say, warn},
    session::{Session, Trouble, pass_on},
    signals::{self, Inherited, Stop},
    sink::{self, Output, Start},
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
    // Not before: a run that can't begin must not empty the last one's file.
    let output = open_output(cli)?;
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
                return Ok(error.exit_code);
            }
        }
    }
    if outcome.is_ok() {
        let deadline = cli.duration.map(|limit| Instant::now() + limit.into());
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
        (Err(_), Some(traced)) => Some(outlive(traced, &mut stops).await?),
        (Err(_), None) => None,
    };
    match outcome {
        // A gate that nobody has judged must not look as if it had passed.
        Err(Trouble::Output(error))
            if error.kind() == io::ErrorKind::BrokenPipe && gates.is_empty() => {}
        Err(Trouble::Output(error)) => {
            return Err(error).with_context(|| format!("cannot write to {}", output_name(cli)));
        }
        Err(Trouble::Other(error)) => return Err(error),
        Ok(_) => {}
    }
    let code = status.map_or(ExitCode::Success, command::exit_code);
    let Some(ending) = ending else {
        return Ok(code);
    };
    let failed = gates
        .judge(|condition| condition.judge(&ending.figures))
        .with_context(|| format!("cannot write to --format {}", cli.format))?;
    Ok(match code.code() {
        0 if failed => ExitCode::ConditionHolds,
        0 if cli.strict && !ending.complete => ExitCode::Incomplete,
        _ => code,
    })
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
) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = traced.wait() => return status.context("cannot wait for the command"),
            Some(stop) = stops.recv() => pass_on(traced, stop),
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
        Some(path) => Some(
            Cgroup::from_path(path).with_context(|| format!("--cgroup {}", sink::path(path)))?,
        ),
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
        Some(path) => format!("--output {}", sink::path(path)),
        None if cli.command.is_empty() => "standard output".to_owned(),
        None => "standard error".to_owned(),
    }
}
