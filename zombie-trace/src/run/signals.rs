//! Signals: those that end a run, those that COMMAND gets too, and what it inherits.

use std::{
    collections::VecDeque,
    io, mem, ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libc::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT, SIGTERM,
    SIGUSR1, SIGUSR2, SIGVTALRM, c_int,
};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use signal_hook::{
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::siginfo::{self, Cause},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::exit_code::ExitCode;

/// Signals that end a run even if the caller ignored them: shells ignore SIGINT for what they put
/// in the background, where `kill -INT` is meant all the same.
const ALWAYS: [c_int; 2] = [SIGINT, SIGTERM];

/// Signals that stay ignored if the caller ignored them, as nohup(1) does. All of them would kill
/// this program, and the recording with it, if nothing caught them.
const UNLESS_IGNORED: [c_int; 10] = [
    SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT,
];

/// The same signal again within this time is the same request: timeout(1) signals its child and then
/// the child's process group, and a shell hangs up what the terminal hangs up as well.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// True once a second signal has asked for the end.
static IS_URGENT: AtomicBool = AtomicBool::new(false);

/// True once a second signal has asked for the end: nothing may be waited for any more.
pub fn is_urgent() -> bool {
    IS_URGENT.load(Ordering::Relaxed)
}

/// A signal that this program got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: c_int,
    /// Who sent it.
    pub origin: Origin,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process, by kill(2) or the like.
    Process,
    /// Our terminal's driver, to its whole foreground process group.
    Terminal,
    /// Nobody yet: the character for it was typed, and COMMAND's own terminal sends it.
    Keyboard,
}

impl Received {
    /// Whether it ends a run. With COMMAND, SIGQUIT does not: some programs dump their state on it
    /// and go on.
    pub fn is_stop(self, with_command: bool) -> bool {
        match self.signal {
            SIGINT | SIGTERM | SIGHUP => true,
            SIGQUIT => !with_command,
            _ => false,
        }
    }

    /// The exit status if it came before the run had begun: 128+n, as a shell has it.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::Command(u8::try_from(128 + self.signal).unwrap_or(u8::MAX))
    }
}

/// Says that a signal has come, as a byte from a terminal in raw mode may mean.
#[derive(Clone, Debug)]
pub struct Sender {
    channel: UnboundedSender<Received>,
    /// The last request to end.
    last_stop: Arc<Mutex<Option<(c_int, Instant)>>>,
}

impl Sender {
    /// False once nobody receives any more.
    pub fn send(&self, received: Received) -> bool {
        if received.is_stop(true) {
            let mut last = self
                .last_stop
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let previous =
                last.map(|(signal, time)| (signal, now.duration_since(time) < SAME_REQUEST));
            match previous {
                Some((signal, true)) if signal == received.signal => {
                    return !self.channel.is_closed();
                }
                Some((_, false)) => IS_URGENT.store(true, Ordering::Relaxed),
                _ => {}
            }
            *last = Some((received.signal, now));
        }
        self.channel.send(received).is_ok()
    }
}

/// The signals that this program gets from now on.
#[derive(Debug)]
pub struct Signals {
    receiver: UnboundedReceiver<Received>,
    /// Those that came while only one that ends the run was waited for: COMMAND gets them later.
    held: VecDeque<Received>,
    sender: Sender,
}

impl Signals {
    /// From now on no signal kills this program that it could survive, but for those that report
    /// a fault of its own.
    ///
    /// # Errors
    /// Too many open files, or too many threads.
    pub fn subscribe(inherited: &Inherited) -> io::Result<Self> {
        let mut signals = SignalsInfo::<WithOrigin>::new(handled(inherited))?;
        let (sender, receiver) = unbounded_channel();
        let sender = Sender {
            channel: sender,
            last_stop: Arc::default(),
        };
        let thread_sender = sender.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for info in signals.forever() {
                    if !thread_sender.send(received(&info)) {
                        return;
                    }
                }
            })?;
        Ok(Self {
            receiver,
            held: VecDeque::new(),
            sender,
        })
    }

    /// Those that have come, and no more.
    #[cfg(test)]
    pub(crate) fn of(received: Vec<Received>) -> Self {
        let (channel, receiver) = unbounded_channel();
        for received in received {
            let _ = channel.send(received);
        }
        let sender = Sender {
            channel,
            last_stop: Arc::default(),
        };
        Self {
            receiver,
            held: VecDeque::new(),
            sender,
        }
    }

    /// The next one, in the order in which they came.
    pub async fn recv(&mut self) -> Received {
        if let Some(received) = self.held.pop_front() {
            return received;
        }
        self.next().await
    }

    async fn next(&mut self) -> Received {
        match self.receiver.recv().await {
            Some(received) => received,
            // Never, as we hold a sender.
            None => std::future::pending().await,
        }
    }

    /// The next one that ends a run. [`recv`](Self::recv) still gives those that came before it.
    pub async fn stop(&mut self, with_command: bool) -> Received {
        loop {
            let received = self.next().await;
            if received.is_stop(with_command) {
                return received;
            }
            self.held.push_back(received);
        }
    }

    /// The first that has come already and that ends a run.
    pub fn stopped(&mut self, with_command: bool) -> Option<Received> {
        loop {
            let received = self.receiver.try_recv().ok()?;
            if received.is_stop(with_command) {
                return Some(received);
            }
            self.held.push_back(received);
        }
    }

    /// What adds signals.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }
}

fn received(info: &siginfo::Origin) -> Received {
    Received {
        signal: info.signal,
        origin: match info.cause {
            Cause::Kernel => Origin::Terminal,
            _ => Origin::Process,
        },
    }
}

fn handled(inherited: &Inherited) -> impl Iterator<Item = c_int> {
    let others = UNLESS_IGNORED
        .into_iter()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        .filter(|signal| !inherited.ignored.contains(signal));
    ALWAYS.into_iter().chain(others)
}

/// From now on a write beyond the file size limit (`ulimit -f`) fails instead of killing us in the
/// middle of a line. A handler does it: unlike an ignored signal, COMMAND does not inherit it.
pub fn survive_file_size_limit() -> nix::Result<()> {
    extern "C" fn nothing(_: c_int) {}

    // SAFETY: the handler does nothing, and nothing else deals with this signal.
    let previous = unsafe {
        nix::sys::signal::signal(
            nix::sys::signal::Signal::SIGXFSZ,
            nix::sys::signal::SigHandler::Handler(nothing),
        )
    }?;
    if matches!(previous, nix::sys::signal::SigHandler::SigIgn) {
        // SAFETY: no handler is installed. COMMAND inherits it as we did.
        unsafe {
            nix::sys::signal::signal(
                nix::sys::signal::Signal::SIGXFSZ,
                nix::sys::signal::SigHandler::SigIgn,
            )
        }?;
    }
    Ok(())
}

/// Signal mask and dispositions as this program found them: COMMAND has them again.
#[derive(Clone, Debug)]
pub struct Inherited {
    ignored: Vec<c_int>,
    mask: SigSet,
}

impl Inherited {
    /// Takes them down, unblocks all signals and makes some the default: without SIGCHLD, COMMAND
    /// could not be waited for.
    ///
    /// # Errors
    /// None that is known.
    pub fn take() -> nix::Result<Self> {
        let mut ignored = Vec::new();
        for signal in ALWAYS
            .into_iter()
            .chain(UNLESS_IGNORED)
            .chain([SIGCHLD])
            .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        {
            if is_ignored(signal) {
                ignored.push(signal);
            }
        }
        set_disposition(SIGCHLD, libc::SIG_DFL)?;
        if SIGPIPE_IGNORED.load(Ordering::Relaxed) {
            ignored.push(SIGPIPE);
        }
        let mut mask = SigSet::empty();
        pthread_sigmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::empty()),
            Some(&mut mask),
        )?;
        Ok(Self { ignored, mask })
    }

    /// Whether the caller ignores a signal, and COMMAND with it unless it handles it.
    pub fn ignores(&self, signal: c_int) -> bool {
        self.ignored.contains(&signal)
    }

    /// Brings them back; for a forked child before exec, and async-signal-safe.
    ///
    /// The mask comes last: a signal that has come since the fork then takes its effect.
    ///
    /// # Errors
    /// None that is known.
    pub fn restore(&self) -> nix::Result<()> {
        for signal in ALWAYS
            .into_iter()
            .chain(UNLESS_IGNORED)
            .chain([SIGCHLD, SIGPIPE])
            .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        {
            let disposition = if self.ignored.contains(&signal) {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            set_disposition(signal, disposition)?;
        }
        self.mask.thread_set_mask()
    }
}

/// From now on, Ctrl-C, SIGTERM and SIGHUP end the program at once, unless its caller ignores them.
///
/// # Errors
/// None that is known.
pub fn restore_defaults() -> nix::Result<()> {
    let ours = ALWAYS.into_iter().chain([SIGHUP]);
    for signal in ours.filter(|&signal| !is_ignored(signal)) {
        set_disposition(signal, libc::SIG_DFL)?;
    }
    Ok(())
}

fn is_ignored(signal: c_int) -> bool {
    // SAFETY: the structure is plain data, and written by the kernel.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn set_disposition(signal: c_int, disposition: libc::sighandler_t) -> nix::Result<()> {
    // SAFETY: the structure is plain data; it installs no handler.
    let result = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = disposition;
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    nix::errno::Errno::result(result).map(drop)
}

/// Whether the caller ignored SIGPIPE. Rust's runtime ignores it before `main` in any case.
static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

extern "C" fn look_at_sigpipe() {
    SIGPIPE_IGNORED.store(is_ignored(SIGPIPE), Ordering::Relaxed);
}

/// The C library calls it before Rust's runtime starts.
// SAFETY: the section holds pointers to functions, and this one makes a system call alone.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_AT_SIGPIPE: extern "C" fn() = look_at_sigpipe;

#[cfg(test)]
mod tests {
    use super::*;

    fn received(signal: c_int) -> Received {
        Received {
            signal,
            origin: Origin::Process,
        }
    }

    #[test]
    fn what_ends_a_run() {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            assert!(received(signal).is_stop(true), "{signal}");
            assert!(received(signal).is_stop(false), "{signal}");
        }
        assert!(received(SIGQUIT).is_stop(false));
        for signal in [SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, libc::SIGRTMIN()] {
            assert!(!received(signal).is_stop(true), "{signal}");
        }
        assert!(!received(SIGUSR1).is_stop(false));
    }

    #[tokio::test]
    async fn what_does_not_end_a_run_is_held_for_the_command() {
        let [usr1, alarm, term] = [SIGUSR1, SIGALRM, SIGTERM].map(received);
        let mut signals = Signals::of(vec![usr1, alarm]);
        assert_eq!(signals.stopped(false), None);
        assert!(signals.sender().send(term));
        assert_eq!(signals.stop(false).await, term);
        assert_eq!([signals.recv().await, signals.recv().await], [usr1, alarm]);
    }

    #[test]
    fn statuses_of_a_run_that_did_not_begin() {
        assert_eq!(received(SIGINT).exit_code(), ExitCode::Command(130));
        assert_eq!(received(SIGTERM).exit_code(), ExitCode::Command(143));
    }
}
