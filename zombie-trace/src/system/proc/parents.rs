use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::FileExt as _,
    path::Path,
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
    holds::{Hierarchies, Holds},
    is_gone, language_runtime, numbers_in,
};
use crate::{
    cause::{
        Disposition, OtherProcess, ParentFacts, PipeFacts, State, ThreadFacts, Unreadable,
        WNOTHREAD, Wait, WaitTarget,
    },
    system::deadline::Deadline,
};

/// What is known of some processes that are parents of zombies, read once for each.
#[derive(Clone, Debug, Default)]
pub struct Parents {
    facts: HashMap<u32, ParentFacts>,
    /// Those that there was no time for.
    skipped: HashSet<u32>,
}

impl Proc {
    /// Looks at these processes now. Takes 20 ms if one of them is runnable, to see whether it gets
    /// a CPU, and up to 120 ms if it gets none.
    pub fn parents(&self, pids: impl IntoIterator<Item = u32>) -> Parents {
        self.look(false).at_all(pids, None)
    }

    /// The same, but by this time: those that come last may be left out.
    pub(super) fn parents_by(
        &self,
        pids: impl IntoIterator<Item = u32>,
        deadline: Deadline,
    ) -> Parents {
        self.look(false).at_all(pids, Some(deadline))
    }

    /// The same of one process, with all that its threads do, however many there are.
    pub fn parent_in_detail(&self, pid: u32) -> Parents {
        self.look(true).at_all([pid], None)
    }

    fn look(&self, in_detail: bool) -> Look {
        Look {
            hierarchies: Hierarchies::read(),
            unreadable: self.unreadable(),
            in_detail,
        }
    }
}

impl Parents {
    /// One of them; `None` if there is no such process.
    pub fn get(&self, pid: u32) -> Option<&ParentFacts> {
        self.facts.get(&pid)
    }

    /// Whether there was no time to look at it.
    pub(super) fn was_skipped(&self, pid: u32) -> bool {
        self.skipped.contains(&pid)
    }

    /// The kernel says that none of its threads waits for a child.
    pub fn waits_for_nobody(&mut self, pid: u32) {
        if let Some(parent) = self.facts.get_mut(&pid) {
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
    let ran_less_than_one_in = |parts: u32, pid: u32, tid: u32, before: u64| {
        let ran = time(pid, tid).map(|now| Duration::from_nanos(now.saturating_sub(before)));
        ran.is_some_and(|ran| ran < begin.elapsed() / parts)
    };
    for _ in 0..LOOKS {
        thread::sleep(WATCHED);
        if !runnable
            .iter()
            // A single tick is much of the first look.
            .any(|&(pid, _, tid, before)| ran_less_than_one_in(2, pid, tid, before))
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
            && ran_less_than_one_in(10, pid, tid, before)
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
    hierarchies: Hierarchies,
    /// Why a system call can't be read, if it can't.
    unreadable: Unreadable,
    /// Every thread is described, however many there are.
    in_detail: bool,
}

const SIGCHLD: u64 = 1 << (libc::SIGCHLD - 1);

impl Look {
    fn at_all(&self, pids: impl IntoIterator<Item = u32>, deadline: Option<Deadline>) -> Parents {
        let mut facts = HashMap::new();
        let (mut seen, mut skipped) = (HashSet::new(), HashSet::new());
        for pid in pids {
            if pid == 0 || !seen.insert(pid) {
                continue;
            }
            if deadline.is_some_and(Deadline::has_passed) {
                skipped.insert(pid);
                continue;
            }
            facts.extend(self.at(pid).map(|parent| (pid, parent)));
        }
        watch(&mut facts, self);
        Parents { facts, skipped }
    }

    fn at(&self, pid: u32) -> Option<ParentFacts> {
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
        let (threads, exiting) = self.threads(pid)?;
        // A main thread that has ended has no files and no memory any more.
        let living = threads.first().map_or(pid, |thread| thread.tid);
        let Descriptors {
            has_signalfd,
            pidfds,
        } = Descriptors::read(&super::directory(living));
        let Holds { frozen, cpu_limit } = self.hierarchies.holds(&directory);
        Some(ParentFacts {
            pid,
            comm: stat.comm,
            sigchld,
            pending: status.has_signal("ShdPnd", libc::SIGCHLD),
            is_init: pids.last() == Some(&1),
            frozen,
            pid_level: pids.len().saturating_sub(1),
            group: status.numbers("NSpgid").last().copied().unwrap_or(0),
            exiting,
            runtime: language_runtime::of(living),
            background: stat.tty != 0 && stat.terminal_group != stat.group.cast_signed(),
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
            cpu_limit,
            threads,
        })
    }

    /// The threads of a process that have not ended, the main thread first, and whether all are on their
    /// way to their end. There can be thousands: of most of a crowd, one file is read.
    fn threads(&self, pid: u32) -> Option<(Vec<ThreadFacts>, bool)> {
        let tasks = directory(pid).join("task");
        let mut tids = numbers_in(&tasks).ok()?;
        tids.sort_unstable_by_key(|&tid| (tid != pid, tid));
        let is_crowd = tids.len() > FEW_THREADS;
        let mut threads = Vec::with_capacity(tids.len());
        let (mut exiting, mut settled) = (true, false);
        for tid in tids {
            let directory = tasks.join(tid.to_string());
            if is_crowd && settled && !self.in_detail && is_elsewhere(&directory) {
                threads.push(of_a_crowd(tid));
                continue;
            }
            let Some((thread, ends)) = self.thread(tid, &directory, is_crowd) else {
                continue;
            };
            exiting &= ends;
            settled |= !ends && settles(&thread);
            threads.push(thread);
        }
        Some((threads, exiting))
    }

    /// A thread, and whether it is on its way to its end; `None` if it has ended.
    fn thread(&self, tid: u32, directory: &Path, is_crowd: bool) -> Option<(ThreadFacts, bool)> {
        let stat = Stat::read(directory).ok()?;
        if matches!(stat.state, b'Z' | b'X') {
            return None;
        }
        let wchan = files::wchan(directory);
        let sleeps_elsewhere = wchan.as_deref().is_some_and(|function| function != DO_WAIT);
        let wait = if is_crowd && sleeps_elsewhere {
            Wait::None
        } else {
            match wait(directory, wchan.as_deref(), self.unreadable) {
                Ok(wait) => wait,
                Err(error) if is_gone(&error) => return None,
                Err(_) => Wait::Unreadable(self.unreadable),
            }
        };
        let facts = ThreadFacts {
            tid,
            state: state(stat.state),
            starved: false,
            blocks_sigchld: stat.blocked & SIGCHLD != 0,
            pending: stat.pending & SIGCHLD != 0,
            own_children: own_children(directory, &wait),
            wchan,
            wait,
        };
        Some((facts, stat.flags & ENDING != 0))
    }
}

/// Flags of a thread that ends, or whose process dumps core before it does (include/linux/sched.h).
const ENDING: u32 = 0x4 | 0x8 | 0x200;

/// With such a thread, no rule that is about all threads can hold, whatever the others are: it could reap,
/// and waits for nobody.
fn settles(thread: &ThreadFacts) -> bool {
    let function = thread.wchan.as_deref();
    thread.state == State::Sleeping
        && !thread.blocks_sigchld
        && thread.wait == Wait::None
        && function.is_none_or(|function| !function.contains("sigtimedwait"))
}

/// Whether a thread is in a system call that waits neither for children nor for signals.
fn is_elsewhere(thread: &Path) -> bool {
    const WAITS: [i64; 3] = [libc::SYS_wait4, libc::SYS_waitid, libc::SYS_rt_sigtimedwait];
    let call = Syscall::read(thread);
    matches!(call, Ok(Syscall::Blocked { number, .. }) if !WAITS.contains(&number))
}

fn of_a_crowd(tid: u32) -> ThreadFacts {
    ThreadFacts {
        tid,
        state: State::Other,
        starved: false,
        blocks_sigchld: false,
        pending: false,
        wchan: None,
        wait: Wait::None,
        own_children: None,
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

/// A pipe or pseudoterminal that a thread is blocked reading, or one of those that it polls, which another
/// process holds open. The main thread comes first.
fn pipe_read(pid: u32, process: &Path, threads: &[ThreadFacts]) -> Option<PipeFacts> {
    /// Each search for the other end is a walk over all processes.
    const MOST: usize = 3;
    let reads = |thread: &&ThreadFacts| {
        let function = thread.wchan.as_deref();
        function.is_some_and(|name| reads_itself(name) || name == "poll_schedule_timeout")
    };
    let few = threads.iter().take(FEW_THREADS).filter(reads);
    few.take(MOST)
        .find_map(|thread| read_by(pid, process, thread))
}

/// pipe_read, or anon_pipe_read since 6.15 (fs/pipe.c); n_tty_read sleeps in wait_woken.
fn reads_itself(function: &str) -> bool {
    function.ends_with("pipe_read") || matches!(function, "wait_woken" | "n_tty_read")
}

fn read_by(pid: u32, process: &Path, thread: &ThreadFacts) -> Option<PipeFacts> {
    let directory = process.join("task").join(thread.tid.to_string());
    let reads = reads_itself(thread.wchan.as_deref()?);
    let Ok(Syscall::Blocked { number, arguments }) = Syscall::read(&directory) else {
        return None;
    };
    let fds = match number {
        libc::SYS_read | libc::SYS_readv if reads => vec![u32::try_from(arguments[0]).ok()?],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll if arguments[2] as i32 == -1 => polled(&directory, arguments)?,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select if arguments[4] == 0 => selected(&directory, arguments)?,
        libc::SYS_ppoll if arguments[2] == 0 => polled(&directory, arguments)?,
        libc::SYS_pselect6 if arguments[4] == 0 => selected(&directory, arguments)?,
        _ => return None,
    };
    // Whoever reads commands from standard input does not wait for a child's output.
    let channels = fds.into_iter().filter(|&fd| fd != 0).filter_map(|fd| {
        let channel = descriptors::channel(&directory, fd)?;
        Some((fd, channel))
    });
    channels.take(MOST_POLLED).find_map(|(fd, channel)| {
        if descriptors::holds_open(&directory, &channel) {
            return None;
        }
        let (writer, stat) = descriptors::writer_of(&channel, pid)?;
        // Whoever polls may be a server of living children, as another thread may; a child's child is none.
        let is_its_child = stat.ppid == pid;
        if is_its_child && (!reads || thread.tid != pid) {
            return None;
        }
        Some(PipeFacts {
            tid: thread.tid,
            fd,
            is_terminal: channel.is_terminal,
            writer,
            group: stat.group,
            start_ticks: stat.start_ticks,
        })
    })
}

/// More of what a process polls is not looked at: whoever reads two children's output polls four.
const MOST_POLLED: usize = 8;

/// The descriptors that a call of poll(2) waits to read from, from the process's memory.
fn polled(thread: &Path, [array, len, ..]: [u64; 5]) -> Option<Vec<u32>> {
    /// `struct pollfd`.
    const SIZE: usize = 8;
    let len = usize::try_from(len).ok()?.min(MOST_POLLED);
    let bytes = memory(thread, array, len * SIZE)?;
    let entries = bytes.chunks_exact(SIZE).filter_map(|entry| {
        let fd = i32::from_ne_bytes(entry[..4].try_into().ok()?);
        let events = i16::from_ne_bytes(entry[4..6].try_into().ok()?);
        (events & libc::POLLIN != 0).then(|| u32::try_from(fd).ok())?
    });
    Some(entries.collect())
}

/// The descriptors that a call of select(2) waits to read from, likewise.
fn selected(thread: &Path, [len, set, ..]: [u64; 5]) -> Option<Vec<u32>> {
    // The kernel reads whole words of the set.
    const MOST: u32 = libc::FD_SETSIZE as u32;
    let len = u32::try_from(len).ok()?.min(MOST);
    let bytes = memory(thread, set, (len as usize).div_ceil(64) * 8)?;
    let has = |fd: &u32| bytes[*fd as usize / 8] >> (fd % 8) & 1 == 1;
    Some((0..len).filter(has).take(MOST_POLLED).collect())
}

/// Some bytes of a process's memory.
fn memory(thread: &Path, address: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let last = address.checked_add(len as u64)?.checked_sub(1)?;
    // A page of a file can take its file system for ever to read.
    if ![address, last]
        .iter()
        .all(|&address| is_anonymous(thread, address))
    {
        return None;
    }
    let memory = fs::File::open(thread.join("mem")).ok()?;
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(bytes)
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

/// The wait that a thread is blocked in.
fn wait(thread: &Path, wchan: Option<&str>, unreadable: Unreadable) -> io::Result<Wait> {
    let (number, arguments) = match Syscall::read(thread)? {
        Syscall::Denied => return Ok(Wait::Unreadable(unreadable)),
        Syscall::None => return Ok(Wait::None),
        Syscall::Blocked { number, arguments } => (number, arguments),
    };
    let waited = wchan == Some(DO_WAIT);
    // Arguments are registers, of which the kernel takes 32 bits here.
    let [first, second, third, fourth, _] = arguments.map(|argument| argument as u32);
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

    /// How many files a look at this process takes while it has this many more threads.
    fn files_read(threads: usize) -> usize {
        let barrier = Barrier::new(threads + 1);
        thread::scope(|scope| {
            for _ in 0..threads {
                let small = thread::Builder::new().stack_size(32 << 10);
                small.spawn_scoped(scope, || barrier.wait()).unwrap();
            }
            // They come to sleep sooner or later; one that runs is looked at closely.
            let mut fewest = usize::MAX;
            for _ in 0..600 {
                let before = files::FILES_READ.get();
                let parents = Proc::open().unwrap().parents([std::process::id()]);
                let own = parents.get(std::process::id()).unwrap();
                assert!(own.threads.len() > threads);
                fewest = fewest.min(files::FILES_READ.get() - before);
                if fewest < 2 * threads {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            barrier.wait();
            fewest
        })
    }

    #[test]
    fn of_most_threads_of_a_crowd_one_file_is_read() {
        const THREADS: usize = 300;
        let read = files_read(THREADS);
        // Other tests have threads, too.
        assert!(
            read < THREADS + THREADS / 2,
            "{read} files of {THREADS} threads"
        );
    }

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
