//! The names of functions, and their source lines. A process of its own reads each module: whatever that
//! does to it, only the names of this module are lost.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    libc,
    sys::memfd::{MFdFlags, memfd_create},
};

use super::{
    module::Module,
    symbol::{Answer, MODULE, NAME, Symbol, SymbolQuestion},
};
use crate::system::deadline::Deadline;

/// One module may take this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The symbols of an address of a module.
pub(super) type Symbols = HashMap<(usize, u64), Vec<Symbol>>;

/// Asks for the symbols of these modules' addresses, in this order, until the deadline.
pub(super) fn find(
    modules: &[Module],
    wanted: Vec<(usize, Vec<u64>)>,
    deadline: Deadline,
) -> Symbols {
    let mut symbols = Symbols::new();
    for (number, addresses) in wanted {
        if deadline.has_passed() {
            break;
        }
        let Some(Module {
            file: Some(file),
            path,
            is_perf_map,
            ..
        }) = modules.get(number)
        else {
            continue;
        };
        let question = SymbolQuestion {
            is_perf_map: *is_perf_map,
            addresses,
        };
        let found = ask(file, &question, deadline.or_after(PATIENCE), |answer| {
            symbols.insert((number, answer.address), answer.symbols);
        });
        if let Err(error) = found {
            log::debug!("{}: no symbols: {error}", path.as_deref().unwrap_or("?"));
        }
    }
    symbols
}

fn ask(
    module: &File,
    question: &SymbolQuestion,
    deadline: Deadline,
    mut take: impl FnMut(Answer),
) -> io::Result<()> {
    let mut request = memory_file()?;
    serde_json::to_writer(&mut request, question)?;
    request.rewind()?;
    let mut response = memory_file()?;
    let module = module.as_raw_fd();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .env_clear()
        .stdin(request)
        .stdout(response.try_clone()?)
        .stderr(Stdio::null())
        // Ctrl-C is for us.
        .process_group(0);
    // SAFETY: between fork and exec, the closure makes system calls only.
    unsafe { command.pre_exec(move || hand_over(module)) };
    let mut child = command.spawn()?;
    let ended = wait(&mut child, deadline);
    // What it has found by then counts.
    response.rewind()?;
    for line in BufReader::new(response).lines() {
        match serde_json::from_str(&line?) {
            Ok(answer) => take(answer),
            Err(error) => return Err(error.into()),
        }
    }
    ended
}

fn memory_file() -> io::Result<File> {
    let file = memfd_create("zombie-trace", MFdFlags::MFD_CLOEXEC)?;
    Ok(file.into())
}

/// Leaves the module open under its number.
fn hand_over(module: RawFd) -> io::Result<()> {
    let result = unsafe {
        // SAFETY: it only changes descriptors of the process that is about to be another program.
        match module == MODULE {
            true => libc::fcntl(module, libc::F_SETFD, 0),
            false => libc::dup2(module, MODULE),
        }
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn wait(child: &mut Child, deadline: Deadline) -> io::Result<()> {
    const MOMENT: Duration = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(None) if deadline.has_passed() => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(None) => thread::sleep(MOMENT),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(io::Error::other(status.to_string())),
            // Our caller may ignore SIGCHLD, so that nobody can wait for it.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
