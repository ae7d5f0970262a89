//! The state of the screen: keys and rows in, what is shown and what is to be done out. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    choice::Choice,
    column::Column,
    keys::{self, Action, BindingKind},
    question::{Question, QuestionAnswer},
    row::{Key, TopRow},
    table::SortedRows,
    view::{Grouping, View},
};
use crate::{filter::Expression, text::visible};

/// What is to be done outside of the state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// Hold the figures, or let them go.
    Pause(bool),
    Reset,
    /// Show everything about a process.
    Inspect(u32),
    /// Find the parent, to ask which signal to send.
    Target(u32),
    /// Send the process that was asked about a signal.
    Send(i32),
    /// Nobody is to get a signal.
    Release,
    Copy(Box<TopRow>),
    Export(Box<TopRow>),
    Record,
    Page,
    /// COMMAND gets a key.
    Type(KeyEvent),
    /// Move in a recording, by ns.
    Seek(i64),
    /// Go on or stop in a recording.
    Play,
}

/// What the keyboard is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Mode {
    #[default]
    Table,
    /// The help screen, from this line on.
    Help(usize),
    Input(Input),
    Ask(Question),
    /// COMMAND gets what is typed.
    Command,
}

/// A line that is typed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) purpose: PromptPurpose,
    pub(crate) text: String,
    /// What is wrong with it.
    pub(crate) error: Option<String>,
}

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptPurpose {
    Search,
    Filter,
}

/// As many characters can be typed.
const LONGEST_INPUT: usize = 200;

/// How far an arrow key moves in a recording, ns.
const STEP: i64 = 5_000_000_000;

/// The screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ui {
    pub(crate) choice: Choice,
    pub(crate) mode: Mode,
    pub(crate) run: BindingKind,
    pub(crate) is_paused: bool,
    /// The row that is selected.
    pub(crate) selected: usize,
    /// The first row that is shown.
    pub(crate) first: usize,
    /// This row stays selected wherever it moves.
    pub(crate) followed: Option<Key>,
    /// The details of the selected row fill the screen.
    pub(crate) is_detailed: bool,
    pub(crate) search: String,
    /// What was done or has happened last.
    pub(crate) message: Option<String>,
    /// The row that stays selected when the others are put in another order.
    pub(crate) kept: Option<Key>,
    /// How many rows fit on the screen.
    pub(crate) page: usize,
}

impl Ui {
    /// That many rows fit on the screen; the selected one is among those shown.
    pub(crate) fn fit(&mut self, table: &SortedRows, page: usize) {
        self.page = page.max(1);
        if let Some(key) = self.followed.as_ref().or(self.kept.take().as_ref())
            && let Some(at) = table.rows.iter().position(|row| row.key == *key)
        {
            self.selected = at;
        }
        let count = table.rows.len();
        self.selected = self.selected.min(count.saturating_sub(1));
        let first_at_end = count.saturating_sub(self.page);
        self.first = self
            .first
            .min(first_at_end)
            .min(self.selected)
            .max((self.selected + 1).saturating_sub(self.page));
    }

    /// The row that is selected.
    pub(crate) fn row<'a>(&self, table: &'a SortedRows) -> Option<&'a TopRow> {
        table.rows.get(self.selected)
    }

    /// Says something until the next key.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.message = Some(text.into());
    }

    /// Asks which signal a process is to get.
    pub(crate) fn ask(&mut self, pid: u32, name: &str) {
        self.mode = Mode::Ask(Question::new(pid, name));
    }

    /// A key was pressed.
    pub(crate) fn key(&mut self, event: KeyEvent, table: &SortedRows) -> Option<Effect> {
        self.message = None;
        let is_interrupt = event.modifiers.contains(KeyModifiers::CONTROL)
            && matches!(event.code, KeyCode::Char('c' | 'z'));
        match &mut self.mode {
            Mode::Command => {
                // crossterm reads Ctrl-] as Ctrl-5.
                let is_back = matches!(event.code, KeyCode::Char('5' | ']'));
                if is_back && event.modifiers.contains(KeyModifiers::CONTROL) {
                    self.mode = Mode::Table;
                    return None;
                }
                return Some(Effect::Type(event));
            }
            _ if is_interrupt => {}
            Mode::Input(_) => {
                self.typed(event, table);
                return None;
            }
            Mode::Ask(question) => {
                let answer = question.key(event.code);
                return self.answered(answer);
            }
            Mode::Help(_) => {
                let page = self.page as isize;
                match event.code {
                    KeyCode::Down | KeyCode::Char('j') => self.scroll_help(1),
                    KeyCode::Up | KeyCode::Char('k') => self.scroll_help(-1),
                    KeyCode::PageDown => self.scroll_help(page),
                    KeyCode::PageUp => self.scroll_help(-page),
                    _ => self.mode = Mode::Table,
                }
                return None;
            }
            Mode::Table => {}
        }
        self.act(keys::action(event, self.run)?, table)
    }

    fn scroll_help(&mut self, by: isize) {
        if let Mode::Help(first) = &mut self.mode {
            let last = keys::help_lines(self.run).saturating_sub(self.page);
            *first = first.saturating_add_signed(by).min(last);
        }
    }

    /// The wheel was turned: a step up or down, in the help screen or in the table.
    pub(crate) fn wheel(&mut self, action: Action, table: &SortedRows) {
        match (&self.mode, action) {
            (Mode::Help(_), Action::Up) => self.scroll_help(-1),
            (Mode::Help(_), _) => self.scroll_help(1),
            (Mode::Table, _) => drop(self.act(action, table)),
            _ => {}
        }
    }

    fn answered(&mut self, answer: QuestionAnswer) -> Option<Effect> {
        match answer {
            QuestionAnswer::None => None,
            QuestionAnswer::Cancelled => {
                self.mode = Mode::Table;
                self.say("no signal was sent");
                Some(Effect::Release)
            }
            QuestionAnswer::Signal(signal) => {
                self.mode = Mode::Table;
                Some(Effect::Send(signal))
            }
        }
    }

    /// Does what a key of the table asks for.
    pub(crate) fn act(&mut self, action: Action, table: &SortedRows) -> Option<Effect> {
        let last = table.rows.len().saturating_sub(1);
        match action {
            Action::Up => self.select(self.selected.saturating_sub(1), table),
            Action::Down => self.select((self.selected + 1).min(last), table),
            Action::PageUp => self.select(self.selected.saturating_sub(self.page), table),
            Action::PageDown => self.select((self.selected + self.page).min(last), table),
            Action::First => self.select(0, table),
            Action::Last => self.select(last, table),
            Action::NextView => self.show(self.choice.view.step(1)),
            Action::PreviousView => self.show(self.choice.view.step(-1)),
            Action::Show(view) => self.show(view),
            Action::Details => self.is_detailed = !self.is_detailed && self.row(table).is_some(),
            Action::Back => self.back(),
            Action::Help => self.mode = Mode::Help(0),
            Action::Quit => return Some(Effect::Quit),
            Action::Suspend => return Some(Effect::Suspend),
            Action::Search => self.input(PromptPurpose::Search, String::new()),
            Action::NextMatch => self.find(table, 1, 1),
            Action::PreviousMatch => self.find(table, 1, -1),
            Action::Filter => self.input(PromptPurpose::Filter, self.choice.filter.to_string()),
            Action::Follow => self.follow(table),
            Action::OneContainer => self.one_container(table),
            Action::NextSort => self.choice.sort_step(1, true),
            Action::SortLeft => self.choice.sort_step(-1, false),
            Action::SortRight => self.choice.sort_step(1, false),
            Action::Invert => self.choice.invert(),
            Action::Group => {
                self.show(View::Parents);
                self.choice.grouping = self.choice.grouping.next();
            }
            Action::Tree => {
                let was_tree = self.choice.is_tree();
                self.show(View::Parents);
                self.choice.grouping = Grouping::Pid;
                self.choice.as_tree = !was_tree;
                self.kept = self.row(table).map(|row| row.key.clone());
            }
            Action::Threshold => self.choice.next_threshold(),
            Action::LongerWindow => self.choice.window = self.choice.window.longer(),
            Action::ShorterWindow => self.choice.window = self.choice.window.shorter(),
            Action::WholeCommands => self.choice.whole_commands = !self.choice.whole_commands,
            Action::Pause => {
                self.is_paused = !self.is_paused;
                return Some(Effect::Pause(self.is_paused));
            }
            Action::Reset => {
                self.say("figures were reset");
                return Some(Effect::Reset);
            }
            Action::Inspect => match self.row(table) {
                Some(row) => match row.pid.or(row.parent_process().map(|(pid, _)| pid)) {
                    Some(pid) => return Some(Effect::Inspect(pid)),
                    None => self.say("this row stands for several processes"),
                },
                None => self.say("no row is selected"),
            },
            Action::Signal => match self.row(table).map(TopRow::parent_process) {
                Some(Some((pid, _))) => return Some(Effect::Target(pid)),
                Some(None) => self.say("this row has no single parent"),
                None => self.say("no row is selected"),
            },
            Action::Copy => return self.with_row(table, Effect::Copy),
            Action::Export => return self.with_row(table, Effect::Export),
            Action::Record => return Some(Effect::Record),
            Action::Page => return Some(Effect::Page),
            Action::Command => self.mode = Mode::Command,
            Action::Earlier => return Some(Effect::Seek(-STEP)),
            Action::Later => return Some(Effect::Seek(STEP)),
            Action::Play => return Some(Effect::Play),
        }
        None
    }

    fn with_row(
        &mut self,
        table: &SortedRows,
        effect: fn(Box<TopRow>) -> Effect,
    ) -> Option<Effect> {
        let row = self.row(table).cloned();
        if row.is_none() {
            self.say("no row is selected");
        }
        row.map(|row| effect(Box::new(row)))
    }

    /// Selects a row. One that is followed gives way.
    fn select(&mut self, at: usize, table: &SortedRows) {
        self.selected = at;
        if self.followed.is_some() {
            self.followed = self.row(table).map(|row| row.key.clone());
        }
    }

    /// Selects the row at that place on the screen; the selected one opens.
    pub(crate) fn click(&mut self, at: usize, table: &SortedRows) {
        let row = self.first + at;
        if row < table.rows.len() {
            if row == self.selected {
                self.is_detailed = true;
            }
            self.select(row, table);
        }
    }

    /// Sorts by a column whose heading was clicked.
    pub(crate) fn click_heading(&mut self, column: Column) {
        if column.is_sortable() {
            self.choice.sort_by(column);
        }
    }

    fn show(&mut self, view: View) {
        if self.choice.view != view {
            self.choice.view = view;
            self.selected = 0;
            self.first = 0;
            self.followed = None;
        }
        self.is_detailed = false;
    }

    /// Takes one thing back: details, search, container, filter.
    fn back(&mut self) {
        if self.is_detailed {
            self.is_detailed = false;
        } else if !self.search.is_empty() {
            self.search.clear();
        } else if self.choice.container.is_some() {
            self.choice.container = None;
        } else if !self.choice.filter.is_empty() {
            self.choice.filter = Expression::default();
        } else {
            self.followed = None;
        }
    }

    fn follow(&mut self, table: &SortedRows) {
        self.followed = match self.followed {
            Some(_) => None,
            None => self.row(table).map(|row| row.key.clone()),
        };
    }

    fn one_container(&mut self, table: &SortedRows) {
        if self.choice.container.take().is_some() {
            return;
        }
        match self.row(table).and_then(TopRow::container) {
            Some(container) => self.choice.container = Some(container.clone()),
            None => self.say("this row is in no container"),
        }
    }

    fn input(&mut self, purpose: PromptPurpose, text: String) {
        self.mode = Mode::Input(Input {
            purpose,
            text,
            error: None,
        });
    }

    fn typed(&mut self, event: KeyEvent, table: &SortedRows) {
        let Mode::Input(input) = &mut self.mode else {
            return;
        };
        let is_control = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::Esc => {
                self.mode = Mode::Table;
                return;
            }
            KeyCode::Enter => return self.entered(table),
            KeyCode::Backspace => {
                input.text.pop();
            }
            KeyCode::Char('u') if is_control => input.text.clear(),
            KeyCode::Char(char) if !is_control && input.text.chars().count() < LONGEST_INPUT => {
                input.text.push(char);
            }
            _ => return,
        }
        input.error = None;
        if input.purpose == PromptPurpose::Search {
            self.search = input.text.to_lowercase();
            self.find(table, 0, 1);
            self.message = None;
        }
    }

    fn entered(&mut self, table: &SortedRows) {
        let Mode::Input(input) = &mut self.mode else {
            return;
        };
        match input.purpose {
            PromptPurpose::Search => {
                self.search = input.text.to_lowercase();
                self.mode = Mode::Table;
                self.find(table, 0, 1);
            }
            PromptPurpose::Filter => match input.text.parse() {
                Ok(filter) => {
                    self.choice.filter = filter;
                    self.mode = Mode::Table;
                }
                Err(error) => input.error = Some(visible(&error.to_string())),
            },
        }
    }

    /// Selects the next row that the search finds, from `skip` rows on, up or down, around the end.
    fn find(&mut self, table: &SortedRows, skip: usize, by: isize) {
        if self.search.is_empty() {
            return;
        }
        let count = table.rows.len();
        let found = (skip..count + skip).find_map(|step| {
            let at = (self.selected as isize + by * step as isize).rem_euclid(count as isize);
            table.rows[at as usize]
                .contains(&self.search)
                .then_some(at as usize)
        });
        match found {
            Some(at) => self.select(at, table),
            None => self.say(format!("nothing contains '{}'", visible(&self.search))),
        }
    }
}
