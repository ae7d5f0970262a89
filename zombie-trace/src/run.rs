//! One run, from the command line to the exit status.

use std::{future::Future, io, pin::pin, process::ExitStatus, thread};

use anyhow::Context as _;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cli::{Cli, ScopeArgs, TuningArgs},
    command::{self, Program, StartError, Terminal, Traced},
    destination::Destination,
    exit_code::ExitCode,
    filter::{Pid, TimeSpan},
    gate::Gates,
    kernel::{self, Cgroup, Config, Release, Scope, Tracer},
    notice::{self, say, warn},
    session::{Session, Trouble, until},
    signals::{Inherited, Signals},
    sink::{self, Start},
    source::{CgroupPaths, monotonic_now, proc, wall_clock},
};

/// Runs until Ctrl-C, for the asked time, or while the command does.
///
/// # Errors
/// No privileges, a kernel that can't be traced, an output that can't be written: each names what
/// is wrong and what to do.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    kernel::check_limits()?;
    let inherited = Inherited::take().context("cannot set signals up")?;
    let signals = Signals::subscribe(&inherited).context("cannot set signals up")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(trace(cli, &inherited, signals))
}

async fn trace(cli: &Cli, inherited: &Inherited, mut signals: Signals) -> anyhow::Result<ExitCode> {
    // Before anything else: a misspelled COMMAND must not cost the last run's recording.
    let program = match find_program(cli) {
        Ok(program) => program,
        Err(error) => return Ok(refuse(&error)),
    };
    let terminal = match &cli.user {
        Some(user) => Terminal::open(user, signals.sender())
            .context("--user: cannot make a terminal for COMMAND")?,
        None => None,
    };
    let mut scope = scope(&cli.scope)?;
    if program.is_some() {
        // A command is our own child, and all that it starts our descendants.
        scope.tree = Some(std::process::id());
    }
    // The verifier may take its time: whoever does not want to wait for it gets away.
    let tracer = tokio::select! {
        biased;
        stop = signals.stop(false) => return Ok(stop.exit_code()),
        tracer = attach_aside(cli, scope)? => tracer?,
    };
    let (mut destination, output) = Destination::open(cli)?;
    let gates = Gates::open(&cli.fail_if, &cli.format)
        .with_context(|| format!("cannot open --format {}", cli.format))?;
    let backend = tracer.backend();
    let start = start_line(cli, &tracer);
    let mut session = Session::begin(cli, tracer, output)?;
    session.warn_of_hidden();
    if !cli.quiet {
        say(&notice::attached(backend));
    }

    let mut traced = None;
    let mut outcome = session.start(&start).map(|()| None);
    // Why COMMAND does not run, if so.
    let mut refused = None;
    if let Some(program) = program {
        if let Some(stop) = signals.stopped(false) {
            refused = Some(stop.exit_code());
        } else {
            match Traced::start(program, inherited, terminal.as_ref()) {
                Ok(command) => traced = Some(command),
                Err(error) => refused = Some(refuse(&error)),
            }
        }
    }
    if let (Some(terminal), Some(_)) = (&terminal, &traced) {
        terminal.engage();
    }
    let deadline = cli.duration.map(|limit| Instant::now() + limit.into());
    if outcome.is_ok() && refused.is_none() {
        let begun = executed(traced.as_ref());
        let follow = session.follow(traced.as_mut(), &mut signals, deadline);
        outcome = replacing(&mut destination, begun, follow).await;
    }
    if let Some(error) = traced.as_ref().and_then(Traced::start_error) {
        refused = Some(refuse(&error));
    }
    if let (Ok(_), None) = (&outcome, &refused)
        && let Err(error) = destination.begin()
    {
        outcome = Err(Trouble::Output(error));
    }
    let mut status = outcome.as_ref().ok().copied().flatten();
    let mut ending = None;
    if let Ok(ended) = outcome {
        if let Some(terminal) = &terminal {
            terminal.release();
        }
        // On the terminal, a summary of nothing would only hide why COMMAND does not run.
        if refused.is_none() || cli.json || cli.output.is_some() {
            outcome = session.finish().await.map(|end| {
                ending = Some(end);
                ended
            });
        }
    }
    // The command goes on whatever becomes of our output.
    if let (None, Err(_), Some(traced)) = (status, &outcome, &mut traced) {
        status = Some(outlive(traced, &mut signals, deadline).await?);
    }
    let mut trouble = outcome.err();
    if !matches!(trouble, Some(Trouble::Output(_))) {
        let mut written = destination.finish(&mut signals, session.end()).await;
        if refused.is_some() {
            written = written.and_then(|()| destination.keep_old());
        }
        if let Err(error) = written {
            trouble.get_or_insert(Trouble::Output(error));
        }
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
    if let (Some(ending), None) = (&ending, &refused) {
        let judged = gates.judge(|condition| condition.judge(&ending.figures));
        match judged.with_context(|| format!("cannot write to --format {}", cli.format)) {
            Ok(holds) => condition_holds = holds,
            Err(error) => failures.push(error),
        }
    }
    for error in &failures {
        notice::fail(error);
    }
    let code = refused.unwrap_or_else(|| status.map_or(ExitCode::Success, command::exit_code));
    Ok(match code.code() {
        0 if !failures.is_empty() => ExitCode::Error,
        0 if condition_holds => ExitCode::ConditionHolds,
        0 if cli.strict && ending.is_some_and(|ending| !ending.complete) => ExitCode::Incomplete,
        _ => code,
    })
}

/// Waits until COMMAND is executed; not at all if there is none.
fn executed(traced: Option<&Traced>) -> impl Future<Output = bool> + use<> {
    let executed = traced.map(Traced::executed);
    async {
        match executed {
            Some(executed) => executed.await,
            None => true,
        }
    }
}

/// Follows the run. Its file replaces an old one as soon as the run has `begun`.
async fn replacing<T>(
    destination: &mut Destination,
    begun: impl Future<Output = bool>,
    follow: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let (mut begun, mut follow) = (pin!(begun), pin!(follow));
    tokio::select! {
        biased;
        true = &mut begun => destination.begin().map_err(Trouble::Output)?,
        outcome = &mut follow => return outcome,
    }
    follow.await
}

fn explained(trouble: Trouble, destination: &Destination) -> anyhow::Error {
    match trouble {
        Trouble::Output(error) => {
            anyhow::Error::new(error).context(format!("cannot write to {}", destination.name()))
        }
        Trouble::Other(error) => error,
    }
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
    // Otherwise `doctor` says it.
    if !quiet && verbose > 0 && !tracer.refusals().is_empty() {
        say(&notice::fallback(tracer.backend(), tracer.refusals()));
    }
    Ok(tracer)
}

/// As [`attach`], in a thread of its own.
fn attach_aside(
    cli: &Cli,
    scope: Scope,
) -> anyhow::Result<impl Future<Output = anyhow::Result<Tracer>> + use<>> {
    let (min, tuning) = (cli.filter.min, cli.tuning.clone());
    let (quiet, verbose) = (cli.quiet, cli.verbose);
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("attach".into())
        .spawn(move || {
            // If nobody receives it any more, the program is about to end.
            let _ = sender.send(attach(scope, min, &tuning, quiet, verbose));
        })
        .context("cannot start a thread")?;
    Ok(async { receiver.await.context("loading has failed")? })
}

fn find_program(cli: &Cli) -> Result<Option<Program>, StartError> {
    let command = cli.command.split_first();
    command
        .map(|(name, args)| Program::find(name, args, cli.user.as_ref()))
        .transpose()
}

fn refuse(error: &StartError) -> ExitCode {
    say(&format!("zombie-trace: {error}"));
    error.exit_code
}

/// Our own output has failed: the command still gets its signals, and its time.
async fn outlive(
    traced: &mut Traced,
    signals: &mut Signals,
    mut deadline: Option<Instant>,
) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = traced.wait() => return status.context("cannot wait for the command"),
            received = signals.recv() => traced.receive(received),
            () = until(deadline) => {
                deadline = None;
                traced.terminate();
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
        if !proc::exists(pid.get()) {
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
