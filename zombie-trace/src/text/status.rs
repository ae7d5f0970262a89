use nix::{libc, sys::signal::Signal};

/// How a process ended: `exit 0`, `SIGKILL`, `SIGSEGV core`, or `?`.
pub(crate) fn status(exit_code: Option<u8>, signal: Option<u8>, core_dumped: bool) -> String {
    match (signal, exit_code) {
        (Some(signal), _) => {
            let core = if core_dumped { " core" } else { "" };
            format!("{}{core}", name(signal.into()))
        }
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => "?".to_owned(),
    }
}

fn name(signal: i32) -> String {
    match (Signal::try_from(signal), signal - libc::SIGRTMIN()) {
        (Ok(signal), _) => signal.as_str().to_owned(),
        (Err(_), 0) => "SIGRTMIN".to_owned(),
        (Err(_), offset @ 1..) => format!("SIGRTMIN+{offset}"),
        (Err(_), _) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(status(Some(0), None, false), "exit 0");
        assert_eq!(status(Some(255), None, false), "exit 255");
        assert_eq!(status(None, Some(9), false), "SIGKILL");
        assert_eq!(status(None, Some(11), true), "SIGSEGV core");
        assert_eq!(status(None, None, false), "?");
    }

    #[test]
    fn signals_without_a_name() {
        assert_eq!(name(32), "signal 32");
        assert_eq!(name(libc::SIGRTMIN()), "SIGRTMIN");
        assert_eq!(name(libc::SIGRTMIN() + 3), "SIGRTMIN+3");
    }
}
