use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::libc;

use super::{
    Proc,
    descriptors::{self, Descriptors},
    directory,
    files::{self, Stat, Status, Syscall},
    is_gone, language_runtime, numbers_in,
};
use crate::{
    cause::{
        Disposition, OtherProcess, ParentFacts, PipeFacts, State, ThreadFacts, Unreadable,
        WNOTHREAD, Wait, WaitTarget,
    },
    system::cgroup2_mount,
};

/// What is known of some processes that are parents of zombies, read once for each.
#[derive(Clone, Debug, Default)]
pub struct Parents(HashMap<u32, ParentFacts>);

impl Proc {
    /// Looks at these processes now. Takes 20 ms if one of them is runnable, to see whether it gets
    /// a CPU.
    pub fn parents(&self, pids: impl IntoIterator<Item = u32>) -> Parents {
        let pids: HashSet<_> = pids.into_iter().filter(|&pid| pid != 0).collect();
        let look = Look {
            cgroups: cgroup2_mount(),
            unreadable: self.unreadable(),
        };
        let mut parents: HashMap<_, _> = pids
            .into_iter()
            .filter_map(|pid| Some((pid, look.at(pid)?)))
            .collect();
        watch(&mut parents, &look);
        Parents(parents)
    }
}

impl Parents {
    /// One of them; `None` if there is no such process.
    pub fn get(&self, pid: u32) -> Option<&ParentFacts> {
        self.0.get(&pid)
    }
}

/// Tells the runnable threads that get no CPU from those that do. A process none of which is runnable any
/// more is looked at again: it was running by chance.
fn watch(parents: &mut HashMap<u32, ParentFacts>, look: &Look) {
    const WATCHED: Duration = Duration::from_millis(20);
    let time = |pid: u32, tid: u32| {
        let text = fs::read_to_string(directory(pid).join(format!("task/{tid}/schedstat"))).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let mut runnable = Vec::new();
    for (pid, facts) in &*parents {
        for (index, thread) in facts.threads.iter().enumerate() {
            if thread.state == State::Runnable
                && let Some(before) = time(*pid, thread.tid)
            {
                runnable.push((*pid, index, thread.tid, before));
            }
        }
    }
    if runnable.is_empty() {
        return;
    }
    thread::sleep(WATCHED);
    let (mut busy, mut changed) = (HashSet::new(), HashSet::new());
    for (pid, index, tid, before) in runnable {
        let still = Stat::read(&directory(pid).join(format!("task/{tid}")))
            .is_ok_and(|stat| state(stat.state) == State::Runnable);
        if still {
            busy.insert(pid);
        } else {
            changed.insert(pid);
        }
        // While it runs its time is brought up to date at every tick.
        if still
            && time(pid, tid) == Some(before)
            && let Some(facts) = parents.get_mut(&pid)
        {
            facts.threads[index].starved = true;
        }
    }
    for pid in changed.difference(&busy) {
        match look.at(*pid) {
            Some(facts) => parents.insert(*pid, facts),
            None => parents.remove(pid),
        };
    }
}

/// What is the same for all of them.
struct Look {
    /// Where the cgroup v2 hierarchy is mounted.
    cgroups: Option<PathBuf>,
    /// Why a system call can't be read, if it can't.
    unreadable: Unreadable,
}

impl Look {
    fn at(&self, pid: u32) -> Option<ParentFacts> {
        /// include/linux/sched.h
        const PF_EXITING: u32 = 4;
        const SIGCHLD: u64 = 1 << (libc::SIGCHLD - 1);
        let directory = directory(pid);
        let stat = Stat::read(&directory).ok()?;
        let status = Status::read(&directory).ok()?;
        let pids = status.numbers("NSpid");
        let sigchld = if status.has_signal("SigIgn", libc::SIGCHLD) {
            Disposition::Ignore
        } else if status.has_signal("SigCgt", libc::SIGCHLD) {
            Disposition::Handler
        } else {
            Disposition::Default
        };
        let Descriptors {
            has_signalfd,
            pidfds,
        } = Descriptors::read(&directory);
        let mut threads = Vec::new();
        let mut exiting = true;
        for tid in numbers_in(&directory.join("task")).ok()? {
            let directory = directory.join("task").join(tid.to_string());
            // There can be thousands: as few files as possible for each.
            let Ok(stat) = Stat::read(&directory) else {
                continue;
            };
            if matches!(stat.state, b'Z' | b'X') {
                continue;
            }
            let wchan = files::wchan(&directory);
            let wait = match wait(&directory, wchan.as_deref(), self.unreadable) {
                Ok(wait) => wait,
                Err(error) if is_gone(&error) => continue,
                Err(_) => Wait::Unreadable(self.unreadable),
            };
            exiting &= stat.flags & PF_EXITING != 0;
            threads.push(ThreadFacts {
                tid,
                state: state(stat.state),
                starved: false,
                blocks_sigchld: stat.blocked & SIGCHLD != 0,
                pending: stat.pending & SIGCHLD != 0,
                wchan,
                own_children: own_children(&directory, &wait),
                wait,
            });
        }
        Some(ParentFacts {
            pid,
            comm: stat.comm,
            sigchld,
            pending: status.has_signal("ShdPnd", libc::SIGCHLD),
            is_init: pids.last() == Some(&1),
            frozen: self
                .cgroups
                .as_deref()
                .and_then(|mount| frozen(mount, &directory)),
            pid_level: pids.len().saturating_sub(1),
            group: status.numbers("NSpgid").last().copied().unwrap_or(0),
            exiting,
            runtime: language_runtime::of(pid),
            cgroup: files::cgroup(&directory),
            ignores_keyboard: [libc::SIGINT, libc::SIGQUIT]
                .into_iter()
                .all(|signal| status.has_signal("SigIgn", signal)),
            has_signalfd,
            pidfds,
            vfork: threads
                .iter()
                .find_map(|thread| vfork_child(&directory, thread)),
            pipe: pipe_read(pid, &directory, &threads),
            threads,
        })
    }
}

fn state(letter: u8) -> State {
    match letter {
        b'R' => State::Runnable,
        b'S' | b'I' => State::Sleeping,
        b'D' => State::Uninterruptible,
        b'T' => State::Stopped,
        b't' => State::TracingStop,
        _ => State::Other,
    }
}

/// The child that a thread waits for in vfork(2): the youngest of its children
/// (wait_for_vfork_done, kernel/fork.c).
fn vfork_child(process: &Path, thread: &ThreadFacts) -> Option<OtherProcess> {
    const FORKS: [&str; 4] = ["kernel_clone", "_do_fork", "do_fork", "wait_for_vfork_done"];
    let function = thread.wchan.as_deref()?;
    if thread.state != State::Uninterruptible || !FORKS.contains(&function) {
        return None;
    }
    let children = process
        .join("task")
        .join(thread.tid.to_string())
        .join("children");
    let children = fs::read_to_string(children).ok()?;
    let living = children.split_ascii_whitespace().filter_map(|pid| {
        let pid: u32 = pid.parse().ok()?;
        let stat = Stat::read(&directory(pid)).ok()?;
        (stat.state != b'Z').then_some((stat.start_ticks, pid))
    });
    descriptors::other(living.max()?.1)
}

/// The pipe that the main thread is blocked reading, and who else holds it open.
fn pipe_read(pid: u32, process: &Path, threads: &[ThreadFacts]) -> Option<PipeFacts> {
    let main = threads.iter().find(|thread| thread.tid == pid)?;
    // pipe_read, or anon_pipe_read since 6.15 (fs/pipe.c).
    if !main.wchan.as_deref()?.ends_with("pipe_read") {
        return None;
    }
    let Ok(Syscall::Blocked { arguments, .. }) = Syscall::read(process) else {
        return None;
    };
    let fd = u32::try_from(arguments[0]).ok()?;
    // Whoever reads commands from standard input does not wait for a child's output.
    if fd == 0 {
        return None;
    }
    let pipe = descriptors::pipe(process, fd)?;
    Some(PipeFacts {
        fd,
        writer: descriptors::writer_of(&pipe, pid),
    })
}

/// Needs no privileges, but a cgroup v2 other than the root.
fn frozen(mount: &Path, process: &Path) -> Option<bool> {
    let path = files::cgroup(process)?;
    let events: PathBuf = mount
        .join(path.trim_start_matches('/'))
        .join("cgroup.events");
    let events = fs::read_to_string(events).ok()?;
    Some(events.lines().any(|line| line == "frozen 1"))
}

/// The wait that a thread is blocked in; `wchan` is where it sleeps.
fn wait(thread: &Path, wchan: Option<&str>, unreadable: Unreadable) -> io::Result<Wait> {
    const WAITS: &str = "do_wait";
    // Who sleeps elsewhere is in no wait.
    if wchan.is_some_and(|function| function != WAITS) {
        return Ok(Wait::None);
    }
    let (number, arguments) = match Syscall::read(thread)? {
        Syscall::Denied => return Ok(Wait::Unreadable(unreadable)),
        Syscall::None => return Ok(Wait::None),
        Syscall::Blocked { number, arguments } => (number, arguments),
    };
    let waited = wchan == Some(WAITS);
    // Arguments are registers, of which the kernel takes 32 bits here.
    let [first, second, third, fourth] = arguments.map(|argument| argument as u32);
    if number == libc::SYS_wait4 {
        return Ok(Wait::For {
            target: match first.cast_signed() {
                -1 => WaitTarget::Any,
                0 => WaitTarget::Group(0),
                pid if pid > 0 => WaitTarget::Pid(first),
                group => WaitTarget::Group(group.unsigned_abs()),
            },
            options: third | libc::WEXITED.cast_unsigned(),
        });
    }
    if number == libc::SYS_waitid {
        let target = match first {
            libc::P_ALL => WaitTarget::Any,
            libc::P_PID => WaitTarget::Pid(second),
            libc::P_PGID => WaitTarget::Group(second),
            // P_PIDFD
            _ => match pidfd(thread, second) {
                Some(pid) => WaitTarget::Pidfd(pid),
                None => return Ok(Wait::Foreign),
            },
        };
        return Ok(Wait::For {
            target,
            options: fourth,
        });
    }
    Ok(if waited { Wait::Foreign } else { Wait::None })
}

/// Needs CONFIG_PROC_CHILDREN (proc_tid_children(5)).
fn own_children(thread: &Path, wait: &Wait) -> Option<Vec<u32>> {
    let Wait::For { options, .. } = wait else {
        return None;
    };
    if options & WNOTHREAD == 0 {
        return None;
    }
    let children = fs::read_to_string(thread.join("children")).ok()?;
    let pids = children.split_ascii_whitespace();
    Some(pids.filter_map(|pid| pid.parse().ok()).collect())
}

/// The process that a pidfd refers to; 0 if it is gone or has no number here, `None` if that can't be
/// read.
fn pidfd(thread: &Path, fd: u32) -> Option<u32> {
    let info = fs::read_to_string(thread.join(format!("fdinfo/{fd}"))).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // It is -1 once the process has been reaped.
    Some(line.trim().parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::system::thread_cpu_time;

    /// Takes a while, and a quiet machine to mean anything: `cargo test --lib -- --ignored thousands`.
    #[test]
    #[ignore = "measures CPU time"]
    fn a_parent_with_thousands_of_threads_is_cheap() {
        const THREADS: usize = 3000;
        const MOST: Duration = Duration::from_millis(100);
        let barrier = Barrier::new(THREADS + 1);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let small = thread::Builder::new().stack_size(32 << 10);
                small.spawn_scoped(scope, || barrier.wait()).unwrap();
            }
            let proc = Proc::open().unwrap();
            let own = std::process::id();
            let took = (0..5).map(|_| {
                let begin = thread_cpu_time();
                let parents = proc.parents([own]);
                let took = thread_cpu_time() - begin;
                assert!(parents.get(own).unwrap().threads.len() > THREADS);
                took
            });
            let took = took.min().unwrap();
            barrier.wait();
            println!("{THREADS} threads: {took:?} of CPU time");
            assert!(took < MOST, "{took:?}");
        });
    }
}
