//! Signals that end a run.

use std::{io, thread};

use nix::sys::signal::{SigHandler, Signal};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// SIGINT, SIGTERM or SIGHUP.
    pub signal: Signal,
    /// It came from the terminal, which sends it to every process in the foreground by itself.
    pub from_terminal: bool,
}

/// From now on SIGINT and SIGTERM end the run in good order, and so does SIGHUP, unless it was
/// ignored (nohup(1)). SIGINT does even then: shells ignore it for what they put in the background,
/// where `kill -INT` is meant all the same.
pub fn subscribe(inherited: &Inherited) -> io::Result<UnboundedReceiver<Stop>> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM])?;
    if !inherited.ignored.contains(&Signal::SIGHUP) {
        signals.add_signal(SIGHUP)?;
    }
    let (sender, receiver) = unbounded_channel();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for origin in signals.forever() {
                if let Some(stop) = stop(&origin)
                    && sender.send(stop).is_err()
                {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

fn stop(origin: &Origin) -> Option<Stop> {
    Some(Stop {
        signal: Signal::try_from(origin.signal).ok()?,
        from_terminal: origin.cause == Cause::Kernel,
    })
}

/// From now on a write beyond the file size limit (`ulimit -f`) fails instead of killing us in the
/// middle of a line. A handler does it: unlike an ignored signal, COMMAND does not inherit it.
pub fn survive_file_size_limit() -> nix::Result<()> {
    extern "C" fn nothing(_: std::ffi::c_int) {}

    // SAFETY: the handler does nothing, and nothing else deals with this signal.
    let previous =
        unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::Handler(nothing)) }?;
    if matches!(previous, SigHandler::SigIgn) {
        // SAFETY: no handler is installed. COMMAND inherits it as we did.
        unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// The signals that this program treats in its own way and that were ignored when it started
/// (by nohup, or by a shell's `&`): a command inherits that.
#[derive(Clone, Debug)]
pub struct Inherited {
    ignored: Vec<Signal>,
}

impl Inherited {
    /// Takes the dispositions down and makes all but an ignored SIGHUP the default: without
    /// SIGCHLD no command could be waited for.
    pub fn take() -> nix::Result<Self> {
        let mut ignored = Vec::new();
        for signal in [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGCHLD,
        ] {
            // SAFETY: no handler is installed, and nothing else deals with signals yet.
            let previous = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
            if matches!(previous, SigHandler::SigIgn) {
                ignored.push(signal);
            }
        }
        if ignored.contains(&Signal::SIGHUP) {
            // SAFETY: as above.
            unsafe { nix::sys::signal::signal(Signal::SIGHUP, SigHandler::SigIgn) }?;
        }
        Ok(Self { ignored })
    }

    /// Ignores them again; for a forked child before exec, and async-signal-safe.
    pub fn restore(&self) -> nix::Result<()> {
        for &signal in &self.ignored {
            // SAFETY: it installs no handler.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
        }
        Ok(())
    }
}
