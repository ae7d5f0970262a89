//! `zombie-trace demo`: real zombies, for a bounded time.
//!
//! Everything is made in child processes that die with us, and what they leave behind is inherited
//! and reaped here.

mod args;
mod cgroup;
mod kind;
mod parents;
mod process;
mod stage;

use std::{
    io,
    io::Write as _,
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::set_child_subreaper,
        signal::{SigSet, Signal},
        signalfd::SignalFd,
    },
};

pub use kind::{Kind, Which};

use self::process::Made;
pub use args::DemoArgs;

use crate::{commands::ps, exit_code::ExitCode, system::proc::Proc, text::encode, value::Pid};

/// Makes the zombies, says what they are and how to look at them, and cleans up.
///
/// # Errors
/// What a kind needs is missing, such as root; processes can't be made.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let kinds: Vec<Kind> = match args.kind {
        Which::One(kind) => vec![kind],
        Which::All => Kind::ALL.to_vec(),
    };
    if kinds.len() > 1 && !args.run {
        bail!("demo all is for showing one after the other: add --run");
    }
    // What has to be cleaned up is found there.
    let proc = Proc::open()?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot block signals")?;
    let signals = SignalFd::new(&signals).context("cannot wait for signals")?;
    set_child_subreaper(true).context("cannot become a subreaper")?;

    let alone = kinds.len() == 1;
    for kind in kinds {
        let mut made = match process::make(kind, &proc) {
            Ok(made) => made,
            Err(error) if alone => return Err(error.context(format!("demo {kind}"))),
            Err(error) => {
                print(&format!("{kind}: left out: {error:#}\n\n"))?;
                continue;
            }
        };
        let shown = if args.run {
            show(kind, &proc)
        } else {
            explain(kind, &made, args.duration.into())
                .and_then(|()| Ok(wait(signals.as_fd(), args.duration.into())?))
        };
        made.end();
        match shown {
            Err(error) if is_broken_pipe(&error) => break,
            shown => shown?,
        }
    }
    Ok(ExitCode::Success)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(encode(text).as_bytes())?;
    stdout.flush()
}

fn explain(kind: Kind, made: &Made, limit: Duration) -> anyhow::Result<()> {
    let parent = made.parent;
    let zombies: Vec<String> = made.zombies()?.iter().map(u32::to_string).collect();
    let mut text = format!("{kind}: {}\n\n", kind.explanation());
    text += &format!("The parent is process {parent}. In another terminal:\n\n");
    text += &format!("  zombie-trace ps --tree {}\n", std::process::id());
    if let [zombie, ..] = &zombies[..] {
        text += &format!("  zombie-trace inspect {zombie}\n");
    }
    text += &format!("  sudo zombie-trace -a --tree {}\n\n", std::process::id());
    text += &format!(
        "All of it ends in {} s, or when you press Enter.\n",
        limit.as_secs()
    );
    print(&text)?;
    Ok(())
}

/// With our own output.
fn show(kind: Kind, proc: &Proc) -> anyhow::Result<()> {
    print(&format!("{kind}: {}\n", kind.explanation()))?;
    // The parent is on its way to where it stays.
    std::thread::sleep(Duration::from_millis(500));
    let us: Pid = std::process::id().to_string().parse()?;
    ps::show_tree(proc, us)?;
    print("\n")?;
    Ok(())
}

/// For so long, or until Enter or a signal.
fn wait(signals: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut watch_input = true;
    let stdin = io::stdin();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
        if watch_input {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, timeout)?;
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        if ready(&fds[0]) {
            return Ok(());
        }
        if fds.get(1).is_some_and(ready) {
            let mut line = String::new();
            // Without a terminal there is nobody to press Enter.
            if stdin.read_line(&mut line)? > 0 {
                return Ok(());
            }
            watch_input = false;
        }
    }
}
