//! The keys: one table, which the help screen and the tests read as well.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::view::View;

use self::When::{Always, Live, Replay, WithCommand};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    NextView,
    PreviousView,
    Show(View),
    Details,
    Back,
    Help,
    Quit,
    Suspend,
    Search,
    NextMatch,
    PreviousMatch,
    Filter,
    Follow,
    OneContainer,
    NextSort,
    SortLeft,
    SortRight,
    Invert,
    Group,
    Tree,
    Threshold,
    LongerWindow,
    ShorterWindow,
    WholeCommands,
    Pause,
    Reset,
    Inspect,
    Copy,
    Signal,
    Record,
    Page,
    Export,
    Command,
    Earlier,
    Later,
    Play,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BindingKind {
    #[default]
    Live,
    /// COMMAND has a terminal that can be shown.
    WithCommand,
    /// A recording.
    Replay,
}

/// When a key does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// While a run is traced.
    Live,
    /// While a run with COMMAND is traced.
    WithCommand,
    /// While a recording is replayed.
    Replay,
}

/// Some keys, and what the help screen says about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    /// As the help screen shows them.
    pub(crate) shown: &'static str,
    pub(crate) keys: &'static [(KeyCode, KeyModifiers, Action)],
    pub(crate) help: &'static str,
    pub(crate) when: When,
}

/// Bindings that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySection {
    pub(crate) title: &'static str,
    pub(crate) bindings: &'static [Binding],
}

const fn key(code: KeyCode, action: Action) -> (KeyCode, KeyModifiers, Action) {
    (code, KeyModifiers::NONE, action)
}

const fn char(char: char, action: Action) -> (KeyCode, KeyModifiers, Action) {
    key(KeyCode::Char(char), action)
}

const fn control(char: char, action: Action) -> (KeyCode, KeyModifiers, Action) {
    (KeyCode::Char(char), KeyModifiers::CONTROL, action)
}

const fn bind(
    shown: &'static str,
    help: &'static str,
    when: When,
    keys: &'static [(KeyCode, KeyModifiers, Action)],
) -> Binding {
    Binding {
        shown,
        keys,
        help,
        when,
    }
}

/// Every key.
pub(crate) const SECTIONS: [KeySection; 5] = [
    KeySection {
        title: "Moving",
        bindings: &[
            bind(
                "↑ ↓  k j",
                "select a row",
                Always,
                &[
                    key(KeyCode::Up, Action::Up),
                    key(KeyCode::Down, Action::Down),
                    char('k', Action::Up),
                    char('j', Action::Down),
                ],
            ),
            bind(
                "PgUp PgDn",
                "one page up, down",
                Always,
                &[
                    key(KeyCode::PageUp, Action::PageUp),
                    key(KeyCode::PageDown, Action::PageDown),
                ],
            ),
            bind(
                "Home End",
                "first, last row",
                Always,
                &[
                    key(KeyCode::Home, Action::First),
                    key(KeyCode::End, Action::Last),
                ],
            ),
            bind(
                "Tab  1-6",
                "another view",
                Always,
                &[
                    key(KeyCode::Tab, Action::NextView),
                    key(KeyCode::BackTab, Action::PreviousView),
                    char('1', Action::Show(View::Parents)),
                    char('2', Action::Show(View::Alive)),
                    char('3', Action::Show(View::Reaps)),
                    char('4', Action::Show(View::Commands)),
                    char('5', Action::Show(View::Containers)),
                    char('6', Action::Show(View::Timeline)),
                ],
            ),
            bind(
                "Enter",
                "details of the row",
                Always,
                &[key(KeyCode::Enter, Action::Details)],
            ),
            bind(
                "Esc",
                "back; clear search and filters",
                Always,
                &[key(KeyCode::Esc, Action::Back)],
            ),
            bind(
                "← →",
                "5 s back, forward in time",
                Replay,
                &[
                    key(KeyCode::Left, Action::Earlier),
                    key(KeyCode::Right, Action::Later),
                ],
            ),
            bind("Space", "play or stop", Replay, &[char(' ', Action::Play)]),
        ],
    },
    KeySection {
        title: "Finding",
        bindings: &[
            bind("/", "search", Always, &[char('/', Action::Search)]),
            bind(
                "n N",
                "next, previous match",
                Always,
                &[
                    char('n', Action::NextMatch),
                    char('N', Action::PreviousMatch),
                ],
            ),
            bind(
                "f",
                "filter: parent~nginx zombie>10ms",
                Always,
                &[char('f', Action::Filter)],
            ),
            bind(
                "F",
                "follow the selected row",
                Always,
                &[char('F', Action::Follow)],
            ),
            bind(
                "c",
                "only the row's container",
                Always,
                &[char('c', Action::OneContainer)],
            ),
        ],
    },
    KeySection {
        title: "Showing",
        bindings: &[
            bind(
                "s",
                "sort by the next column",
                Always,
                &[char('s', Action::NextSort)],
            ),
            bind(
                "< >",
                "sort by the column left, right",
                Always,
                &[char('<', Action::SortLeft), char('>', Action::SortRight)],
            ),
            bind(
                "I",
                "invert the order",
                Always,
                &[char('I', Action::Invert)],
            ),
            bind(
                "g",
                "group parents: pid, command, unit, container",
                Always,
                &[char('g', Action::Group)],
            ),
            bind(
                "t",
                "tree: parents below their ancestors",
                Live,
                &[char('t', Action::Tree)],
            ),
            bind(
                "m",
                "hide quick reaps: 0, 1, 10, 100 ms, 1 s",
                Always,
                &[char('m', Action::Threshold)],
            ),
            bind(
                "+ -",
                "window: 10 s, 1 min, all",
                Always,
                &[
                    char('+', Action::LongerWindow),
                    char('=', Action::LongerWindow),
                    char('-', Action::ShorterWindow),
                ],
            ),
            bind(
                "w",
                "whole command lines",
                Always,
                &[char('w', Action::WholeCommands)],
            ),
            bind("p", "pause the screen", Live, &[char('p', Action::Pause)]),
            bind("r", "reset the figures", Live, &[char('r', Action::Reset)]),
        ],
    },
    KeySection {
        title: "Acting",
        bindings: &[
            bind(
                "o",
                "COMMAND's terminal; Ctrl-] goes back",
                WithCommand,
                &[char('o', Action::Command)],
            ),
            bind(
                "i",
                "inspect the row's process",
                Live,
                &[char('i', Action::Inspect)],
            ),
            bind(
                "x F9",
                "send the parent a signal",
                Live,
                &[
                    char('x', Action::Signal),
                    key(KeyCode::F(9), Action::Signal),
                ],
            ),
            bind(
                "y",
                "copy the equivalent command",
                Always,
                &[char('y', Action::Copy)],
            ),
            bind(
                "R",
                "start or stop recording",
                Live,
                &[char('R', Action::Record)],
            ),
            bind(
                "H",
                "write the recording as HTML",
                Always,
                &[char('H', Action::Page)],
            ),
            bind(
                "e",
                "export the row as JSON",
                Always,
                &[char('e', Action::Export)],
            ),
            bind(
                "? F1",
                "help",
                Always,
                &[char('?', Action::Help), key(KeyCode::F(1), Action::Help)],
            ),
            bind(
                "Ctrl-Z",
                "suspend",
                Always,
                &[control('z', Action::Suspend)],
            ),
            bind(
                "q Ctrl-C",
                "quit, and show the summary",
                Always,
                &[char('q', Action::Quit), control('c', Action::Quit)],
            ),
        ],
    },
    KeySection {
        title: "Columns",
        bindings: &[
            bind("!", "ALIVE is growing, or OLDEST is high", Always, &[]),
            bind(
                "AVG ALIVE",
                "average number of zombies in the window",
                Always,
                &[],
            ),
            bind("WHERE", "what the zombies' time was spent on:", Always, &[]),
            bind("  █ ▒", "parent not waiting; no CPU", Always, &[]),
            bind("  ▓ ◆ ░", "notified late; tracer; the wait", Always, &[]),
        ],
    },
];

/// How many lines the help screen has: titles, keys, and a blank line between two sections.
pub(crate) fn help_lines(run: BindingKind) -> usize {
    let bindings = SECTIONS.iter().flat_map(|section| section.bindings);
    bindings.filter(|binding| is_now(binding, run)).count() + 2 * SECTIONS.len() - 1
}

/// What a key does; `None` if it does nothing.
pub(crate) fn action(event: KeyEvent, run: BindingKind) -> Option<Action> {
    // A terminal need not say that Shift was pressed with a letter.
    let modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
    let bindings = SECTIONS.iter().flat_map(|section| section.bindings);
    let bindings = bindings.filter(|binding| is_now(binding, run));
    let mut keys = bindings.flat_map(|binding| binding.keys);
    let found = keys.find(|(code, wanted, _)| *code == event.code && *wanted == modifiers);
    found.map(|(.., action)| *action)
}

/// Whether a binding does something.
pub(crate) fn is_now(binding: &Binding, run: BindingKind) -> bool {
    match binding.when {
        Always => true,
        Live => run != BindingKind::Replay,
        WithCommand => run == BindingKind::WithCommand,
        Replay => run == BindingKind::Replay,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        for run in [
            BindingKind::Live,
            BindingKind::WithCommand,
            BindingKind::Replay,
        ] {
            let bindings = SECTIONS.iter().flat_map(|section| section.bindings);
            let bindings = bindings.filter(|binding| is_now(binding, run));
            let mut seen = HashSet::new();
            for (code, modifiers, action) in bindings.flat_map(|binding| binding.keys) {
                assert!(seen.insert((*code, *modifiers)), "{code:?}");
                let event = KeyEvent::new(*code, *modifiers);
                assert_eq!(super::action(event, run), Some(*action));
            }
        }
    }

    #[test]
    fn shift_makes_no_difference_to_a_letter() {
        let event = KeyEvent::new(KeyCode::Char('N'), KeyModifiers::SHIFT);
        assert_eq!(
            action(event, BindingKind::Live),
            Some(Action::PreviousMatch)
        );
        let event = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(action(event, BindingKind::Live), Some(Action::Quit));
        let event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert_eq!(action(event, BindingKind::Live), None);
    }
}
