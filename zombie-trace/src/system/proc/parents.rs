use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    time::{ClockId, clock_gettime},
};

use super::{
    Proc,
    descriptors::{self, Descriptors},
    directory,
    existing::tick_ns,
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
    /// a CPU, and up to 120 ms if it gets none.
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

    /// The kernel says that none of its threads waits for a child.
    pub fn waits_for_nobody(&mut self, pid: u32) {
        if let Some(parent) = self.0.get_mut(&pid) {
            parent.waits_for_nobody();
        }
    }
}

/// Tells the runnable threads that get no CPU from those that do. A process none of which is runnable any
/// more is looked at again: it was running by chance.
fn watch(parents: &mut HashMap<u32, ParentFacts>, look: &Look) {
    const WATCHED: Duration = Duration::from_millis(20);
    const LOOKS: usize = 6;
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
    // A busy machine gives everybody a turn, but not at once; a process of the lowest priority gets some
    // ticks now and then.
    let begin = Instant::now();
    let has_hardly_run = |pid: u32, tid: u32, before: u64| {
        let ran = time(pid, tid).map(|now| Duration::from_nanos(now.saturating_sub(before)));
        ran.is_some_and(|ran| ran < begin.elapsed() / 10)
    };
    for _ in 0..LOOKS {
        thread::sleep(WATCHED);
        if !runnable
            .iter()
            .any(|&(pid, _, tid, before)| has_hardly_run(pid, tid, before))
        {
            break;
        }
    }
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
            && has_hardly_run(pid, tid, before)
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

/// Where a thread sleeps that waits for a child (kernel/exit.c).
const DO_WAIT: &str = "do_wait";
/// In a process with more threads, the system calls of those that sleep elsewhere are not read.
const FEW_THREADS: usize = 64;

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
        let tids = numbers_in(&directory.join("task")).ok()?;
        let is_crowd = tids.len() > FEW_THREADS;
        for tid in tids {
            let directory = directory.join("task").join(tid.to_string());
            // There can be thousands: as few files as possible for each.
            let Ok(stat) = Stat::read(&directory) else {
                continue;
            };
            if matches!(stat.state, b'Z' | b'X') {
                continue;
            }
            let wchan = files::wchan(&directory);
            let sleeps_elsewhere = wchan.as_deref().is_some_and(|function| function != DO_WAIT);
            let wait = if is_crowd && sleeps_elsewhere {
                Wait::None
            } else {
                match wait(&directory, wchan.as_deref(), self.unreadable) {
                    Ok(wait) => wait,
                    Err(error) if is_gone(&error) => continue,
                    Err(_) => Wait::Unreadable(self.unreadable),
                }
            };
            exiting &= stat.flags & PF_EXITING != 0;
            threads.push(ThreadFacts {
                tid,
                state: state(stat.state),
                starved: false,
                blocks_sigchld: stat.blocked & SIGCHLD != 0,
                pending: stat.pending & SIGCHLD != 0,
                own_children: own_children(&directory, &wait),
                wchan,
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
            mask_from: mask_from(&stat, &threads),
            age_ns: age_ns(&stat),
            throttled: self
                .cgroups
                .as_deref()
                .and_then(|mount| throttled(mount, &directory)),
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

/// The pipe that the main thread is blocked reading, or one of those that it polls, and who else holds it
/// open.
fn pipe_read(pid: u32, process: &Path, threads: &[ThreadFacts]) -> Option<PipeFacts> {
    let main = threads.iter().find(|thread| thread.tid == pid)?;
    let function = main.wchan.as_deref()?;
    // pipe_read, or anon_pipe_read since 6.15 (fs/pipe.c).
    let reads = function.ends_with("pipe_read");
    if !reads && function != "poll_schedule_timeout" {
        return None;
    }
    let Ok(Syscall::Blocked { number, arguments }) = Syscall::read(process) else {
        return None;
    };
    let fds = match number {
        _ if reads => vec![u32::try_from(arguments[0]).ok()?],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll if arguments[2] as i32 == -1 => polled(process, arguments)?,
        libc::SYS_ppoll if arguments[2] == 0 => polled(process, arguments)?,
        _ => return None,
    };
    // Whoever reads commands from standard input does not wait for a child's output.
    let pipes = fds.into_iter().filter(|&fd| fd != 0).filter_map(|fd| {
        let pipe = descriptors::pipe(process, fd)?;
        Some((fd, pipe))
    });
    // Whoever polls may be a server of living children; a child's child is none.
    let is_none = |other: &OtherProcess| {
        reads || Stat::read(&directory(other.pid)).is_ok_and(|stat| stat.ppid != pid)
    };
    let facts = pipes.map(|(fd, pipe)| PipeFacts {
        fd,
        writer: descriptors::writer_of(&pipe, pid).filter(is_none),
    });
    let mut facts: Vec<_> = facts.take(MOST_POLLED).collect();
    facts.sort_by_key(|pipe| pipe.writer.is_none());
    facts.into_iter().next()
}

/// More of what a process polls is not looked at: whoever reads two children's output polls four.
const MOST_POLLED: usize = 8;

/// The descriptors that a call of poll(2) waits to read from, from the process's memory.
fn polled(process: &Path, [array, len, ..]: [u64; 4]) -> Option<Vec<u32>> {
    /// `struct pollfd`.
    const SIZE: usize = 8;
    let len = usize::try_from(len).ok()?.min(MOST_POLLED);
    // A page of a file can take its file system for ever to read.
    let mut bytes = vec![0; len * SIZE];
    let last = array.checked_add(bytes.len() as u64)?.checked_sub(1)?;
    if ![array, last]
        .iter()
        .all(|&address| is_anonymous(process, address))
    {
        return None;
    }
    let memory = fs::File::open(process.join("mem")).ok()?;
    memory.read_exact_at(&mut bytes, array).ok()?;
    let entries = bytes.chunks_exact(SIZE).filter_map(|entry| {
        let fd = i32::from_ne_bytes(entry[..4].try_into().ok()?);
        let events = i16::from_ne_bytes(entry[4..6].try_into().ok()?);
        (events & libc::POLLIN != 0).then(|| u32::try_from(fd).ok())?
    });
    Some(entries.collect())
}

/// Whether an address is in memory that no file backs (proc_pid_maps(5)).
fn is_anonymous(process: &Path, address: u64) -> bool {
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let range = fields.next().and_then(|range| range.split_once('-'));
        let Some((start, end)) = range else {
            return false;
        };
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        // Permissions, offset and device lie between.
        (number(start)..number(end)).contains(&address) && fields.nth(3) == Some("0")
    })
}

/// The parent of a process, if both block SIGCHLD.
fn mask_from(stat: &Stat, threads: &[ThreadFacts]) -> Option<OtherProcess> {
    if stat.ppid <= 1 || !threads.iter().all(|thread| thread.blocks_sigchld) {
        return None;
    }
    let status = Status::read(&directory(stat.ppid)).ok()?;
    let blocks = status.has_signal("SigBlk", libc::SIGCHLD);
    blocks.then(|| descriptors::other(stat.ppid))?
}

fn age_ns(stat: &Stat) -> Option<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    let now = Duration::from(now).as_nanos() as u64;
    Some(now.saturating_sub(stat.start_ticks.saturating_mul(tick_ns())))
}

/// How often cpu.max has held its cgroup back.
fn throttled(mount: &Path, process: &Path) -> Option<u64> {
    let cgroup = mount.join(files::cgroup(process)?.trim_start_matches('/'));
    let limit = fs::read_to_string(cgroup.join("cpu.max")).ok()?;
    if limit.starts_with("max") {
        return None;
    }
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).ok()?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("nr_throttled "));
    line?.parse().ok()
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

/// The wait that a thread is blocked in.
fn wait(thread: &Path, wchan: Option<&str>, unreadable: Unreadable) -> io::Result<Wait> {
    let (number, arguments) = match Syscall::read(thread)? {
        Syscall::Denied => return Ok(Wait::Unreadable(unreadable)),
        Syscall::None => return Ok(Wait::None),
        Syscall::Blocked { number, arguments } => (number, arguments),
    };
    let waited = wchan == Some(DO_WAIT);
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
