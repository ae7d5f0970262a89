//! The traced command.

mod failure;
mod login;
mod program;
mod pty;
mod spawn;
mod terminal;

use std::{
    io, mem,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
    time::Duration,
};

use libc::{SIGHUP, SIGKILL, SIGTERM, c_int};
use nix::{
    errno::Errno,
    sys::signal::Signal,
    unistd::{Pid, getpgid, getpgrp, getpid, getsid},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

pub use program::{Program, StartError};
pub(crate) use pty::resize;
pub use terminal::Terminal;

use crate::{
    exit_code::ExitCode,
    run::signals::{self, Inherited, Origin, Received},
    stderr::warn,
};

/// How long COMMAND may take to end once it has been told to.
const GRACE: Duration = Duration::from_secs(3);

/// How long before its end a COMMAND that is itself a tracer gets a last SIGTERM. It takes that as the
/// second request, and kills its own COMMAND, which would outlive it otherwise.
const LAST_CALL: Duration = Duration::from_millis(750);

/// How long the kernel may take to end COMMAND once it has been killed.
const DEATH: Duration = Duration::from_millis(500);

/// The running command.
#[derive(Debug)]
pub struct Traced {
    program: Program,
    pid: Pid,
    /// Readable once it has ended. It never refers to another process, unlike the pid.
    pidfd: AsyncFd<OwnedFd>,
    /// What went wrong before exec, if anything.
    failure: OwnedFd,
    /// What the caller ignores.
    inherited: Inherited,
    end: End,
}

/// How far COMMAND's end has come.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody has asked for it.
    Open,
    /// It has been told to end by a signal, and is killed at this time.
    Asked {
        signal: c_int,
        kill_at: Instant,
        /// It has got its last SIGTERM.
        warned: bool,
    },
    /// It is a tracer that has been told to end at once. It kills its own COMMAND, and so on, and is
    /// killed itself at this time.
    Hurried { kill_at: Instant },
    /// It has been killed, and is not waited for after this time.
    Killed { give_up_at: Instant },
}

impl Traced {
    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Starts it with signals, and without `--user` everything else, as this program found them.
    ///
    /// It returns before exec: [`wait`](Self::wait) waits for that too, as it may take long or
    /// fail.
    ///
    /// # Errors
    /// Too many processes or open files.
    pub fn start(
        program: Program,
        inherited: &Inherited,
        terminal: Option<&Terminal>,
    ) -> Result<Self, StartError> {
        let spawned = spawn::spawn(&program, inherited, terminal)
            .and_then(|spawned| {
                // SAFETY: it has the same open descriptor for as long as it lives.
                let pidfd =
                    unsafe { AsyncFd::register_with_interest(spawned.pidfd, Interest::READABLE) }?;
                Ok((spawned.pid, pidfd, spawned.failure))
            })
            .map_err(|error| program.cannot_fork(&error))?;
        let (pid, pidfd, failure) = spawned;
        Ok(Self {
            program,
            pid,
            pidfd,
            failure,
            inherited: inherited.clone(),
            end: End::Open,
        })
    }

    /// Waits for its end. If it was told to end and does not, kills it; if even that does not
    /// help, gives up, with the status of a killed process.
    ///
    /// # Errors
    /// None that is known.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            let next = match self.end {
                End::Open => None,
                End::Asked {
                    kill_at,
                    warned: false,
                    ..
                } => Some(kill_at - LAST_CALL),
                End::Asked { kill_at, .. } | End::Hurried { kill_at } => Some(kill_at),
                End::Killed { give_up_at } => Some(give_up_at),
            };
            tokio::select! {
                biased;
                status = reaped(&self.pidfd) => return status,
                () = until(next) => match &mut self.end {
                    End::Asked { warned, .. } if !*warned => {
                        *warned = true;
                        if is_tracer(self.pid) {
                            self.send(SIGTERM);
                        }
                    }
                    End::Killed { .. } => {
                        warn(&format!(
                            "COMMAND ({}) does not end even after SIGKILL: it is blocked in the \
                             kernel",
                            self.pid
                        ));
                        return Ok(ExitStatus::from_raw(SIGKILL));
                    }
                    End::Asked { signal, .. } => {
                        let signal = *signal;
                        warn(&self.outlived(signal));
                        self.kill();
                    }
                    End::Hurried { .. } => self.kill(),
                    End::Open => {}
                },
            }
        }
    }

    /// Passes a signal on. After one that ends a run, COMMAND has some seconds to end; a second one
    /// kills it.
    pub fn receive(&mut self, received: Received) {
        if !self.has_it_already(received) {
            self.send(received.signal);
        }
        if received.is_stop(true) {
            match self.end {
                _ if signals::is_urgent() => self.hurry(),
                End::Open => self.ask(received.signal),
                End::Asked { .. } | End::Hurried { .. } | End::Killed { .. } => {}
            }
        }
    }

    /// The run's time is over: SIGTERM.
    pub fn terminate(&mut self) {
        if matches!(self.end, End::Open) {
            self.send(SIGTERM);
            self.ask(SIGTERM);
        }
    }

    /// Waits until it is executed; false if it could not be.
    pub fn executed(&self) -> impl Future<Output = bool> + use<> {
        let pipe = self.failure.try_clone().and_then(|pipe| {
            // SAFETY: it has the same open descriptor for as long as it lives.
            unsafe { Ok(AsyncFd::register_with_interest(pipe, Interest::READABLE)?) }
        });
        async {
            match pipe {
                // The pipe is closed by exec, and by a child that ends before.
                Ok(pipe) => pipe.readable().await.is_ok() && !spawn::has_failed(pipe.get_ref()),
                Err(_) => true,
            }
        }
    }

    /// Why it could not be executed, once it has ended.
    pub fn start_error(&self) -> Option<StartError> {
        spawn::failure(&self.failure).map(|failure| self.program.cannot_execute(failure))
    }

    fn ask(&mut self, signal: c_int) {
        let kill_at = Instant::now() + GRACE;
        self.end = End::Asked {
            signal,
            kill_at,
            warned: false,
        };
    }

    /// What is said when a signal has not ended it. One that the caller ignores, it ignores too, unless
    /// it has a handler.
    fn outlived(&self, signal: c_int) -> String {
        let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
        let ignored = match self.inherited.ignores(signal) {
            true => ", which the caller of zombie-trace ignores",
            false => "",
        };
        format!(
            "COMMAND ({}) still runs {} s after {name}{ignored}: killing it",
            self.pid,
            GRACE.as_secs()
        )
    }

    /// Somebody has asked for the end a second time. If COMMAND is a tracer, it has been asked a second
    /// time as well: without time to kill its own COMMAND, it would leave it behind.
    fn hurry(&mut self) {
        match self.end {
            End::Hurried { .. } | End::Killed { .. } => {}
            End::Open | End::Asked { .. } if is_tracer(self.pid) => {
                let kill_at = Instant::now() + LAST_CALL;
                self.end = End::Hurried { kill_at };
            }
            End::Open | End::Asked { .. } => self.kill(),
        }
    }

    fn kill(&mut self) {
        if matches!(self.end, End::Killed { .. }) {
            return;
        }
        self.send(SIGKILL);
        let give_up_at = Instant::now() + DEATH;
        self.end = End::Killed { give_up_at };
    }

    /// The terminal signals every process in its foreground group, and when it hangs up the leader
    /// of the session alone.
    fn has_it_already(&self, received: Received) -> bool {
        match received.origin {
            Origin::Process => false,
            Origin::Keyboard => true,
            Origin::Terminal => {
                let leads_session = getsid(None) == Ok(getpid());
                getpgid(Some(self.pid)) == Ok(getpgrp())
                    && !(received.signal == SIGHUP && leads_session)
            }
        }
    }

    fn send(&self, signal: c_int) {
        // SAFETY: no pointers but a null one, which is allowed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if let Err(error) = Errno::result(result) {
            log::debug!("signal {signal} is not passed on: {error}");
        }
    }
}

/// Whether a process executes this very program, as far as /proc shows it.
fn is_tracer(pid: Pid) -> bool {
    let ours = std::fs::read_link("/proc/self/exe").ok();
    ours.is_some() && ours == std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

async fn reaped(pidfd: &AsyncFd<OwnedFd>) -> io::Result<ExitStatus> {
    loop {
        let mut ready = pidfd.readable().await?;
        match reap(pidfd.get_ref())? {
            Some(status) => return Ok(status),
            None => ready.clear_ready(),
        }
    }
}

/// The status of a child that has ended, which is then no zombie any more.
///
/// Not by nix, which loses the status if a real-time signal killed it.
fn reap(pidfd: &OwnedFd) -> io::Result<Option<ExitStatus>> {
    let pidfd = pidfd.as_raw_fd().cast_unsigned();
    loop {
        // SAFETY: the structure is plain data, and the kernel fills it in.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG;
            let result = libc::waitid(libc::P_PIDFD, pidfd, &raw mut info, flags);
            (result, info)
        };
        match Errno::result(result) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        // SAFETY: these are the fields that waitid(2) sets.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Ok(None);
        }
        return Ok(Some(ExitStatus::from_raw(match info.si_code {
            libc::CLD_EXITED => (status & 0xff) << 8,
            libc::CLD_DUMPED => status | 0x80,
            _ => status,
        })));
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Its status as ours: 128+n if signal n killed it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::Command(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_as_a_shell_has_them() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), ExitCode::Command(0));
        assert_eq!(
            exit_code(ExitStatus::from_raw(3 << 8)),
            ExitCode::Command(3)
        );
        assert_eq!(exit_code(ExitStatus::from_raw(9)), ExitCode::Command(137));
        assert_eq!(
            exit_code(ExitStatus::from_raw(0x80 | 11)),
            ExitCode::Command(139)
        );
    }
}
