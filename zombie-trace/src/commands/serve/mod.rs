//! `zombie-trace serve`: figures for Prometheus and OpenTelemetry.

mod accept;
mod args;
mod collector;
mod connections;
mod pages;
mod privileges;
mod push;
mod resolver;
mod sandbox;
mod server;

use std::{
    env,
    future::pending,
    io,
    net::{IpAddr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::LocalSet,
    time::timeout,
};

use self::{collector::Collector, pages::Pages, resolver::Resolver};
pub use args::{CollectorChoice, ServeArgs};

use crate::{
    exit_code::ExitCode,
    filter::Filter,
    kernel::{self, Backend},
    metrics::{CAUSE_AFTER, Settings, Totals},
    run::{
        attach,
        followed::Followed,
        host::ThisHost,
        notice,
        pipeline::Pipeline,
        session::{Session, Trouble},
        signals::{Inherited, Signals},
    },
    sink::Metrics,
    stderr::say,
    system::{monotonic_now, wall_clock},
};

/// How long the last push may take.
const LAST_PUSH: Duration = Duration::from_secs(3);

/// Traces and serves until a signal says stop.
///
/// # Errors
/// As those of a run; an address that is in use, and a wrong environment variable.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    kernel::check_limits()?;
    let inherited = Inherited::take().context("cannot set signals up")?;
    let collector = args.otlp.as_ref().map(|option| {
        Collector::new(option, |name| {
            env::var(name).ok().filter(|value| !value.is_empty())
        })
    });
    let collector = collector.transpose()?;
    let listener = listen(args).with_context(|| format!("--listen {}", args.listen))?;
    let address = listener.local_addr().context("cannot listen")?;

    let runtime = event_loop()?;
    let exponential = collector.as_ref().is_some_and(|it| it.exponential);
    let (mut session, metrics, backend) = runtime.block_on(async { begin(args, exponential) })?;
    session.close_maps();
    privileges::give_up(args.user.as_ref())?;
    let port = collector.as_ref().map(|collector| collector.port());
    sandbox::enter(port, args.quiet)?;
    let mut signals = Signals::subscribe(&inherited).context("cannot set signals up")?;
    let exporter = Exporter::start(listener, collector, metrics)?;
    if !args.quiet {
        say(&notice::attached(backend));
        say(&format!("serving http://{address}/metrics"));
    }
    let outcome = runtime.block_on(async {
        let mut followed = Followed {
            traced: None,
            signals: &mut signals,
        };
        session.follow(&mut followed, None).await?;
        session.catch_up()
    });
    exporter.stop();
    match outcome {
        Ok(()) => Ok(ExitCode::Success),
        Err(Trouble::Output(error)) => Err(error.into()),
        Err(Trouble::Other(error)) => Err(error),
    }
}

fn listen(args: &ServeArgs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(args.listen.address())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn event_loop() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}

/// What needs privileges.
fn begin(args: &ServeArgs, exponential: bool) -> anyhow::Result<(Session, Metrics, Backend)> {
    let scope = args.scope.resolve()?;
    let config = args.tuning.config(scope.clone(), false);
    let tracer = attach(&config, false)?;
    let backend = tracer.backend();
    let started = wall_clock().timestamp(monotonic_now());
    let metrics = Metrics::new(Totals::new(Settings {
        max_series: args.max_series as usize,
        exponential,
        backend: backend.name(),
        started,
    }));
    // What other users' processes wait for takes CAP_SYS_PTRACE to read, and Landlock denies it even then:
    // causes are found from what everybody can read in /proc, and from what the kernel side knows.
    let cause_after = CAUSE_AFTER.as_nanos() as u64;
    let error_ns = backend.error_ns();
    let sink = Box::new(metrics.clone());
    let pipeline = Pipeline::new(
        error_ns,
        cause_after,
        Filter::default(),
        sink,
        // No figure shows a command line.
        Box::new(ThisHost::without_command_lines()),
    );
    let session = Session::new(pipeline, tracer, notice::warnings())?.about(&scope)?;
    Ok((session, metrics, backend))
}

/// The thread that serves and pushes. It has an event loop of its own, so that no client can delay
/// tracing.
struct Exporter {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Exporter {
    fn start(
        listener: TcpListener,
        collector: Option<Collector>,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let runtime = event_loop()?;
        let address = listener.local_addr().context("cannot listen")?.ip();
        let listener = {
            let _guard = runtime.enter();
            tokio::net::TcpListener::from_std(listener).context("cannot listen")?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("exporter".into())
            .spawn(move || {
                let export = export(listener, address, collector, metrics, stopped);
                LocalSet::new().block_on(&runtime, export);
                // Without waiting for a resolver that hangs.
                runtime.shutdown_background();
            })
            .context("cannot start the exporter")?;
        Ok(Self { stop, thread })
    }

    /// Pushes for the last time, and ends.
    fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

async fn export(
    listener: tokio::net::TcpListener,
    address: IpAddr,
    collector: Option<Collector>,
    metrics: Metrics,
    stopped: oneshot::Receiver<()>,
) {
    let resolver = Resolver::default();
    let pushing = async {
        match &collector {
            Some(collector) => push::push_forever(collector, &resolver, &metrics).await,
            None => pending().await,
        }
    };
    let pages = Pages::new(metrics.clone(), address);
    tokio::select! {
        () = server::serve(listener, pages) => {}
        () = pushing => {}
        _ = stopped => {}
    }
    if let Some(collector) = &collector {
        let _ = timeout(LAST_PUSH, push::push_last(collector, &resolver, &metrics)).await;
    }
}
