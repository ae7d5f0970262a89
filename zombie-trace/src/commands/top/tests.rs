//! Whole screens, and every key.

use std::{env, fs, path::Path};

use foldhash::{HashMap, HashMapExt as _};
use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
    style::{Color, Modifier},
};

use super::{
    data::{Lineage, Model, ProcessText},
    outside,
    state::{
        Action, BindingKind, Column, Effect, Grouping, Mode, PromptPurpose, SECTIONS, SortedRows,
        Ui, View, Window, is_now, table,
    },
    view::{self, Scene, SceneProgress},
};
use crate::{
    container::Container,
    lifecycle::Pids,
    lifecycle::TaskId,
    model::{Alive, Cause, Flag, How, Phases, Start, Zombie, fixtures},
};

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

fn at(ms: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    Timestamp::from_nanosecond(begin.as_nanosecond() + i128::from(ms) * 1_000_000).unwrap()
}

fn alive(pid: u32, ppid: u32, comm: &str, age_ms: u64, now_ms: i64) -> (TaskId, Alive) {
    let alive = Alive {
        ts: at(now_ms),
        pid,
        ppid: Some(ppid),
        parent_comm: Some(comm.into()),
        age_ns: age_ms * 1_000_000,
        cgroup: Some(format!("/system.slice/{comm}.service").as_str().into()),
        ..fixtures::alive()
    };
    ((u64::from(pid), 0), alive)
}

fn web() -> Container {
    Container {
        id: Some("web".into()),
        ..Container::default()
    }
}

/// Three minutes of a machine with a leak, a late parent, a busy build and a hostile name.
fn model() -> Model {
    let mut model = Model::default();
    model.start(&Start {
        ts: at(0),
        ..fixtures::start()
    });
    let mut living = HashMap::new();
    for second in 0..192 {
        for number in 0..4 {
            let ms = second * 1000 + number * 250;
            model.zombie(
                None,
                &Zombie {
                    ts: at(ms),
                    pid: 10_000 + (second * 4 + number) as u32,
                    ppid: Some(9234),
                    parent_comm: Some("prefork.py".into()),
                    zombie_ns: 390_000_000 + (number as u64) * 50_000_000,
                    phases: Some(Phases {
                        parent_not_waiting_ns: Some(350_000_000),
                        reap_ns: Some(40_000_000),
                        ..Phases::default()
                    }),
                    container: Some(web()),
                    ..fixtures::zombie()
                },
            );
            model.zombie(
                None,
                &Zombie {
                    ts: at(ms + 5),
                    pid: 20_000 + (second * 4 + number) as u32,
                    comm: "cc1".into(),
                    ppid: Some(6909),
                    parent_comm: Some("make".into()),
                    zombie_ns: 300_000 + 4_000_000 * (number as u64),
                    phases: Some(Phases {
                        runqueue_ns: Some(300_000),
                        ..Phases::default()
                    }),
                    ..fixtures::zombie()
                },
            );
        }
        model.zombie(
            None,
            &Zombie {
                ts: at(second * 1000 + 400),
                how: How::Autoreap,
                zombie_ns: 0,
                ppid: Some(1),
                parent_comm: Some("init".into()),
                ..fixtures::zombie()
            },
        );
        if second >= 120 {
            let (id, zombie) = alive(30_000 + second as u32, 3436, "python3", 0, second * 1000);
            living.insert(id, zombie);
        }
        let (id, zombie) = alive(
            29_000,
            7301,
            "node\x1b[31m",
            64_000 + second as u64 * 1000,
            second * 1000,
        );
        living.insert(id, zombie);
        let now: HashMap<_, _> = living
            .iter()
            .map(|(id, zombie): (&TaskId, &Alive)| {
                let zombie = Alive {
                    ts: at(second * 1000 + 900),
                    age_ns: model.age(zombie),
                    ..zombie.clone()
                };
                (*id, zombie)
            })
            .collect();
        model.live(at(second * 1000 + 900), now);
    }
    model.pids = Some(Pids {
        used: 247,
        max: 32_768,
    });
    let finding = |pid, ppid, comm: &str, cause, text: &str, advice: &str| Alive {
        cause: Some(cause),
        cause_text: Some(text.into()),
        advice: Some(advice.into()),
        ..alive(pid, ppid, comm, 0, 0).1
    };
    model.diagnosed(&finding(
        30_120,
        3436,
        "python3",
        Cause::ReapsLate,
        "the parent 3436 (python3) reaps one child at a time and falls behind",
        "loop waitpid(-1, WNOHANG) until it returns 0 or fails with ECHILD",
    ));
    model.diagnosed(&finding(
        29_000,
        7301,
        "node\x1b[31m",
        Cause::BlocksSigchld,
        "the parent 7301 (node\x1b[31m) blocks SIGCHLD, which is pending",
        "unblock SIGCHLD",
    ));
    model.named(
        (Some(3436), Some("python3".into())),
        Some("/usr/bin/python3 supervisor.py --jobs 4"),
    );
    model
}

/// What /proc would say about the first of its parents.
fn process() -> ProcessText {
    ProcessText {
        pid: 3436,
        sigchld: "default action: nothing happens; blocked by 1 of 3 threads".to_owned(),
        threads: vec![
            "3436 (python3) sleeps (S) in hrtimer_nanosleep".to_owned(),
            "3437 (worker) sleeps (S) in futex_wait_queue; blocks SIGCHLD".to_owned(),
            "3438 (worker) sleeps (S) in futex_wait_queue".to_owned(),
        ],
        ancestors: vec!["supervise (812)".to_owned(), "init (1)".to_owned()],
    }
}

/// The ancestors of its parents.
fn lineage() -> Lineage {
    let mut lineage = Lineage::default();
    let init = (1, "init".into());
    let line = |pid, comm: &str| [(pid, comm.into()), (812, "supervise".into()), init];
    lineage.add(&line(3436, "python3"));
    lineage.add(&line(6909, "make"));
    lineage.add(&[(7301, "node".into()), init]);
    lineage
}

/// A screen with its state.
struct Seat {
    model: Model,
    ui: Ui,
    table: SortedRows,
    process: Option<ProcessText>,
    size: (u16, u16),
}

impl Seat {
    fn new(size: (u16, u16)) -> Self {
        let mut seat = Self {
            model: model(),
            ui: Ui::default(),
            table: SortedRows::default(),
            process: None,
            size,
        };
        seat.fit();
        seat
    }

    fn fit(&mut self) {
        self.table = table(&self.model, &self.ui.choice);
        let area = Rect::new(0, 0, self.size.0, self.size.1);
        if let Some(layout) = view::layout(area, &self.model, &self.ui, &self.table) {
            self.ui.fit(&self.table, layout.rows());
        }
    }

    fn press(&mut self, code: KeyCode) -> Option<Effect> {
        self.hit(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn hit(&mut self, key: KeyEvent) -> Option<Effect> {
        let effect = self.ui.key(key, &self.table);
        self.fit();
        effect
    }

    fn type_in(&mut self, text: &str) -> Option<Effect> {
        let mut last = None;
        for char in text.chars() {
            let code = if char == '\n' {
                KeyCode::Enter
            } else {
                KeyCode::Char(char)
            };
            last = self.press(code);
        }
        last
    }

    fn buffer(&self, has_color: bool) -> Buffer {
        let (width, height) = self.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let scene = Scene {
            model: &self.model,
            ui: &self.ui,
            table: &self.table,
            process: self.process.as_ref(),
            progress: match self.ui.run == BindingKind::Replay {
                true => SceneProgress::Replay {
                    at: self.model.elapsed(),
                    of: 600_000_000_000,
                    is_playing: false,
                },
                false => SceneProgress::Live,
            },
            recording: None,
            pane: None,
            zone: &TimeZone::UTC,
            has_color,
        };
        terminal
            .draw(|frame| {
                let area = frame.area();
                view::draw(frame.buffer_mut(), area, &scene);
            })
            .unwrap();
        terminal.backend().buffer().clone()
    }

    fn text(&self) -> String {
        text(&self.buffer(false))
    }

    fn names(&self) -> Vec<&str> {
        self.table
            .rows
            .iter()
            .map(|row| row.name.as_str())
            .collect()
    }
}

fn lines(buffer: &Buffer, show: impl Fn(&ratatui::buffer::Cell) -> String) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|line| {
        let line: String = line.iter().map(&show).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn text(buffer: &Buffer) -> String {
    lines(buffer, |cell| cell.symbol().to_owned())
}

/// A letter for the look of each place.
fn looks(buffer: &Buffer) -> String {
    lines(buffer, |cell| {
        let letter = match (cell.fg, cell.modifier) {
            (_, modifier) if modifier.contains(Modifier::REVERSED) => 's',
            (Color::Red, _) => 'r',
            (Color::Green, _) => 'g',
            (_, modifier) if modifier.contains(Modifier::BOLD) => 'b',
            (_, modifier) if modifier.contains(Modifier::DIM) => 'd',
            _ => ' ',
        };
        letter.to_string()
    })
}

fn golden(name: &str, screen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/top")
        .join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, screen).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(screen == expected, "{}:\n{screen}", path.display());
}

/// Its text, and a letter for the look of each place: `NAME.txt` and `NAME-looks.txt`.
fn golden_screen(name: &str, seat: &Seat) {
    let (plain, colored) = (seat.buffer(false), seat.buffer(true));
    assert_eq!(text(&plain), text(&colored), "colour changes no text");
    let is_plain =
        |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
    assert!(plain.content.iter().all(is_plain), "{name}");
    // Sixteen colours suffice, and none is set behind the text.
    let is_basic = |color| matches!(color, Color::Reset | Color::Red | Color::Green);
    let mut cells = colored.content.iter();
    assert!(
        cells.all(|cell| is_basic(cell.fg) && cell.bg == Color::Reset),
        "{name}"
    );
    golden(&format!("{name}.txt"), &text(&plain));
    golden(&format!("{name}-looks.txt"), &looks(&colored));
}

#[test]
fn screens_of_every_view_and_size() {
    for size in SIZES {
        for view in View::ALL {
            let mut seat = Seat::new(size);
            seat.ui.choice.view = view;
            seat.fit();
            let name = format!("{}x{}-{}", size.0, size.1, view.name().to_lowercase());
            golden_screen(&name, &seat);
        }
    }
}

#[test]
fn screens_of_details_help_and_questions() {
    for size in SIZES {
        let mut seat = Seat::new(size);
        let name = |what: &str| format!("{}x{}-{what}", size.0, size.1);
        seat.press(KeyCode::Enter);
        seat.process = Some(process());
        golden_screen(&name("details"), &seat);
        seat.press(KeyCode::Esc);
        seat.press(KeyCode::Char('?'));
        golden_screen(&name("help"), &seat);
        seat.press(KeyCode::Esc);
        seat.ui.ask(3436, "python3");
        golden_screen(&name("question"), &seat);
        seat.press(KeyCode::Esc);
        seat.model.descend(lineage());
        seat.press(KeyCode::Char('t'));
        golden_screen(&name("tree"), &seat);
        seat.press(KeyCode::Char('t'));
        seat.ui.run = BindingKind::Replay;
        seat.ui.message = None;
        golden_screen(&name("replay"), &seat);
        seat.ui.run = BindingKind::Live;
        seat.type_in("fparent~python zombie>1s\n/super\nmmm");
        golden_screen(&name("restricted"), &seat);
    }
}

#[test]
fn colour_is_never_all_that_says_something() {
    for size in SIZES {
        let seat = Seat::new(size);
        let colored = seat.buffer(true);
        // What is red is marked with a sign.
        for line in text(&colored).lines().zip(looks(&colored).lines()) {
            if line.1.starts_with('r') {
                assert!(line.0.starts_with('!'), "{}", line.0);
            }
        }
    }
}

#[test]
fn any_size_can_be_drawn() {
    let mut seat = Seat::new((80, 24));
    for width in (1..220).step_by(7) {
        for height in 1..70 {
            seat.size = (width, height);
            for view in View::ALL {
                seat.ui.choice.view = view;
                seat.fit();
                let screen = seat.text();
                let is_small = width < 60 || height < 15;
                assert_eq!(
                    screen.contains("[1 Parents]"),
                    !is_small && view == View::Parents
                );
            }
        }
    }
    let screen = Seat::new((59, 14)).text();
    assert!(
        screen.contains("59x14: zombie-trace top needs 60x15"),
        "{screen}"
    );
}

#[test]
fn the_screen_of_a_leak_says_who_how_many_how_old_why_and_what_helps() {
    let screen = Seat::new((80, 24)).text();
    for part in [
        "3436 python3 superv",
        "72",
        "1m12s",
        "reaps-late",
        "and falls behind",
        "Fix: loop waitpid(-1, WNOHANG) until it returns 0 or fails with ECHILD.",
        "ALIVE 73 ▲+1.0/s",
    ] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
}

#[test]
fn no_name_reaches_the_terminal_unescaped() {
    let mut seat = Seat::new((200, 60));
    let area = (200, 60);
    seat.size = area;
    for view in View::ALL {
        seat.ui.choice.view = view;
        seat.fit();
        for row in 0..seat.table.rows.len().min(3) {
            seat.ui.selected = row;
            for is_detailed in [false, true] {
                seat.ui.is_detailed = is_detailed;
                let screen = seat.text();
                let is_control = |char: char| char.is_control() && char != '\n';
                assert!(!screen.contains(is_control), "{view:?}:\n{screen}");
            }
        }
    }
    let screen = Seat::new((200, 60)).text();
    assert!(screen.contains(r"node\x1b[31m"), "{screen}");
}

/// Presses a key where it has something to do, and checks what comes of it. An action that is added needs a
/// line here.
fn check(action: Action, key: KeyEvent) {
    let mut seat = Seat::new((80, 24));
    seat.ui.run = match action {
        Action::Earlier | Action::Later | Action::Play => BindingKind::Replay,
        Action::Command => BindingKind::WithCommand,
        _ => BindingKind::Live,
    };
    match action {
        Action::Up | Action::PageUp | Action::First => seat.ui.selected = 2,
        Action::NextMatch | Action::PreviousMatch => seat.ui.search = "o".to_owned(),
        Action::Back => seat.ui.is_detailed = true,
        Action::Show(view) => seat.ui.choice.view = view.step(1),
        Action::OneContainer => {
            let names = seat.names();
            seat.ui.selected = names.iter().position(|name| *name == "prefork.py").unwrap();
        }
        _ => {}
    }
    seat.fit();
    let last = seat.table.rows.len() - usize::from(!seat.table.rows.is_empty());
    let effect = seat.hit(key);
    let (ui, choice) = (&seat.ui, &seat.ui.choice);
    let is_row = |row: &super::state::TopRow| row.pid == Some(3436);
    let is_done = match action {
        Action::Up => ui.selected == 1,
        Action::Down => ui.selected == 1,
        Action::PageUp | Action::First => ui.selected == 0,
        Action::PageDown | Action::Last => ui.selected == last && last > 1,
        Action::NextView => choice.view == View::Alive,
        Action::PreviousView => choice.view == View::Timeline,
        Action::Show(view) => choice.view == view,
        Action::Details => ui.is_detailed,
        Action::Back => !ui.is_detailed,
        Action::Help => ui.mode == Mode::Help(0),
        Action::Quit => effect == Some(Effect::Quit),
        Action::Suspend => effect == Some(Effect::Suspend),
        Action::Search => is_input(&ui.mode, PromptPurpose::Search),
        Action::NextMatch => ui.selected == 1,
        Action::PreviousMatch => ui.selected == last,
        Action::Filter => is_input(&ui.mode, PromptPurpose::Filter),
        Action::Follow => ui.followed.is_some(),
        Action::OneContainer => choice.container == Some(web()),
        Action::NextSort | Action::SortRight => choice.sort().column == Column::Why,
        Action::SortLeft => choice.sort().column == Column::P99,
        Action::Invert => choice.sort().is_inverted,
        Action::Group => choice.grouping == Grouping::Command,
        Action::Tree => choice.is_tree(),
        Action::Threshold => choice.threshold == 10_000_000,
        Action::LongerWindow => choice.window == Window::All,
        Action::ShorterWindow => choice.window == Window::TenSeconds,
        Action::WholeCommands => seat.text().contains("/usr/bin/python3"),
        Action::Pause => effect == Some(Effect::Pause(true)) && ui.is_paused,
        Action::Reset => effect == Some(Effect::Reset),
        Action::Inspect => effect == Some(Effect::Inspect(3436)),
        Action::Copy => matches!(effect, Some(Effect::Copy(row)) if is_row(&row)),
        Action::Signal => effect == Some(Effect::Target(3436)),
        Action::Record => effect == Some(Effect::Record),
        Action::Page => effect == Some(Effect::Page),
        Action::Export => matches!(effect, Some(Effect::Export(row)) if is_row(&row)),
        Action::Command => ui.mode == Mode::Command,
        Action::Earlier => effect == Some(Effect::Seek(-5_000_000_000)),
        Action::Later => effect == Some(Effect::Seek(5_000_000_000)),
        Action::Play => effect == Some(Effect::Play),
    };
    assert!(is_done, "{key:?}: {action:?}");
}

fn is_input(mode: &Mode, purpose: PromptPurpose) -> bool {
    matches!(mode, Mode::Input(input) if input.purpose == purpose)
}

#[test]
fn every_key_of_the_help_screen_does_what_it_says() {
    for binding in SECTIONS.iter().flat_map(|section| section.bindings) {
        for (code, modifiers, action) in binding.keys {
            check(*action, KeyEvent::new(*code, *modifiers));
        }
    }
}

#[test]
fn the_help_screen_scrolls_and_every_other_key_closes_it() {
    let mut seat = Seat::new((60, 15));
    seat.type_in("?");
    assert!(
        seat.text().contains("any other key closes it"),
        "{}",
        seat.text()
    );
    let first = seat.text();
    seat.press(KeyCode::Down);
    assert_ne!(seat.text(), first);
    for _ in 0..100 {
        seat.press(KeyCode::PageDown);
    }
    let end = seat.text();
    assert!(!end.contains("more"), "{end}");
    // The way back is as long.
    for _ in 0..10 {
        seat.press(KeyCode::PageUp);
    }
    assert_eq!(seat.text(), first);
    let others = SECTIONS.iter().flat_map(|section| section.bindings);
    let others = others.flat_map(|binding| binding.keys);
    for (code, modifiers, action) in others {
        use Action::{Down, PageDown, PageUp, Quit, Suspend, Up};
        // Ctrl-C and Ctrl-Z do what they do everywhere.
        let is_ctrl = *modifiers == KeyModifiers::CONTROL && matches!(action, Quit | Suspend);
        if matches!(action, Up | Down | PageUp | PageDown) || is_ctrl {
            continue;
        }
        seat.ui.mode = Mode::Help(0);
        seat.hit(KeyEvent::new(*code, *modifiers));
        assert_eq!(seat.ui.mode, Mode::Table, "{code:?}");
        assert_eq!(
            seat.ui.choice,
            Seat::new((60, 15)).ui.choice,
            "it only closes"
        );
    }
}

#[test]
fn the_help_screen_has_every_key() {
    for run in [
        BindingKind::Live,
        BindingKind::WithCommand,
        BindingKind::Replay,
    ] {
        let mut seat = Seat::new((120, 40));
        seat.ui.run = run;
        seat.press(KeyCode::Char('?'));
        let screen = seat.text();
        let bindings = SECTIONS.iter().flat_map(|section| section.bindings);
        for binding in bindings {
            let has = |line: &str| line.contains(binding.help) && line.contains(binding.shown);
            let is_shown = screen.lines().any(has);
            assert_eq!(
                is_shown,
                is_now(binding, run),
                "{}:\n{screen}",
                binding.shown
            );
        }
    }
    // On a small screen it can be scrolled to its end.
    let mut seat = Seat::new((60, 15));
    seat.type_in("?jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj");
    assert!(
        seat.text().contains("notified late; tracer; the wait"),
        "{}",
        seat.text()
    );
    seat.type_in("x");
    assert_eq!(seat.ui.mode, Mode::Table);
}

/// The lines between the views and the table.
fn restriction(seat: &Seat) -> String {
    let area = Rect::new(0, 0, seat.size.0, seat.size.1);
    let layout = view::layout(area, &seat.model, &seat.ui, &seat.table).unwrap();
    let screen = seat.text();
    let lines = screen.lines().skip(layout.header + 1);
    let lines: Vec<_> = lines.take(layout.restriction).map(str::trim).collect();
    lines.join(" ")
}

#[test]
fn what_restricts_the_view_is_shown_at_every_size_with_the_key_that_lifts_it() {
    for size in SIZES {
        let mut seat = Seat::new(size);
        assert_eq!(
            restriction(&seat),
            "1 row hidden: reaped within 1 ms (m changes)"
        );
        seat.ui.choice.threshold = 0;
        seat.fit();
        assert_eq!(restriction(&seat), "", "nothing restricts it");
        seat.type_in("fparent~python zombie>1s\n");
        let line = restriction(&seat);
        assert_eq!(
            line,
            "4 rows hidden: filter parent~python zombie>1s (Esc clears)"
        );
        seat.type_in("/super\nmmm");
        seat.ui.choice.container = Some(web());
        seat.ui.choice.view = View::Parents;
        seat.fit();
        for view in View::ALL {
            seat.ui.choice.view = view;
            seat.fit();
            for is_detailed in [false, true] {
                seat.ui.is_detailed = is_detailed;
                let line = restriction(&seat);
                for (what, key) in [
                    ("filter parent~py", "Esc"),
                    ("container web", "c"),
                    ("reaped within 100 ms", "m"),
                    ("search 'super'", "Esc"),
                ] {
                    let part = line.split(what).nth(1);
                    let part = part.unwrap_or_else(|| panic!("{size:?} {view:?} {what}: {line}"));
                    let lift = part.split('(').nth(1).unwrap_or_default();
                    let has_key = lift.split([')', ' ']).any(|word| word == key);
                    assert!(has_key, "{size:?} {view:?} {what}: {line}");
                }
                assert!(!line.contains("…)"), "{line}");
            }
        }
        seat.ui.is_detailed = false;
        // One after the other is lifted.
        seat.type_in("m");
        seat.type_in("m");
        for _ in 0..3 {
            seat.press(KeyCode::Esc);
        }
        assert_eq!(seat.ui.choice.threshold, 0);
        assert_eq!(restriction(&seat), "");
    }
}

#[test]
fn a_leak_that_was_just_reaped_is_not_hidden_as_a_quick_one() {
    let mut seat = Seat::new((80, 24));
    // Zombies from before the run are in no percentile.
    for pid in 40_000..40_005 {
        let zombie = Zombie {
            ts: at(191_000),
            pid,
            ppid: Some(4711),
            parent_comm: Some("leaker".into()),
            zombie_ns: 600_000_000_000,
            flags: vec![Flag::PreExisting],
            ..fixtures::zombie()
        };
        seat.model.zombie(None, &zombie);
    }
    seat.fit();
    assert!(seat.names().contains(&"leaker"), "{}", seat.text());
    seat.ui.selected = seat
        .names()
        .iter()
        .position(|name| *name == "leaker")
        .unwrap();
    seat.press(KeyCode::Enter);
    let screen = seat.text();
    assert!(
        screen.contains("0 reaped, 0 autoreaped, 5 pre-existing reaped"),
        "{screen}"
    );
}

#[test]
fn a_replay_never_says_that_a_cause_is_not_known_yet() {
    let mut seat = Seat::new((80, 24));
    let (id, zombie) = alive(31_000, 5555, "silent", 90_000, 191_900);
    let mut living = seat.model.living.clone();
    living.insert(id, zombie);
    seat.model.live(at(191_900), living);
    for (run, row, panel) in [
        (
            BindingKind::Live,
            "not examined yet",
            "The cause is not known. Press i",
        ),
        (
            BindingKind::Replay,
            "not in the recording",
            "The recording does not say why.",
        ),
    ] {
        seat.ui.run = run;
        for view in [View::Parents, View::Alive] {
            seat.ui.choice.view = view;
            seat.fit();
            let rows = &seat.table.rows;
            let is_silent = |row: &super::state::TopRow| {
                row.parent_process().is_some_and(|(pid, _)| pid == 5555)
            };
            seat.ui.selected = rows.iter().position(is_silent).unwrap();
            seat.fit();
            let screen = seat.text();
            assert!(screen.contains(row), "{screen}");
            assert!(screen.contains(panel), "{screen}");
            assert!(
                run == BindingKind::Live || !screen.contains("yet"),
                "{screen}"
            );
        }
    }
    // What a recording found later is known from the start.
    let (id, mut zombie) = alive(31_001, 5555, "silent", 90_000, 191_900);
    zombie.cause = Some(Cause::NeverWaits);
    zombie.cause_text = Some("it sleeps".into());
    let mut living = seat.model.living.clone();
    living.insert(id, zombie);
    seat.model.live(at(191_900), living);
    seat.ui.choice.view = View::Parents;
    seat.fit();
    assert!(
        seat.text().contains("never-waits: it sleeps"),
        "{}",
        seat.text()
    );
}

#[test]
fn an_old_finding_says_how_old_it_is() {
    let mut seat = Seat::new((80, 24));
    assert!(!seat.text().contains("Examined"), "{}", seat.text());
    let mut examined = |ms: i64| {
        let zombie = Alive {
            looked_at: Some(at(ms)),
            cause: Some(Cause::ReapsLate),
            cause_text: Some("it falls behind".into()),
            ..alive(30_120, 3436, "python3", 0, 0).1
        };
        seat.model.diagnosed(&zombie);
        seat.fit();
        seat.text()
    };
    let screen = examined(170_000);
    assert!(
        screen.contains("it falls behind. (Examined 21 s ago.)"),
        "{screen}"
    );
    let screen = examined(189_000);
    assert!(screen.contains("it falls behind."), "{screen}");
    assert!(!screen.contains("Examined"), "{screen}");
}

#[test]
fn rows_are_selected_and_followed() {
    let mut seat = Seat::new((80, 24));
    assert_eq!(seat.names()[0], "python3 supervisor.py --jobs 4");
    seat.type_in("jj");
    assert_eq!(seat.ui.selected, 2);
    seat.type_in("F");
    let name = seat.names()[2].to_owned();
    seat.type_in("I");
    assert_eq!(seat.names()[seat.ui.selected], name);
    seat.type_in("k");
    assert_ne!(seat.names()[seat.ui.selected], name, "the keyboard leads");
    seat.press(KeyCode::Home);
    assert_eq!(seat.ui.selected, 0);
    seat.press(KeyCode::End);
    assert_eq!(seat.ui.selected, seat.table.rows.len() - 1);
}

#[test]
fn a_search_goes_around_the_end() {
    let mut seat = Seat::new((80, 24));
    seat.type_in("/MAKE\n");
    let make = seat.ui.selected;
    assert_eq!(seat.names()[make], "make");
    seat.type_in("n");
    assert_eq!(seat.ui.selected, make, "it is the only one");
    seat.type_in("/zzz\n");
    assert!(
        seat.text().contains("nothing contains 'zzz'"),
        "{}",
        seat.text()
    );
    seat.press(KeyCode::Esc);
    assert!(seat.ui.search.is_empty());
}

#[test]
fn a_filter_is_corrected_where_it_is_wrong() {
    let mut seat = Seat::new((120, 40));
    seat.type_in("fparent~python zombie>1x\n");
    let screen = seat.text();
    assert!(screen.contains("column 22: "), "{screen}");
    seat.press(KeyCode::Backspace);
    seat.type_in("s\n");
    assert_eq!(seat.names(), ["python3 supervisor.py --jobs 4"]);
    assert!(
        seat.text().contains("filter parent~python zombie>1s"),
        "{}",
        seat.text()
    );
    // The same line can be changed.
    seat.type_in("f");
    assert!(
        seat.text().contains("filter: parent~python zombie>1s"),
        "{}",
        seat.text()
    );
    seat.press(KeyCode::Esc);
    seat.press(KeyCode::Esc);
    assert!(seat.names().len() > 1);
}

#[test]
fn the_copied_command_has_the_filter() {
    let mut seat = Seat::new((80, 24));
    seat.type_in("fparent~python zombie>1s\n");
    let copied = |base: &str, is_replay| {
        outside::equivalent(&seat.table.rows[0], &seat.ui.choice, base, is_replay)
    };
    assert_eq!(
        copied("zombie-trace", false),
        "zombie-trace -P 3436 -m 1ms --filter 'parent~python zombie>1s'"
    );
    assert_eq!(
        copied("zombie-trace report x", true),
        "zombie-trace report x --filter 'parent~python zombie>1s'"
    );
}

#[test]
fn thresholds_hide_quick_reaps() {
    let mut seat = Seat::new((80, 24));
    assert!(seat.names().contains(&"make"), "12 ms are above 1 ms");
    seat.type_in("m");
    assert!(seat.names().contains(&"make"));
    seat.type_in("m");
    assert!(!seat.names().contains(&"make"));
    seat.type_in("mm");
    assert_eq!(seat.ui.choice.threshold, 0);
    assert!(seat.names().contains(&"init"), "autoreaped only");
}

#[test]
fn parents_are_grouped() {
    let mut seat = Seat::new((120, 40));
    for (names, missing) in [
        ("python3", "supervisor"),
        ("/system.slice/python3.service", "supervisor"),
        ("web", "python3"),
    ] {
        seat.type_in("g");
        assert!(seat.names().contains(&names), "{:?}", seat.names());
        assert!(
            !seat.names().iter().any(|name| name.contains(missing)),
            "{:?}",
            seat.names()
        );
    }
    seat.type_in("g");
    assert!(seat.names()[0].contains("supervisor"));
}

#[test]
fn parents_stand_below_their_ancestors() {
    let mut seat = Seat::new((80, 24));
    seat.model.descend(lineage());
    seat.type_in("t");
    let shown = |seat: &Seat| -> Vec<(String, usize)> {
        let rows = seat.table.rows.iter();
        rows.map(|row| (row.name.clone(), row.depth)).collect()
    };
    let row = |name: &str, depth| (name.to_owned(), depth);
    assert_eq!(
        shown(&seat),
        [
            row("init", 0),
            row("supervise", 1),
            row("python3 supervisor.py --jobs 4", 2),
            row("make", 2),
            row(r"node\x1b[31m", 1),
            row("prefork.py", 0),
        ]
    );
    assert!(seat.text().contains("tree"), "{}", seat.text());
    assert_eq!(seat.ui.selected, 2, "the same row is selected");
    // A group of several parents has no place in a tree.
    seat.type_in("g");
    assert!(seat.table.rows.iter().all(|row| row.depth == 0));
    seat.type_in("t");
    assert_eq!(shown(&seat).len(), 6);
    seat.type_in("t");
    assert_eq!(shown(&seat).len(), 4);
}

#[test]
fn details_show_threads_and_ancestors() {
    let mut seat = Seat::new((80, 24));
    seat.press(KeyCode::Enter);
    let without = seat.text();
    seat.process = Some(process());
    let screen = seat.text();
    for part in [
        "3436 (python3) sleeps (S) in hrtimer_nanosleep",
        "3437 (worker) sleeps (S) in futex_wait_queue; blocks SIGCHLD",
        "supervise (812) ← init (1)",
        "blocked by 1 of 3 threads",
    ] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    // What was seen of another process is not shown.
    seat.process = Some(ProcessText {
        pid: 1,
        ..process()
    });
    assert_eq!(seat.text(), without);
}

#[test]
fn a_container_can_be_shown_alone() {
    let mut seat = Seat::new((80, 24));
    let at = seat
        .names()
        .iter()
        .position(|name| *name == "prefork.py")
        .unwrap();
    seat.ui.selected = at;
    seat.type_in("c");
    assert_eq!(seat.names(), ["prefork.py"]);
    seat.type_in("c");
    assert!(seat.names().len() > 1);
}

#[test]
fn windows_change_the_rates() {
    let mut seat = Seat::new((120, 40));
    let rate = |seat: &Seat| {
        let row = seat
            .table
            .rows
            .iter()
            .find(|row| row.name == "make")
            .unwrap();
        row.figures().unwrap().reaped
    };
    assert_eq!(rate(&seat), 4 * 60);
    seat.type_in("-");
    assert_eq!(rate(&seat), 4 * 10);
    seat.type_in("++");
    assert_eq!(rate(&seat), 4 * 192);
}

#[test]
fn a_signal_needs_two_answers() {
    let mut seat = Seat::new((80, 24));
    assert_eq!(seat.type_in("x"), Some(Effect::Target(3436)));
    seat.ui.ask(3436, "python3");
    seat.press(KeyCode::Down);
    seat.press(KeyCode::Down);
    seat.press(KeyCode::Down);
    assert!(seat.text().contains("SIGTERM  ends it"), "{}", seat.text());
    seat.press(KeyCode::Enter);
    assert!(
        seat.text().contains("Send SIGTERM to 3436 python3?"),
        "{}",
        seat.text()
    );
    assert_eq!(seat.type_in("y"), Some(Effect::Send(libc::SIGTERM)));
    seat.ui.ask(3436, "python3");
    assert_eq!(seat.press(KeyCode::Esc), Some(Effect::Release));
    assert_eq!(seat.ui.mode, Mode::Table);
}

#[test]
fn ctrl_c_quits_whatever_is_open() {
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for keys in ["", "?", "/abc", "fx"] {
        let mut seat = Seat::new((80, 24));
        seat.type_in(keys);
        assert_eq!(
            seat.ui.key(ctrl_c, &seat.table),
            Some(Effect::Quit),
            "{keys}"
        );
    }
    let mut seat = Seat::new((80, 24));
    seat.type_in("/q");
    assert_eq!(seat.ui.search, "q", "a letter is only typed");
}

#[test]
fn the_mouse_selects_sorts_and_changes_views() {
    use super::view::MouseTarget;
    let mut seat = Seat::new((80, 24));
    let target = |seat: &Seat, x, y| {
        let scene = Scene {
            model: &seat.model,
            ui: &seat.ui,
            table: &seat.table,
            process: None,
            progress: SceneProgress::Live,
            recording: None,
            pane: None,
            zone: &TimeZone::UTC,
            has_color: false,
        };
        view::target(&scene, Rect::new(0, 0, 80, 24), x, y)
    };
    assert_eq!(target(&seat, 2, 3), Some(MouseTarget::Tab(View::Parents)));
    assert_eq!(target(&seat, 13, 3), Some(MouseTarget::Tab(View::Alive)));
    // One line says what is hidden.
    assert_eq!(target(&seat, 10, 4), None);
    assert_eq!(target(&seat, 10, 7), Some(MouseTarget::Row(1)));
    let screen = seat.text();
    let heading = screen.lines().nth(5).unwrap();
    let x = heading.chars().collect::<String>().find("OLDEST").unwrap() as u16;
    let found = target(&seat, x, 5);
    assert_eq!(found, Some(MouseTarget::Heading(Some(Column::Oldest))));
    seat.ui.click_heading(Column::Oldest);
    seat.fit();
    assert!(seat.names()[0].starts_with("node"), "{:?}", seat.names());
    seat.ui.click_heading(Column::Oldest);
    seat.fit();
    assert!(!seat.names()[0].starts_with("node"), "{:?}", seat.names());
    seat.ui.click(1, &seat.table);
    assert_eq!((seat.ui.selected, seat.ui.is_detailed), (1, false));
    seat.ui.click(1, &seat.table);
    assert!(seat.ui.is_detailed);
}

#[test]
fn the_terminal_of_the_command_is_drawn_without_what_could_fool_ours() {
    let mut seat = Seat::new((80, 24));
    seat.ui.run = BindingKind::WithCommand;
    seat.type_in("o");
    let size = |number| std::num::NonZeroU16::new(number).unwrap();
    let mut command = vt100::Parser::new(size(20), size(80), 0);
    command.process(b"plain \x1b[31mred\x1b[m \xe2\x80\xae\x1b]0;title\x07\r\n\xe6\x97\xa5!");
    let area = Rect::new(0, 0, 80, 24);
    let draw = |has_color| {
        let mut buffer = Buffer::empty(area);
        let scene = Scene {
            model: &seat.model,
            ui: &seat.ui,
            table: &seat.table,
            process: None,
            progress: SceneProgress::Live,
            recording: None,
            pane: Some(command.screen()),
            zone: &TimeZone::UTC,
            has_color,
        };
        view::draw(&mut buffer, area, &scene);
        buffer
    };
    let screen = text(&draw(false));
    assert!(screen.contains("\nplain red"), "{screen}");
    assert!(screen.contains("日"), "{screen}");
    assert!(!screen.contains('\u{202e}'), "{screen}");
    assert!(screen.contains("Ctrl-] goes back"), "{screen}");
    assert_eq!(draw(true)[(6, 4)].fg, Color::Indexed(1));
    assert_eq!(draw(false)[(6, 4)].fg, Color::Reset);
    let key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    assert_eq!(seat.ui.key(key, &seat.table), Some(Effect::Type(key)));
    let back = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL);
    assert_eq!(seat.ui.key(back, &seat.table), None);
    assert_eq!(seat.ui.mode, Mode::Table);
}
