//! A run that is traced: its figures, which the tracing thread counts and the screen's thread shows.

use std::{
    io::{self, PipeWriter},
    os::fd::AsFd as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    data::{Model, nanos},
    frontend::{Ended, FigureSource, Frontend, SourceRequest},
    pane::Pane,
    recorder::{Finishing, Recorder},
    state::Ui,
    terminal::{self, TerminalScreen},
    view::SceneProgress,
};
use crate::{
    aggregate::{ParentKey, Summary},
    lifecycle::Standing,
    lifecycle::TaskId,
    model::{Alive, Loss, Start, Zombie},
    sink::Sink,
};

/// How long a terminal that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What both threads have.
#[derive(Default)]
pub(super) struct Shared {
    run: Mutex<Run>,
    /// Somebody has quit, or the run is over.
    is_ending: AtomicBool,
    /// The screen's thread has failed.
    has_failed: AtomicBool,
}

#[derive(Default)]
struct Run {
    model: Model,
    recorder: Option<Recorder>,
    /// The last recording.
    recorded: Option<PathBuf>,
}

impl Run {
    /// `None` if there is no recording.
    fn end_recording(&mut self) -> Option<Finishing> {
        let recorder = self.recorder.take()?;
        Some(recorder.finish(&self.model))
    }
}

impl Shared {
    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen's thread has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

/// Takes in what a run sees, and has it shown from the run's start to its summary.
pub(super) struct Feed {
    shared: Arc<Shared>,
    /// Until the run starts.
    ui: Option<(Ui, bool)>,
    screen: Option<Open>,
    /// COMMAND's terminal.
    pane: Option<Arc<Pane>>,
}

/// A screen that a thread draws on.
struct Open {
    /// Closed to end it.
    wake: Option<PipeWriter>,
    ended: Receiver<()>,
}

impl Feed {
    /// `lists_autoreaped`: processes that never were zombies, too.
    pub(super) fn new(
        ui: Ui,
        has_color: bool,
        lists_autoreaped: bool,
        pane: Option<Arc<Pane>>,
    ) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        shared.run().model.lists_autoreaped = lists_autoreaped;
        let feed = Self {
            shared: Arc::clone(&shared),
            ui: Some((ui, has_color)),
            screen: None,
            pane,
        };
        (feed, shared)
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let Some((ui, has_color)) = self.ui.take() else {
            return Ok(());
        };
        let (reader, wake) = io::pipe()?;
        let (sender, ended) = channel();
        let screen = TerminalScreen::enter()?;
        let shared = Arc::clone(&self.shared);
        let pane = self.pane.clone();
        thread::Builder::new()
            .name("screen".into())
            .spawn(move || {
                let source = Live(Arc::clone(&shared));
                let mut frontend = Frontend::new(screen, source, ui, has_color).with_pane(pane);
                let work = std::panic::AssertUnwindSafe(|| {
                    let ended = frontend.run(reader.as_fd(), || {
                        stop(&shared);
                        false
                    });
                    if !matches!(ended, Ok(Ended::Told)) {
                        // Without a screen the run has no use.
                        stop(&shared);
                    }
                });
                if std::panic::catch_unwind(work).is_err() {
                    shared.has_failed.store(true, Ordering::Relaxed);
                    stop(&shared);
                }
                drop(frontend);
                let _ = sender.send(());
            })?;
        self.screen = Some(Open {
            wake: Some(wake),
            ended,
        });
        Ok(())
    }

    /// Gives the terminal back.
    fn close(&mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        if let Some(mut screen) = self.screen.take() {
            screen.wake = None;
            if screen.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                terminal::restore();
            }
            if let Some(pane) = &self.pane {
                pane.print();
            }
        }
        let finishing = self.shared.run().end_recording();
        if let Some(finishing) = finishing {
            crate::stderr::say(&finishing.wait());
        }
    }
}

/// Ends the run as Ctrl-C would.
fn stop(shared: &Shared) {
    shared.is_ending.store(true, Ordering::Relaxed);
    let _ = kill(Pid::this(), Signal::SIGINT);
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sink for Feed {
    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.shared.run().model.start(start);
        self.open()
            .map_err(|error| io::Error::other(format!("{error:#}")))
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        let run = &mut *self.shared.run();
        run.model.zombie(None, zombie);
        Ok(())
    }

    fn identified(&mut self, id: TaskId, zombie: &Zombie) -> io::Result<()> {
        let run = &mut *self.shared.run();
        run.model.zombie(Some(id), zombie);
        if let Some(recorder) = &mut run.recorder {
            recorder.zombie(zombie);
        }
        Ok(())
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        let run = &mut *self.shared.run();
        run.model.diagnosed(alive);
        if let Some(recorder) = &mut run.recorder {
            recorder.alive(alive);
        }
        Ok(())
    }

    fn named(&mut self, parent: ParentKey, cmdline: &str) {
        self.shared.run().model.named(parent, Some(cmdline));
    }

    fn wants_standing(&self) -> bool {
        true
    }

    fn standing(&mut self, standing: &Standing) -> io::Result<()> {
        self.shared.run().model.census(standing);
        Ok(())
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        let run = &mut *self.shared.run();
        if let Some(recorder) = &mut run.recorder {
            recorder.loss(loss);
        }
        Ok(())
    }

    /// The summary is for the terminal as it was.
    fn summary(&mut self, _: &Summary) -> io::Result<()> {
        self.close();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let run = &mut *self.shared.run();
        if let Some(recorder) = &mut run.recorder {
            recorder.flush();
        }
        Ok(())
    }
}

/// The run, from the screen's side.
struct Live(Arc<Shared>);

impl FigureSource for Live {
    fn advance(&mut self) {
        self.0.run().model.tick(nanos(Timestamp::now()));
    }

    fn look<T>(&mut self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.0.run().model)
    }

    fn progress(&self) -> SceneProgress {
        match self.0.is_ending.load(Ordering::Relaxed) {
            true => SceneProgress::Ending,
            false => SceneProgress::Live,
        }
    }

    fn recording(&self) -> Option<String> {
        let run = self.0.run();
        run.recorder.as_ref().map(|recorder| recorder.name())
    }

    fn act(&mut self, request: SourceRequest) -> Option<String> {
        let mut run = self.0.run();
        match request {
            SourceRequest::Record => Some(match run.end_recording() {
                Some(finishing) => {
                    run.recorded = Some(finishing.path().to_owned());
                    // Whoever counts must not wait for a disk.
                    drop(run);
                    finishing.wait()
                }
                None => match Recorder::start(&run.model) {
                    Ok(recorder) => {
                        let message = format!("recording to {}", recorder.name());
                        run.recorder = Some(recorder);
                        message
                    }
                    Err(error) => format!("cannot record: {error:#}"),
                },
            }),
            SourceRequest::Page => {
                let recorded = run.recorded.clone();
                drop(run);
                Some(match recorded {
                    Some(recording) => super::outside::page(&recording),
                    None => "there is no recording: R starts one, and R again ends it".to_owned(),
                })
            }
            SourceRequest::Seek(_) | SourceRequest::Play => None,
        }
    }

    fn base_command(&self) -> String {
        let run = self.0.run();
        let start = run.model.start.as_ref();
        let scope = start
            .and_then(|start| start.scope.clone())
            .unwrap_or_default();
        super::outside::base_command(&scope)
    }
}
