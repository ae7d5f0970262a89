//! Which signal a process is to get, and whether it is meant.

use nix::sys::signal::Signal;
use ratatui::crossterm::event::KeyCode;

/// The signals that can be sent, each with what it does to a parent of zombies.
pub(crate) const SIGNALS: [(Signal, &str); 5] = [
    (Signal::SIGCHLD, "reminds it of its zombies"),
    (Signal::SIGCONT, "continues it if it is stopped"),
    (Signal::SIGHUP, "makes some daemons reload"),
    (Signal::SIGTERM, "ends it: init then reaps its zombies"),
    (Signal::SIGKILL, "kills it: init then reaps its zombies"),
];

/// A question about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) pid: u32,
    /// Escaped.
    pub(crate) name: String,
    /// The index of the signal.
    pub(crate) chosen: usize,
    /// The signal is chosen, and only yes or no is missing.
    pub(crate) is_sure: bool,
}

/// What a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuestionAnswer {
    /// Nothing yet.
    None,
    Cancelled,
    Signal(i32),
}

impl Question {
    pub(crate) fn new(pid: u32, name: &str) -> Self {
        Self {
            pid,
            name: name.to_owned(),
            chosen: 0,
            is_sure: false,
        }
    }

    pub(crate) fn key(&mut self, code: KeyCode) -> QuestionAnswer {
        if self.is_sure {
            return match code {
                KeyCode::Char('y' | 'Y') => QuestionAnswer::Signal(SIGNALS[self.chosen].0 as i32),
                _ => QuestionAnswer::Cancelled,
            };
        }
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => {
                self.chosen = (self.chosen + 1).min(SIGNALS.len() - 1);
            }
            KeyCode::Enter => self.is_sure = true,
            _ => return QuestionAnswer::Cancelled,
        }
        QuestionAnswer::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_yes_sends_it() {
        for (last, answer) in [
            (KeyCode::Char('y'), QuestionAnswer::Signal(libc::SIGTERM)),
            (KeyCode::Enter, QuestionAnswer::Cancelled),
            (KeyCode::Char('n'), QuestionAnswer::Cancelled),
            (KeyCode::Esc, QuestionAnswer::Cancelled),
        ] {
            let mut question = Question::new(7, "x");
            for code in [KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Enter] {
                assert_eq!(question.key(code), QuestionAnswer::None);
            }
            assert_eq!(question.key(last), answer, "{last:?}");
        }
        assert_eq!(
            Question::new(7, "x").key(KeyCode::Esc),
            QuestionAnswer::Cancelled
        );
        assert_eq!(
            Question::new(7, "x").key(KeyCode::Char('y')),
            QuestionAnswer::Cancelled
        );
    }
}
