use std::{fmt, str::FromStr};

use glob::Pattern;
use thiserror::Error;
use zombie_trace_common::COMM_LEN;

use crate::model::Comm;

/// A shell pattern for command names: `*`, `?`, `[a-z]`, `[!a-z]`; letter case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameGlob(Pattern);

impl NameGlob {
    /// Whether the whole name matches; U+FFFD stands for what is not UTF-8 in it.
    pub fn matches(&self, name: &Comm) -> bool {
        self.0.matches(&name.to_str())
    }
}

impl fmt::Display for NameGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for NameGlob {
    type Err = NameGlobError;

    fn from_str(text: &str) -> Result<Self, NameGlobError> {
        if text.is_empty() {
            return Err(NameGlobError::Empty);
        }
        let longest = COMM_LEN - 1;
        if text.len() > longest && !text.contains(['*', '?', '[']) {
            let boundary = (0..=longest)
                .rev()
                .find(|&index| text.is_char_boundary(index));
            let cut = text[..boundary.unwrap_or(0)].to_owned();
            return Err(NameGlobError::TooLong { cut });
        }
        Pattern::new(text)
            .map(Self)
            .map_err(|err| NameGlobError::Pattern(err.msg))
    }
}

/// Why a text is no [`NameGlob`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameGlobError {
    /// The empty text.
    #[error("matches no name: give a name or a pattern such as 'python*'")]
    Empty,
    /// A name that no process can have.
    #[error("the kernel cuts names to 15 bytes: write '{cut}*'")]
    TooLong {
        /// What the kernel leaves of it.
        cut: String,
    },
    /// Not a shell pattern.
    #[error("not a pattern: {0}")]
    Pattern(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> NameGlob {
        text.parse().unwrap()
    }

    #[test]
    fn the_whole_name_must_match() {
        assert!(glob("bash").matches(&"bash".into()));
        assert!(!glob("bash").matches(&"bashful".into()));
        assert!(!glob("bash").matches(&"Bash".into()));
        assert!(glob("py*").matches(&"python3".into()));
        assert!(glob("[!a-o]?").matches(&"sh".into()));
    }

    #[test]
    fn slash_and_dot_are_ordinary() {
        assert!(glob("kworker*").matches(&"kworker/0:1".into()));
        assert!(glob("*").matches(&".hidden".into()));
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_refused_with_the_cut() {
        assert_eq!(
            "systemd-journald".parse::<NameGlob>(),
            Err(NameGlobError::TooLong {
                cut: "systemd-journal".into()
            })
        );
        assert!("systemd-journal".parse::<NameGlob>().is_ok());
        assert!("*systemd-journald*".parse::<NameGlob>().is_ok());
        assert_eq!(
            "0123456789abcdé".parse::<NameGlob>(),
            Err(NameGlobError::TooLong {
                cut: "0123456789abcd".into()
            })
        );
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert_eq!("".parse::<NameGlob>(), Err(NameGlobError::Empty));
        assert!(matches!(
            "[a".parse::<NameGlob>(),
            Err(NameGlobError::Pattern(_))
        ));
        assert!(matches!(
            "a***".parse::<NameGlob>(),
            Err(NameGlobError::Pattern(_))
        ));
    }
}
