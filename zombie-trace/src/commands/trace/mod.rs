//! One run, from the command line to the exit status.

mod args;

use std::{future::Future, io, pin::pin, process::ExitStatus, thread, time::Duration};

use anyhow::Context as _;
use tokio::{sync::oneshot, time::Instant};

pub use args::{RunArgs, TraceArgs};

use crate::{
    commands::gates::Gates,
    exit_code::ExitCode,
    filter::Filter,
    gate::Figures,
    kernel::{self, KernelScope, Tracer},
    model::{ScopeLine, Start},
    run::{
        attach,
        command::{self, Program, StartError, Terminal, Traced},
        destination::{Destination, WriteTarget},
        followed::Followed,
        host::ThisHost,
        live_line::LiveLine,
        notice,
        pipeline::{Ending, Pipeline},
        session::{Session, Trouble, until},
        signals::{self, Inherited, Signals},
        start,
    },
    sink::{self, Queue, Sink},
    stderr::{self, say},
    system::deadline::Deadline,
};
#[cfg(feature = "stacks")]
use crate::{
    kernel::{KernelError, StackPrograms},
    model::StackTotals,
    run::sampling::{self, StackSource},
};

/// What a run writes, and where.
pub(crate) struct Plan<'a> {
    /// What the run is about.
    pub(crate) args: &'a RunArgs,
    /// Which zombies are listed.
    pub(crate) filter: Filter,
    /// Where the output goes.
    pub(crate) target: WriteTarget,
    /// What is written to it.
    pub(crate) sink: sink::Options,
    /// How long an interval is, if there are any.
    pub(crate) interval: Option<Duration>,
    /// The output has an end even if COMMAND could not start.
    pub(crate) keeps_refused: bool,
    /// Where the summary is also shown as text.
    pub(crate) screen: Option<WriteTarget>,
    /// Says on the terminal how the run is going.
    pub(crate) live_line: Option<LiveLine>,
    /// Sees everything that the output sees, and before it.
    pub(crate) watcher: Option<Watcher>,
}

/// What shows a run while it goes on.
pub(crate) struct Watcher {
    pub(crate) sink: Box<dyn Sink + Send>,
    /// COMMAND's terminal, if the watcher shows it.
    pub(crate) terminal: Option<Terminal>,
    /// Living zombies are looked at from this age on.
    pub(crate) alive_after: Duration,
    /// As many of a parent's zombies are looked at at a time.
    pub(crate) most_of_a_parent: usize,
    /// How often the living are counted.
    pub(crate) every: Duration,
}

/// How a run ended.
pub(crate) struct Finished {
    pub(crate) code: ExitCode,
    /// The run has begun, and its output is whole.
    pub(crate) is_whole: bool,
}

/// Runs until Ctrl-C, for the asked time, or while the command does.
///
/// # Errors
/// No privileges, a kernel that can't be traced, an output that can't be written: each names what
/// is wrong and what to do.
pub fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        args: &args.run,
        filter: args.filter(),
        target: args.target(),
        sink: args.sink(),
        interval: args.interval.map(Into::into),
        keeps_refused: args.json || args.output.is_some(),
        screen: None,
        live_line: None,
        watcher: None,
    };
    Ok(perform(plan)?.code)
}

/// Carries out a run.
///
/// # Errors
/// As [`run`].
pub(crate) fn perform(plan: Plan<'_>) -> anyhow::Result<Finished> {
    kernel::check_limits()?;
    let inherited = Inherited::take().context("cannot set signals up")?;
    let signals = Signals::subscribe(&inherited).context("cannot set signals up")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(trace(plan, &inherited, signals))
}

async fn trace(
    mut plan: Plan<'_>,
    inherited: &Inherited,
    mut signals: Signals,
) -> anyhow::Result<Finished> {
    let args = plan.args;
    // Before anything else: a misspelled COMMAND must not cost the last run's recording.
    let program = match find_program(args) {
        Ok(program) => program,
        Err(error) => return Ok(Finished::before_it_began(refuse(&error))),
    };
    let shown = plan.watcher.as_mut().and_then(|it| it.terminal.take());
    let terminal = match shown {
        Some(shown) => Some(shown),
        None => open_terminal(args, &signals)?,
    };
    let mut scope = args.scope.resolve()?;
    if program.is_some() {
        // A command is our own child, and all that it starts our descendants.
        scope.tree = Some(std::process::id());
    }
    // The verifier may take its time: whoever does not want to wait for it gets away.
    let (tracer, programs) = tokio::select! {
        biased;
        stop = signals.stop(false) => return Ok(Finished::before_it_began(stop.exit_code())),
        attached = attach_aside(args, scope.clone())? => attached?,
    };
    let (mut destination, output) = Destination::open(&plan.target)?;
    let gates = Gates::open(&args.gates)?;
    let backend = tracer.backend();
    let start = start_line(&plan, &tracer);
    let live_line = plan.live_line.take();
    let source = source(args, &tracer, programs);
    let mut session = begin(&mut plan, tracer, &scope, output)?;
    session.warn_of_hidden();
    if !args.quiet {
        say(&notice::attached(backend));
    }
    session = sampling_from(session, source);

    if let Some(line) = live_line {
        session = session.observed_by(Box::new(move |so_far| line.show(so_far)));
    }
    let mut outcome = session.start(&start).map(|()| None);
    // `refused`: the exit status if COMMAND does not run.
    let (mut traced, mut refused) =
        match start_command(program, inherited, terminal.as_ref(), &mut signals) {
            Ok(traced) => (traced, None),
            Err(code) => (None, Some(code)),
        };
    if let Some(traced) = &traced {
        session.command_runs(traced.pid(), &args.command);
    }
    let deadline = args.duration.map(|limit| Instant::now() + limit.into());
    if outcome.is_ok() && refused.is_none() {
        let traced = traced.as_mut();
        outcome = follow(
            &mut session,
            &mut destination,
            traced,
            &mut signals,
            deadline,
        )
        .await;
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
        if refused.is_none() || plan.keeps_refused {
            outcome = session.finish(signals::is_urgent).await.map(|end| {
                ending = Some(end);
                ended
            });
        }
    }
    // The command goes on whatever becomes of our output.
    if let (None, Err(_), Some(traced)) = (status, &outcome, &mut traced) {
        status = Some(outlive(traced, &mut signals, deadline).await?);
    }
    let end = session.end();
    let mut trouble = write_out(
        &mut destination,
        &mut signals,
        end,
        outcome.err(),
        refused.is_some(),
    )
    .await;
    let ending = ending.filter(|_| refused.is_none());
    let is_whole = ending.is_some() && trouble.is_none();
    if let (Some(target), Some(ending)) = (&plan.screen, &ending) {
        let shown = show_summary(target, args, ending, &mut signals, end).await;
        trouble = trouble.or(shown.err().map(Trouble::Other));
    }
    let code = refused.unwrap_or_else(|| status.map_or(ExitCode::Success, command::exit_code));
    Ok(Finished {
        code: conclude(args, gates, &destination, trouble, ending, code),
        is_whole,
    })
}

impl Finished {
    fn before_it_began(code: ExitCode) -> Self {
        Self {
            code,
            is_whole: false,
        }
    }
}

/// The terminal that COMMAND gets from `--user`, if one is needed.
fn open_terminal(args: &RunArgs, signals: &Signals) -> anyhow::Result<Option<Terminal>> {
    let Some(user) = &args.user else {
        return Ok(None);
    };
    Terminal::open(user, signals.sender()).context("--user: cannot make a terminal for COMMAND")
}

/// Follows the run to its end. Gives the status of COMMAND, if there is one.
async fn follow(
    session: &mut Session,
    destination: &mut Destination,
    traced: Option<&mut Traced>,
    signals: &mut Signals,
    deadline: Option<Instant>,
) -> Result<Option<ExitStatus>, Trouble> {
    let begun = executed(traced.as_deref());
    let mut followed = Followed { traced, signals };
    let follow = session.follow(&mut followed, deadline);
    let outcome = replacing(destination, begun, follow).await;
    session.end_observation();
    outcome
}

/// Shows the summary of a run whose output is no text. Nobody has to read it.
async fn show_summary(
    target: &WriteTarget,
    args: &RunArgs,
    ending: &Ending,
    signals: &mut Signals,
    end: Option<Deadline>,
) -> anyhow::Result<()> {
    let (screen, queue) = Destination::open(target)?;
    let options = sink::Options {
        summary_only: true,
        color: args.color.when,
        error_ns: ending.error_ns,
        ..sink::Options::default()
    };
    let mut text = sink::new(options, queue);
    let written = match write_ending(&mut *text, ending) {
        Ok(()) => screen.finish(signals, end).await,
        failed => failed,
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.with_context(|| format!("cannot write to {}", screen.name())),
    }
}

/// Writes what a run came to.
fn write_ending(text: &mut dyn Sink, ending: &Ending) -> io::Result<()> {
    for dying in &ending.dying {
        text.dying(dying)?;
    }
    for alive in &ending.leader_ended {
        text.alive(alive)?;
    }
    if let Some(sampled) = &ending.sampled {
        text.doing(&sampled.stacks, &sampled.doing)?;
    }
    text.summary(&ending.summary)?;
    text.running(&ending.running)?;
    text.end()
}

/// Starts COMMAND, unless somebody has said stop. An error is the exit status.
fn start_command(
    program: Option<Program>,
    inherited: &Inherited,
    terminal: Option<&Terminal>,
    signals: &mut Signals,
) -> Result<Option<Traced>, ExitCode> {
    let Some(program) = program else {
        return Ok(None);
    };
    if let Some(stop) = signals.stopped(false) {
        return Err(stop.exit_code());
    }
    let traced = Traced::start(program, inherited, terminal).map_err(|error| refuse(&error))?;
    if let Some(terminal) = terminal {
        terminal.engage();
    }
    Ok(Some(traced))
}

/// Writes the output to its end. Gives what went wrong first.
async fn write_out(
    destination: &mut Destination,
    signals: &mut Signals,
    end: Option<Deadline>,
    trouble: Option<Trouble>,
    is_refused: bool,
) -> Option<Trouble> {
    if matches!(trouble, Some(Trouble::Output(_))) {
        return trouble;
    }
    let mut written = destination.finish(signals, end).await;
    if is_refused {
        written = written.and_then(|()| destination.keep_old());
    }
    trouble.or(written.err().map(Trouble::Output))
}

/// Judges the run, says what went wrong, and gives the exit status.
fn conclude(
    args: &RunArgs,
    gates: Gates,
    destination: &Destination,
    trouble: Option<Trouble>,
    ending: Option<Ending>,
    code: ExitCode,
) -> ExitCode {
    let mut failures: Vec<anyhow::Error> = Vec::new();
    match trouble {
        // A gate that nobody has judged must not look as if it had passed.
        Some(Trouble::Output(error))
            if error.kind() == io::ErrorKind::BrokenPipe && gates.is_empty() => {}
        Some(trouble) => failures.push(explained(trouble, destination)),
        None => {}
    }
    let mut condition_holds = false;
    if let Some(ending) = &ending {
        let figures = Figures {
            times: Some(ending.times.clone()),
            ..Figures::new(&ending.summary)
        };
        match gates.judge(ending.error_ns, |condition| condition.judge(&figures)) {
            Ok(holds) => condition_holds = holds,
            Err(error) => failures.push(error),
        }
    }
    for error in &failures {
        stderr::fail(error);
    }
    match code.code() {
        0 if !failures.is_empty() => ExitCode::Error,
        0 if condition_holds => ExitCode::ConditionHolds,
        0 if args.strict && ending.is_some_and(|ending| !ending.complete) => ExitCode::Incomplete,
        _ => code,
    }
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

/// In their place where there is no `--stacks`.
#[cfg(not(feature = "stacks"))]
struct NoStacks;

/// The programs that copy stacks, if they were asked for.
#[cfg(feature = "stacks")]
type Programs = Option<Result<StackPrograms, KernelError>>;
#[cfg(not(feature = "stacks"))]
type Programs = NoStacks;

/// What samples, if that was asked for.
#[cfg(feature = "stacks")]
type Source = Option<(StackTotals, anyhow::Result<Box<dyn StackSource>>)>;
#[cfg(not(feature = "stacks"))]
type Source = NoStacks;

#[cfg(feature = "stacks")]
fn source(args: &RunArgs, tracer: &Tracer, programs: Programs) -> Source {
    let (options, programs) = args.stacks.options().zip(programs)?;
    let totals = options.totals();
    let start =
        |programs| sampling::start(tracer, programs, totals).context("cannot start the sampler");
    let source = programs.map_err(anyhow::Error::from).and_then(start);
    Some((totals, source))
}

#[cfg(not(feature = "stacks"))]
fn source(_: &RunArgs, _: &Tracer, programs: Programs) -> Source {
    programs
}

#[cfg(feature = "stacks")]
fn sampling_from(session: Session, source: Source) -> Session {
    match source {
        Some((totals, source)) => session.sampling(totals, source),
        None => session,
    }
}

#[cfg(not(feature = "stacks"))]
fn sampling_from(session: Session, NoStacks: Source) -> Session {
    session
}

/// As [`attach`], in a thread of its own, and the programs that copy stacks.
fn attach_aside(
    args: &RunArgs,
    scope: KernelScope,
) -> anyhow::Result<impl Future<Output = anyhow::Result<(Tracer, Programs)>> + use<>> {
    let config = args.tuning.config(scope, args.verbose > 1);
    let explain = !args.quiet && args.verbose > 0;
    #[cfg(feature = "stacks")]
    let copies_stacks = args.stacks.options().is_some();
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("attach".into())
        .spawn(move || {
            // If nobody receives it any more, the program is about to end.
            let _ = sender.send(attach(&config, explain).map(|tracer| {
                #[cfg(feature = "stacks")]
                let programs = copies_stacks.then(|| StackPrograms::load(config.btf.as_deref()));
                #[cfg(not(feature = "stacks"))]
                let programs = NoStacks;
                (tracer, programs)
            }));
        })
        .context("cannot start a thread")?;
    Ok(async { receiver.await.context("loading has failed")? })
}

/// Takes in what there was before the hooks.
fn begin(
    plan: &mut Plan<'_>,
    tracer: Tracer,
    scope: &KernelScope,
    output: Queue,
) -> anyhow::Result<Session> {
    let mut sink = sink::new(plan.sink, output);
    let error_ns = tracer.backend().error_ns();
    let mut alive_after = plan.args.alive_after.into();
    let mut every: Duration = alive_after;
    let mut most_of_a_parent = usize::MAX;
    if let Some(watcher) = plan.watcher.take() {
        sink = Box::new(sink::Watched::new(watcher.sink, sink));
        alive_after = watcher.alive_after;
        every = watcher.every * 10;
        most_of_a_parent = watcher.most_of_a_parent;
    }
    let mut pipeline = Pipeline::new(
        error_ns,
        u64::try_from(alive_after.as_nanos()).unwrap_or(u64::MAX),
        plan.filter.clone(),
        sink,
        Box::new(ThisHost::new()),
    );
    pipeline = pipeline.reporting_few(most_of_a_parent);
    if plan.interval.is_some() {
        pipeline = pipeline.with_intervals();
    }
    let mut session = Session::new(pipeline, tracer, notice::warnings())?
        .about(scope)?
        .looking_after(every);
    if let Some(interval) = plan.interval {
        session = session.with_intervals(interval);
    }
    if matches!(plan.target, WriteTarget::Stdout | WriteTarget::SharedStdout) {
        session = session.writing_to(io::stdout());
    }
    Ok(session)
}

fn find_program(args: &RunArgs) -> Result<Option<Program>, StartError> {
    let command = args.command.split_first();
    command
        .map(|(name, rest)| Program::find(name, rest, args.user.as_ref()))
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

fn start_line(plan: &Plan<'_>, tracer: &Tracer) -> Start {
    let args = plan.args;
    let words = args.command.iter();
    let command: Vec<_> = words
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let scope = ScopeLine {
        command: !command.is_empty(),
        ..args.scope.line()
    };
    let command = (!command.is_empty()).then_some(command);
    start::line(tracer.backend(), command, scope, plan.filter.line())
}
