//! What the program's exit status means.

use std::process;

/// The program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// All went well; also after Ctrl-C, SIGTERM and a broken pipe.
    Success,
    /// Something failed: a privilege, a file, a hook.
    Error,
    /// The command line makes no sense.
    Usage,
    /// A condition of `--fail-if` holds.
    ConditionHolds,
    /// Data were lost and `--strict` was given.
    Incomplete,
    /// COMMAND's own status: its exit code, 128+n if signal n killed it, 127 if it was not found,
    /// 126 if it could not be executed. Also 128+n if signal n came before the run had started.
    Command(u8),
}

impl ExitCode {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::ConditionHolds => 3,
            Self::Incomplete => 4,
            Self::Command(code) => code,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.code().into()
    }
}

impl process::Termination for ExitCode {
    fn report(self) -> process::ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_contract() {
        assert_eq!(ExitCode::Success.code(), 0);
        assert_eq!(ExitCode::Error.code(), 1);
        assert_eq!(ExitCode::Usage.code(), 2);
        assert_eq!(ExitCode::ConditionHolds.code(), 3);
        assert_eq!(ExitCode::Incomplete.code(), 4);
        assert_eq!(ExitCode::Command(137).code(), 137);
    }
}
