//! The loop: keys in, screens out.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use ratatui::{
    buffer::Buffer,
    crossterm::event::{
        self, Event, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind,
    },
    layout::Rect,
};

use super::{
    data::{Model, Parent, ProcessText},
    outside,
    pane::Pane,
    process,
    state::{Action, BindingKind, Effect, Key, Mode, SortedRows, Ui, View, table},
    target::HeldProcess,
    terminal::{self, TerminalScreen},
    view::{self, Layout, Scene, SceneProgress},
};
use crate::{aggregate::ParentKey, stderr, system::proc};

/// How often the figures are drawn.
const DRAW: Duration = Duration::from_millis(500);
/// Drawing may use at most 1/SHARE of the time: with thousands of parents the screen changes less often. Keys
/// are answered all the same.
const SHARE: u32 = 500;
/// The terminal's size is asked for after that.
const LOOK_AT_SIZE: Duration = Duration::from_millis(200);
/// How often COMMAND's terminal is drawn.
const DRAW_COMMAND: Duration = Duration::from_millis(250);
/// The screen is never older than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A key is answered at once, but there are no more screens than that.
const AFTER_A_KEY: Duration = Duration::from_millis(40);
/// Processes are looked at again after that.
const LOOK: Duration = Duration::from_secs(1);
/// Ancestors are looked for again after that.
const DESCEND: Duration = Duration::from_secs(2);
/// Of as many parents at the most.
const MOST_DESCENDED: usize = 200;
/// A terminal that can be read, but holds no whole key, is read again after that.
const HALF_A_KEY: Duration = Duration::from_millis(20);
/// How many rows a turn of the wheel moves.
const WHEEL: usize = 3;

/// Where the figures come from.
pub(super) trait FigureSource {
    /// Brings the figures up to date.
    fn advance(&mut self);
    /// Looks at the figures. Whoever counts waits meanwhile.
    fn look<T>(&mut self, look: impl FnOnce(&mut Model) -> T) -> T;
    fn progress(&self) -> SceneProgress;
    /// What the run is recorded to.
    fn recording(&self) -> Option<String>;
    /// Does what is asked for; says what came of it.
    fn act(&mut self, request: SourceRequest) -> Option<String>;
    /// The command that shows the same without a screen.
    fn base_command(&self) -> String;
}

/// What only the source can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceRequest {
    Record,
    Page,
    Seek(i64),
    Play,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody pressed q.
    Quit,
    /// It was told to.
    Told,
    /// Nobody sits at the terminal any more.
    HungUp,
}

/// A screen with its keyboard.
pub(super) struct Frontend<S> {
    screen: TerminalScreen,
    source: S,
    /// COMMAND's terminal.
    pane: Option<Arc<Pane>>,
    pub(super) ui: Ui,
    /// What is shown while the figures go on.
    frozen: Option<Box<Model>>,
    table: SortedRows,
    target: Option<HeldProcess>,
    zone: TimeZone,
    has_color: bool,
    /// What was seen of the row's process when details were shown last, and when.
    process: Option<(Instant, ProcessText)>,
    /// When ancestors were looked for.
    descended: Option<Instant>,
    /// How far keys move in time, ns.
    sought: i64,
    /// How much of the held messages was shown.
    seen: usize,
    drawn: Option<Drawn>,
}

/// What was drawn last, as much as decides whether it looks different now.
#[derive(Clone, Debug, PartialEq)]
struct Drawn {
    version: u64,
    progress: SceneProgress,
    recording: Option<String>,
    area: Rect,
    /// What COMMAND has written, if that is shown.
    written: u64,
}

impl<S: FigureSource> Frontend<S> {
    pub(super) fn new(screen: TerminalScreen, source: S, ui: Ui, has_color: bool) -> Self {
        Self {
            screen,
            source,
            pane: None,
            ui,
            frozen: None,
            table: SortedRows::default(),
            target: None,
            zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            has_color,
            process: None,
            descended: None,
            sought: 0,
            seen: 0,
            drawn: None,
        }
    }

    /// With COMMAND's terminal.
    pub(super) fn with_pane(self, pane: Option<Arc<Pane>>) -> Self {
        Self { pane, ..self }
    }

    /// Draws and listens until somebody quits. `wake`: can be read, or is closed, when it has to end.
    ///
    /// `quit` is asked whether the screen closes at once; if not, it stays until `wake` closes.
    pub(super) fn run(
        &mut self,
        wake: BorrowedFd<'_>,
        mut quit: impl FnMut() -> bool,
    ) -> io::Result<Ended> {
        terminal::keep_resizes_away()?;
        let mut next = Instant::now();
        let mut last = Instant::now() - AFTER_A_KEY;
        loop {
            let now = Instant::now();
            if now >= next {
                let begun = cpu_time();
                self.draw()?;
                last = Instant::now();
                let pause = match self.ui.mode {
                    Mode::Command => DRAW_COMMAND,
                    _ => DRAW.max((cpu_time() - begun) * SHARE),
                };
                next = last + pause.min(LONGEST_PAUSE);
            }
            let limit = next.saturating_duration_since(Instant::now());
            match self.wait(wake, limit.min(LOOK_AT_SIZE))? {
                Wake::Told => return Ok(Ended::Told),
                Wake::HungUp => return Ok(Ended::HungUp),
                Wake::Time => {
                    if self.is_resized()? {
                        next = Instant::now();
                    }
                    continue;
                }
                Wake::Keyboard => {}
            }
            let mut is_read = false;
            while event::poll(Duration::ZERO)? {
                is_read = true;
                if self.event(event::read()?, wake)? && quit() {
                    return Ok(Ended::Quit);
                }
            }
            self.seek();
            match is_read {
                // Drawn soon, even if nothing was counted meanwhile.
                true => {
                    self.drawn = None;
                    next = next.min(last + AFTER_A_KEY);
                }
                false => std::thread::sleep(HALF_A_KEY),
            }
        }
    }

    fn wait(&self, wake: BorrowedFd<'_>, limit: Duration) -> io::Result<Wake> {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(wake, PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        // Rounded up: else it would be polled again and again in the last ms.
        let limit = PollTimeout::try_from(limit + Duration::from_millis(1));
        match poll(&mut fds, limit.unwrap_or(PollTimeout::ZERO)) {
            Err(Errno::EINTR) => return Ok(Wake::Time),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let [told, keyboard] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        Ok(match (told.is_empty(), keyboard) {
            (false, _) => Wake::Told,
            (true, keyboard) if keyboard.intersects(gone) => Wake::HungUp,
            (true, keyboard) if keyboard.is_empty() => Wake::Time,
            _ => Wake::Keyboard,
        })
    }

    /// The terminal has another size than what was drawn last.
    fn is_resized(&self) -> io::Result<bool> {
        let area = self.screen.area()?;
        Ok(self.drawn.as_ref().is_some_and(|drawn| drawn.area != area))
    }

    /// Draws the screen, if it looks different now.
    fn draw(&mut self) -> io::Result<()> {
        self.source.advance();
        let area = self.screen.area()?;
        let (text, seen) = stderr::held_since(self.seen);
        if seen != self.seen {
            self.seen = seen;
            if let Some(line) = text.lines().last() {
                self.ui.say(line.trim_start_matches("zombie-trace: "));
                self.drawn = None;
            }
        }
        let version = match &self.frozen {
            Some(model) => model.version,
            None => self.source.look(|model| model.version),
        };
        let drawn = Drawn {
            version,
            progress: self.source.progress(),
            recording: self.source.recording(),
            area,
            written: self.shown_pane().map_or(0, |pane| pane.version()),
        };
        if self.drawn.as_ref() == Some(&drawn) {
            return Ok(());
        }
        self.name_parents();
        self.find_ancestors();
        self.look_at_process();
        let layout = Layout::of(area.width, area.height);
        if let (Some(pane), Some(layout)) = (&self.pane, layout) {
            pane.resize(layout.pane(), area.width);
        }
        let pane = self.shown_pane().map(|pane| pane.screen());
        let mut buffer = Buffer::empty(area);
        let (ui, table) = (&mut self.ui, &mut self.table);
        let (zone, has_color) = (&self.zone, self.has_color);
        let process = self.process.as_ref().map(|(_, process)| process);
        let mut paint = |model: &Model| {
            *table = state_table(model, ui);
            if let Some(layout) = view::layout(area, model, ui, table) {
                ui.fit(table, layout.rows());
            }
            let scene = Scene {
                model,
                ui,
                table,
                process,
                progress: drawn.progress.clone(),
                recording: drawn.recording.as_deref(),
                pane: pane.as_ref(),
                zone,
                has_color,
            };
            view::draw(&mut buffer, area, &scene);
        };
        match &self.frozen {
            Some(model) => paint(model),
            None => self.source.look(|model| paint(model)),
        }
        self.screen.show(&buffer)?;
        self.drawn = Some(drawn);
        Ok(())
    }

    /// COMMAND's terminal, if it is shown.
    fn shown_pane(&self) -> Option<&Pane> {
        self.pane
            .as_deref()
            .filter(|_| self.ui.mode == Mode::Command)
    }

    /// Reads the command lines of parents that are shown and that the run has not read.
    fn name_parents(&mut self) {
        if self.ui.run == BindingKind::Replay
            || self.ui.choice.view != View::Parents
            || self.frozen.is_some()
        {
            return;
        }
        let rows = self.table.rows.iter().skip(self.ui.first);
        let shown = rows.take(self.ui.page).filter_map(|row| match row.key {
            Key::Parent(parent) => Some(parent),
            _ => None,
        });
        let unread: Vec<ParentKey> = self.source.look(|model| {
            let is_unread = |key: &ParentKey| model.parents.get(key).is_some_and(Parent::is_unread);
            shown.filter(is_unread).collect()
        });
        let read = |(pid, comm): &ParentKey| proc::command_line((*pid)?, (*comm)?);
        let lines: Vec<_> = unread.iter().map(read).collect();
        self.source.look(|model| {
            for (key, line) in unread.into_iter().zip(lines) {
                model.named(key, line.as_deref());
            }
        });
    }

    /// Finds the ancestors of the parents, if the rows are to make a tree.
    fn find_ancestors(&mut self) {
        let is_due = self.descended.is_none_or(|last| last.elapsed() >= DESCEND);
        if !self.ui.choice.is_tree() || !is_due {
            return;
        }
        self.descended = Some(Instant::now());
        let rank = |model: &mut Model| {
            let mut parents: Vec<_> = model.parents.iter().collect();
            parents.sort_by_key(|(_, parent)| {
                std::cmp::Reverse((parent.alive, parent.rolling.total.zombie_ns))
            });
            let pids = parents.into_iter().filter_map(|((pid, _), _)| *pid);
            pids.take(MOST_DESCENDED).collect::<Vec<_>>()
        };
        let pids = match &mut self.frozen {
            Some(model) => rank(model),
            None => self.source.look(rank),
        };
        let lineage = process::lineage(pids.into_iter());
        match &mut self.frozen {
            Some(model) => model.descend(lineage),
            None => self.source.look(|model| model.descend(lineage)),
        }
    }

    /// Looks at the row's process, if details are shown of a run that is traced.
    fn look_at_process(&mut self) {
        let row = self.ui.row(&self.table);
        let row = row.filter(|_| self.ui.is_detailed && self.ui.run != BindingKind::Replay);
        let Some((pid, _)) = row.and_then(|row| row.parent_process()) else {
            self.process = None;
            return;
        };
        let is_known = self
            .process
            .as_ref()
            .is_some_and(|(last, process)| process.pid == pid && last.elapsed() < LOOK);
        if !is_known {
            self.process = Some((Instant::now(), process::look(pid)));
        }
    }

    /// Answers a key or the mouse. True if somebody quits.
    fn event(&mut self, event: Event, wake: BorrowedFd<'_>) -> io::Result<bool> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key, wake),
            Event::Mouse(mouse) => {
                self.mouse(mouse)?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn key(&mut self, key: KeyEvent, wake: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(effect) = self.ui.key(key, &self.table) else {
            return Ok(false);
        };
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Suspend => self.suspend()?,
            Effect::Pause(true) => {
                let model = self.source.look(|model| model.clone());
                self.frozen = Some(Box::new(model));
            }
            Effect::Pause(false) => self.frozen = None,
            Effect::Reset => self.source.look(Model::reset),
            Effect::Inspect(pid) => {
                let color = self.has_color;
                self.screen.leave(|| outside::inspect(pid, color, wake))?;
                self.drawn = None;
            }
            Effect::Target(pid) => self.aim(pid),
            Effect::Send(signal) => {
                if let Some(target) = self.target.take() {
                    self.ui.say(outside::send(&target, signal));
                }
            }
            Effect::Release => self.target = None,
            Effect::Copy(row) => {
                let base = self.source.base_command();
                let command = outside::equivalent(
                    &row,
                    &self.ui.choice,
                    &base,
                    self.ui.run == BindingKind::Replay,
                );
                self.screen.write(&outside::copied(&command))?;
                self.ui.say(format!("copied: {command}"));
            }
            Effect::Export(row) => self.ui.say(outside::export(&row)),
            Effect::Record => self.request(SourceRequest::Record),
            Effect::Page => self.request(SourceRequest::Page),
            Effect::Type(key) => {
                if let Some(pane) = &self.pane {
                    pane.key(key);
                }
            }
            Effect::Seek(by) => self.sought += by,
            Effect::Play => self.request(SourceRequest::Play),
        }
        Ok(false)
    }

    /// Moves in time, once for all keys that were pressed meanwhile.
    fn seek(&mut self) {
        match std::mem::take(&mut self.sought) {
            0 => {}
            by => self.request(SourceRequest::Seek(by)),
        }
    }

    fn request(&mut self, request: SourceRequest) {
        if let Some(message) = self.source.act(request) {
            self.ui.say(message);
        }
    }

    /// Holds the parent before anybody is asked: it can't become another process meanwhile.
    fn aim(&mut self, pid: u32) {
        let process = self
            .ui
            .row(&self.table)
            .and_then(|row| row.parent_process());
        let comm = process.and_then(|(_, comm)| comm);
        match HeldProcess::open(pid, comm) {
            Ok(target) => {
                self.target = Some(target);
                let name = comm
                    .as_ref()
                    .map(crate::text::printable)
                    .unwrap_or_default();
                self.ui.ask(pid, &name);
            }
            Err(error) => self.ui.say(crate::text::visible(&format!("{error:#}"))),
        }
    }

    /// Stops, with the whole job, until somebody continues it.
    fn suspend(&mut self) -> io::Result<()> {
        self.screen.leave(|| {
            let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
            // The signal stops every thread, some time soon.
            std::thread::sleep(Duration::from_millis(100));
        })
    }

    fn mouse(&mut self, mouse: MouseEvent) -> io::Result<()> {
        let area = self.screen.area()?;
        match mouse.kind {
            MouseEventKind::ScrollUp => self.scroll(Action::Up),
            MouseEventKind::ScrollDown => self.scroll(Action::Down),
            MouseEventKind::Down(MouseButton::Left) => {
                let (ui, table, zone, has_color) =
                    (&self.ui, &self.table, &self.zone, self.has_color);
                let find = |model: &Model| {
                    let scene = Scene {
                        model,
                        ui,
                        table,
                        process: None,
                        progress: SceneProgress::Live,
                        recording: None,
                        pane: None,
                        zone,
                        has_color,
                    };
                    view::target(&scene, area, mouse.column, mouse.row)
                };
                let target = match &self.frozen {
                    Some(model) => find(model),
                    None => self.source.look(|model| find(model)),
                };
                match target {
                    Some(view::MouseTarget::Row(at)) => self.ui.click(at, &self.table),
                    Some(view::MouseTarget::Heading(Some(column))) => self.ui.click_heading(column),
                    Some(view::MouseTarget::Tab(view)) => {
                        self.ui.act(Action::Show(view), &self.table);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scroll(&mut self, action: Action) {
        for _ in 0..WHEEL {
            self.ui.wheel(action, &self.table);
        }
    }
}

/// How much CPU time this thread has taken.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Why waiting has ended.
enum Wake {
    Told,
    HungUp,
    Time,
    Keyboard,
}

fn state_table(model: &Model, ui: &Ui) -> SortedRows {
    table(model, &ui.choice)
}
