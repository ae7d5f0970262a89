//! A process of a scenario, and the truth about it, kept in memory that all of them share.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use libc::{c_int, pid_t};
use zombie_trace_e2e::{Expect, Line, Span, Truth, now};

use crate::sys;

/// Processes that one scenario can describe.
const SLOTS: usize = 2048;
/// No process of a scenario lives longer, whatever goes wrong, in seconds: as long as a test may take.
pub(crate) const LIFE_LIMIT: u32 = 600;

/// What the participants note down about one process. All zero is "not known (yet)".
#[derive(Debug)]
struct Slot {
    pid: AtomicU32,
    ns_pid: AtomicU32,
    /// As its forker sees it.
    local_pid: AtomicI32,
    forker: AtomicUsize,
    reaper: AtomicUsize,
    status: AtomicI32,
    reaper_tid: AtomicU32,
    started: AtomicSpan,
    ended: AtomicU64,
    born: AtomicSpan,
    reaped: AtomicSpan,
}

#[derive(Debug)]
struct AtomicSpan {
    lo: AtomicU64,
    hi: AtomicU64,
}

impl AtomicSpan {
    fn set(&self, span: Span) {
        self.lo.store(span.lo, SeqCst);
        self.hi.store(span.hi, SeqCst);
    }

    fn get(&self) -> Option<Span> {
        let span = Span {
            lo: self.lo.load(SeqCst),
            hi: self.hi.load(SeqCst),
        };
        (span.hi != 0).then_some(span)
    }
}

/// The slot of the current process; slot 0 is the scenario's main process.
static CURRENT: AtomicUsize = AtomicUsize::new(0);
/// Roles by slot. Slots are given out by the main process only, before it forks.
static ROLES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn slots() -> &'static [Slot] {
    static ARENA: OnceLock<&'static [Slot]> = OnceLock::new();
    ARENA.get_or_init(|| {
        let memory = sys::map_shared(SLOTS * size_of::<Slot>());
        // SAFETY: zeroed, page-aligned, never unmapped; a Slot is atomics only, so all zero is
        // valid and sharing it is sound.
        unsafe { std::slice::from_raw_parts(memory.cast(), SLOTS) }
    })
}

/// A handle that names the same process in all processes of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proc(usize);

impl Proc {
    /// The scenario's main process.
    pub(crate) const MAIN: Self = Self(0);

    /// To be called first: notes down the main process and limits its life.
    pub(crate) fn init_main() {
        assert_eq!(Self::new("scenario"), Self::MAIN);
        Self::MAIN.note_self();
    }

    /// A process yet to be made. Only the main process may call this, so that it knows them all.
    pub(crate) fn new(role: &'static str) -> Self {
        assert_eq!(
            CURRENT.load(SeqCst),
            0,
            "only the main process makes handles"
        );
        let mut roles = ROLES.lock().expect("not poisoned");
        roles.push(role);
        assert!(roles.len() <= SLOTS, "more than {SLOTS} processes");
        Self(roles.len() - 1)
    }

    /// For code that can keep no handle (a static).
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// The reverse of [`index`](Self::index).
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index)
    }

    fn slot(self) -> &'static Slot {
        &slots()[self.0]
    }

    fn role(self) -> &'static str {
        ROLES.lock().expect("not poisoned")[self.0]
    }

    fn note_self(self) {
        sys::alarm(LIFE_LIMIT);
        self.slot().ns_pid.store(sys::getpid() as u32, SeqCst);
        self.slot().pid.store(sys::global_pid(), SeqCst);
    }

    /// Forks a child that runs `body`, notes the time and exits with the code that it returned.
    pub(crate) fn fork(self, body: impl FnOnce() -> u8) {
        self.fork_by(sys::fork, body);
    }

    /// As [`fork`](Self::fork), by another system call that returns twice.
    pub(crate) fn fork_by(self, fork: impl FnOnce() -> pid_t, body: impl FnOnce() -> u8) {
        let role = self.role();
        let slot = self.slot();
        slot.forker.store(CURRENT.load(SeqCst), SeqCst);
        let lo = now();
        let pid = fork();
        if pid == 0 {
            CURRENT.store(self.0, SeqCst);
            sys::set_comm(role.as_bytes());
            self.note_self();
            let code = body();
            self.ends_now();
            sys::exit_group(code);
        }
        slot.started.set(Span { lo, hi: now() });
        slot.local_pid.store(pid, SeqCst);
    }

    /// For a child made in another way: its forker notes it down.
    pub(crate) fn made(self, pid: pid_t, started: Span) {
        self.slot().forker.store(CURRENT.load(SeqCst), SeqCst);
        self.slot().started.set(started);
        self.slot().local_pid.store(pid, SeqCst);
    }

    /// For a child made in another way: it notes its pid down itself.
    pub(crate) fn is_self(self) {
        self.slot().ns_pid.store(sys::getpid() as u32, SeqCst);
        self.slot().pid.store(sys::global_pid(), SeqCst);
    }

    /// Its pid as its forker sees it, once it is known.
    pub(crate) fn local_pid(self) -> pid_t {
        wait_for(|| Some(self.slot().local_pid.load(SeqCst)).filter(|&pid| pid != 0))
    }

    /// Its pid as the initial pid namespace sees it, once it is known.
    pub(crate) fn pid(self) -> u32 {
        wait_for(|| Some(self.slot().pid.load(SeqCst)).filter(|&pid| pid != 0))
    }

    /// Notes that the process ends after this instant (its own last act, or before killing it).
    pub(crate) fn ends_now(self) {
        self.slot().ended.store(now(), SeqCst);
    }

    /// Waits for it to become a zombie, by looking without reaping; as seen by its parent or its
    /// tracer. Brackets the instant.
    pub(crate) fn poll_birth(self) {
        let pid = self.local_pid();
        let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG | libc::__WALL;
        let mut last_look = 0;
        let hi = loop {
            let look = now();
            if sys::waitid(libc::P_PID, pid as u32, options).is_some() {
                break now();
            }
            last_look = look;
            std::thread::yield_now();
        };
        let ended = self.slot().ended.load(SeqCst);
        // Under a tracer that we know nothing of, the parent's look says nothing: it sees the
        // zombie only once the tracer has waited for it (wait_consider_task, ptrace_reparented).
        let looked = if std::env::var_os("SCENARIO_TRACED").is_some() {
            0
        } else {
            last_look
        };
        self.born(Span {
            lo: ended.max(looked),
            hi,
        });
    }

    /// Notes when it became a zombie.
    pub(crate) fn born(self, span: Span) {
        self.slot().born.set(span);
    }

    /// Waits until someone else has noted its birth.
    pub(crate) fn wait_birth(self) -> Span {
        wait_for(|| self.slot().born.get())
    }

    /// When it began its end.
    pub(crate) fn ended(self) -> u64 {
        self.slot().ended.load(SeqCst)
    }

    /// Reaps it by wait4.
    pub(crate) fn reap(self) {
        self.reap_by(|| sys::wait4(self.local_pid(), 0));
    }

    /// Reaps it by a wait that returns its pid and status.
    pub(crate) fn reap_by(self, wait: impl FnOnce() -> Option<(pid_t, c_int)>) {
        let lo = now();
        let answer = wait();
        let span = Span { lo, hi: now() };
        match answer {
            Some((pid, status)) if pid == self.local_pid() => self.reaped(span, status),
            other => sys::broken(&format!("waiting for {}: {other:?}", self.role())),
        }
    }

    /// Notes that the current process reaped it.
    pub(crate) fn reaped(self, span: Span, status: c_int) {
        self.slot().status.store(status, SeqCst);
        self.slot().reaper_tid.store(sys::global_tid(), SeqCst);
        self.reaped_by(Self(CURRENT.load(SeqCst)), span);
    }

    /// Notes who reaped it.
    pub(crate) fn reaped_by(self, reaper: Self, span: Span) {
        self.slot().reaper.store(reaper.0, SeqCst);
        self.slot().reaped.set(span);
    }

    /// When it was reaped, once that is known.
    pub(crate) fn wait_reaped(self) -> Span {
        wait_for(|| self.slot().reaped.get())
    }

    /// Waits until its pid is free, and returns the time after.
    pub(crate) fn wait_gone(self) -> u64 {
        let pid = self.local_pid();
        wait_for(|| (!sys::kill(pid, 0)).then(now))
    }

    /// Watches a process that is nobody's of ours any more, by way of /proc: its birth as a zombie
    /// and its end.
    pub(crate) fn watch_orphan(self) {
        let path = format!("/proc/{}/stat", self.pid());
        let mut started: Option<String> = None;
        let mut state = || {
            let stat = std::fs::read_to_string(&path).ok()?;
            let fields = stat.rsplit_once(") ")?.1;
            // Its pid may be somebody else's by now: starttime (proc_pid_stat(5)).
            let start = fields.split(' ').nth(19)?;
            if *started.get_or_insert_with(|| start.to_owned()) != start {
                return None;
            }
            fields.chars().next()
        };
        let mut alive = 0;
        let (mut born_hi, mut zombie) = (0, 0);
        let hi = loop {
            let look = now();
            match state() {
                None => break now(),
                Some('Z') if born_hi == 0 => (born_hi, zombie) = (now(), look),
                Some('Z' | 'X') => zombie = look,
                Some(_) => alive = look,
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        };
        let lo = self.ended().max(alive);
        self.born(Span {
            lo,
            hi: if born_hi == 0 { hi } else { born_hi },
        });
        // It was there at the beginning of the last look that found it.
        self.reaped_by(
            Self::MAIN,
            Span {
                lo: lo.max(zombie),
                hi,
            },
        );
    }

    /// The truth about an orphan that a stranger (init) adopted and reaped in its own way.
    pub(crate) fn adopted_truth(self, adopter: u32) -> Truth {
        Truth {
            ppid: Some(adopter),
            parent_comm: None,
            // An init's count of execs can be the maker's by chance.
            foreign: vec![Some(true), None],
            reaper_pid: Some(adopter),
            reaper_tid: None,
            reaper_comm: None,
            how: ["wait4", "waitid", "wait", "io_uring", "unknown"]
                .map(String::from)
                .to_vec(),
            // What init waits by, and so whether the tracer can see it, is init's affair.
            flags_maybe: vec!["bounded-end".into()],
            ..self.truth()
        }
    }

    /// What is known of it: an ordinary zombie unless changed. Called by the main process.
    pub(crate) fn truth(self) -> Truth {
        let slot = self.slot();
        let [forker, reaper] = [&slot.forker, &slot.reaper].map(|index| Self(index.load(SeqCst)));
        let status = slot.status.load(SeqCst);
        let reaped = slot.reaped.get();
        let unseen = reaped.map(|reaped| Span {
            lo: self.ended(),
            hi: reaped.hi,
        });
        Truth {
            role: self.role().into(),
            pid: slot.pid.load(SeqCst),
            expect: Expect::Zombie,
            ns_pid: Some(slot.ns_pid.load(SeqCst)),
            comm: Some(self.role().into()),
            uid: Some(sys::getuid()),
            ppid: Some(forker.pid()),
            parent_comm: Some(forker.role().into()),
            foreign: vec![Some(false)],
            reaper_pid: Some(reaper.pid()),
            reaper_tid: Some(slot.reaper_tid.load(SeqCst)).filter(|&tid| tid != 0),
            reaper_comm: Some(reaper.role().into()),
            how: vec!["wait4".into()],
            exit_code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status) as u8),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status) as u8),
            core_dumped: libc::WIFSIGNALED(status) && libc::WCOREDUMP(status),
            started: slot.started.get(),
            born: slot.born.get().or(unseen),
            reaped,
            teardown: None,
            cgroup: None,
            host_name: None,
            flags: vec![],
            flags_maybe: vec![],
        }
    }
}

/// The main process's own truth, as far as it can tell: its parent reaps it.
pub(crate) fn main_truth() -> Truth {
    let reaper = sys::global_ppid();
    Truth {
        role: "command".into(),
        ppid: Some(reaper),
        parent_comm: None,
        foreign: vec![],
        reaper_pid: Some(reaper),
        reaper_tid: None,
        reaper_comm: None,
        how: vec![
            "wait4".into(),
            "waitid".into(),
            "wait".into(),
            "io_uring".into(),
        ],
        exit_code: Some(0),
        ..Proc::MAIN.truth()
    }
}

/// Refinements of a [`Truth`].
pub(crate) trait Refine: Sized {
    /// Its parent at death was not the one that forked it.
    fn parent(self, parent: Proc) -> Self;
    /// The program that its parent is now did not make it; `None` if nobody can know.
    fn foreign(self, foreign: Option<bool>) -> Self;
    /// How it was reaped.
    fn how(self, how: &str) -> Self;
    /// A flag that must be there.
    fn flag(self, flag: &str) -> Self;
    /// A flag that may be there.
    fn flag_maybe(self, flag: &str) -> Self;
    /// It exited with this code, though nobody could ask.
    fn code(self, code: u8) -> Self;
    /// It was killed by this signal, though nobody could ask.
    fn killed(self, signal: c_int) -> Self;
    /// The kernel reaped it at once.
    fn autoreaped(self) -> Self;
    /// Prints it.
    fn emit(self);
}

impl Refine for Truth {
    fn parent(mut self, parent: Proc) -> Self {
        self.ppid = Some(parent.pid());
        self.parent_comm = Some(parent.role().into());
        self
    }

    fn foreign(mut self, foreign: Option<bool>) -> Self {
        self.foreign = vec![foreign];
        self
    }

    fn how(mut self, how: &str) -> Self {
        self.how = vec![how.into()];
        self
    }

    fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    fn flag_maybe(mut self, flag: &str) -> Self {
        self.flags_maybe.push(flag.into());
        self
    }

    fn code(mut self, code: u8) -> Self {
        (self.exit_code, self.signal) = (Some(code), None);
        self
    }

    fn killed(mut self, signal: c_int) -> Self {
        (self.exit_code, self.signal) = (None, Some(signal as u8));
        self
    }

    fn autoreaped(mut self) -> Self {
        self.expect = Expect::Autoreaped;
        self.how = vec!["autoreap".into()];
        // Nobody in particular: the contract does not say whom to name.
        self.reaper_pid = None;
        self.reaper_tid = None;
        self.reaper_comm = None;
        self.born = None;
        self.reaped = None;
        self
    }

    fn emit(self) {
        print_line(&Line::Process(Box::new(self)));
    }
}

/// Prints one line, at once and in one piece.
pub(crate) fn print_line(line: &Line) {
    use std::io::Write as _;
    let mut text = serde_json::to_string(line).expect("a truth is valid JSON");
    text.push('\n');
    let mut stdout = std::io::stdout().lock();
    // A reader that is gone is the harness's affair.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Looks every few µs until there is an answer; the alarm ends it if there never is one.
pub(crate) fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

/// Whether a process is in this state, as proc_pid_stat(5) has it.
pub(crate) fn has_state(pid: u32, state: char) -> bool {
    thread_has_state(pid, pid, state)
}

/// Whether a thread of a process is in this state.
pub(crate) fn thread_has_state(pid: u32, tid: u32, state: char) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let state = format!(" {state}");
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.starts_with(&state))
}

/// Something that one process waits for and another one brings about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate(&'static AtomicU64);

impl Gate {
    /// Closed, in shared memory: to be made before forking.
    pub(crate) fn new() -> Self {
        let memory = sys::map_shared(size_of::<AtomicU64>());
        // SAFETY: zeroed, aligned, never unmapped, and an atomic.
        Self(unsafe { &*memory.cast() })
    }

    /// Lets everyone pass.
    pub(crate) fn open(self) {
        self.pass(1);
    }

    /// Lets everyone pass and gives them a number other than 0.
    pub(crate) fn pass(self, value: u64) {
        self.0.store(value, SeqCst);
    }

    /// The number, 0 while it is closed.
    pub(crate) fn get(self) -> u64 {
        self.0.load(SeqCst)
    }

    /// Waits until it is open; returns the number.
    pub(crate) fn wait(self) -> u64 {
        wait_for(|| Some(self.0.load(SeqCst)).filter(|&value| value != 0))
    }
}
