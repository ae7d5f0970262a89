//! Made-up recordings of runs, always the same for the same number of zombies, in which each kind
//! of parent has its way.

use std::io::{self, Write};

/// What is true of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Zombies that were reaped.
    pub reaped: u64,
    /// The sum of their times, ns.
    pub total_ns: u64,
    /// The longest of them, ns.
    pub max_ns: u64,
    /// Zombies that are left.
    pub alive: u64,
}

/// How long the recorded runs last, ns.
pub const DURATION_NS: u64 = 60_000_000_000;
/// A name that is markup, as a command may have.
pub const EVIL: &str = "<b>&\"evil\"</b>";
const ALIVE: u64 = 14;

/// Writes a recording of so many zombies.
///
/// # Errors
/// `out` can't be written.
pub fn write(out: &mut impl Write, zombies: u64) -> io::Result<Recorded> {
    writeln!(
        out,
        r#"{{"type":"start","ts":"{}","schema":1,"version":"0.1.0","kernel":"6.12.0","backend":"fentry","tracer_pid":4000,"command":["./load-test","--title","</title><script>document.title='run'</script>"]}}"#,
        timestamp(0)
    )?;
    let mut truth = Recorded {
        alive: ALIVE,
        ..Recorded::default()
    };
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for n in 0..zombies {
        let reaped = (u128::from(n + 1) * u128::from(DURATION_NS) / u128::from(zombies + 1)) as u64;
        let kind = &KINDS[random.below(KINDS.len() as u64) as usize];
        let zombie_ns = kind.lifetime(reaped, &mut random).min(reaped);
        let waiting = if kind.busy { zombie_ns * 9 / 10 } else { 0 };
        let queue = (zombie_ns - waiting) / 3;
        let ppid = kind.ppid + random.below(kind.parents) as u32;
        let exit_code = u64::from(random.below(50) == 0);
        writeln!(
            out,
            r#"{{"type":"zombie","ts":"{}","pid":{pid},"ns_pid":{pid},"comm":{comm:?},"uid":1000,"ppid":{ppid},"parent_comm":"{parent}","foreign":false,"exit_code":{exit_code},"signal":null,"core_dumped":false,"zombie_ns":{zombie_ns},"error_ns":1000,"teardown_ns":{teardown},"run_ns":{run},"how":"wait4","reaper_pid":{ppid},"reaper_tid":{ppid},"reaper_comm":"{parent}","cgroup":"/system.slice/load.service","flags":[],"phases":{{"notify_ns":0,"parent_not_waiting_ns":{waiting},"runqueue_ns":{queue},"tracer_ns":0,"reap_ns":{rest}}}}}"#,
            timestamp(reaped),
            pid = 10_000 + n % 4_000_000,
            comm = kind.comm,
            parent = kind.parent,
            teardown = 20_000 + random.below(40_000),
            run = 300_000 + random.below(30_000_000),
            rest = zombie_ns - waiting - queue,
        )?;
        truth.reaped += 1;
        truth.total_ns += zombie_ns;
        truth.max_ns = truth.max_ns.max(zombie_ns);
    }
    for n in 0..ALIVE {
        let (cause, text) = match n {
            0..4 => (
                "parent-stopped",
                "the parent 4242 (worker) is stopped; continue the parent (kill -CONT).",
            ),
            _ => (
                "never-waits",
                "the parent 4300 (leaky) neither handles SIGCHLD nor waits; let the parent wait for its children, or ignore SIGCHLD.",
            ),
        };
        writeln!(
            out,
            r#"{{"type":"alive","ts":"{}","pid":{pid},"ns_pid":{pid},"comm":"forgotten","uid":0,"ppid":4300,"parent_comm":"leaky","foreign":false,"exit_code":1,"signal":null,"age_ns":{age},"error_ns":1000,"cause":"{cause}","cause_text":"{text}","cgroup":null,"flags":[]}}"#,
            timestamp(DURATION_NS),
            pid = 5000 + n,
            age = 30_000_000_000 - n * 2_000_000_000,
        )?;
    }
    writeln!(
        out,
        r#"{{"type":"summary","ts":"{}","duration_ns":{DURATION_NS},"exits":{},"reaped":{zombies},"autoreaped":0,"alive":{ALIVE},"pre_existing":0,"filtered":0,"lost":{{"ring_full":0,"map_full":0,"missed":0}},"complete":true,"zombie_ns":{{"count":0,"min":null,"mean":null,"p50":null,"p90":null,"p99":null,"p999":null,"max":null}},"by_parent":[]}}"#,
        timestamp(DURATION_NS),
        zombies + ALIVE
    )?;
    Ok(truth)
}

/// A kind of parent with its children.
struct Kind {
    parent: &'static str,
    ppid: u32,
    /// How many of them there are.
    parents: u64,
    comm: &'static str,
    /// It does something else before it waits.
    busy: bool,
    typical_ns: u64,
}

const KINDS: [Kind; 6] = [
    Kind {
        parent: "make",
        ppid: 4100,
        parents: 4,
        comm: "cc1",
        busy: false,
        typical_ns: 30_000,
    },
    Kind {
        parent: "sh",
        ppid: 20_000,
        parents: 2000,
        comm: "sed",
        busy: false,
        typical_ns: 60_000,
    },
    Kind {
        parent: "httpd",
        ppid: 4200,
        parents: 8,
        comm: "cgi-bin",
        busy: false,
        typical_ns: 250_000,
    },
    Kind {
        parent: "worker",
        ppid: 4242,
        parents: 1,
        comm: "convert",
        busy: true,
        typical_ns: 9_000_000,
    },
    Kind {
        parent: "cron",
        ppid: 800,
        parents: 1,
        comm: EVIL,
        busy: true,
        typical_ns: 1_000_000,
    },
    // Reaps what there is every second.
    Kind {
        parent: "supervisor",
        ppid: 4001,
        parents: 1,
        comm: "job",
        busy: true,
        typical_ns: 0,
    },
];

impl Kind {
    /// Of one that is reaped then. From the middle of the run on, all is slower.
    fn lifetime(&self, reaped: u64, random: &mut Random) -> u64 {
        if self.typical_ns == 0 {
            return random.below(1_000_000_000);
        }
        let load = if reaped > DURATION_NS / 2 { 3 } else { 1 };
        let tail = if random.below(100) == 0 { 20 } else { 1 };
        self.typical_ns * load * tail * (50 + random.below(100)) / 100
    }
}

/// Of a run that begins at 2026-01-02T03:04:05Z.
fn timestamp(ns: u64) -> String {
    let (second, fraction) = (5 + ns / 1_000_000_000, ns % 1_000_000_000);
    let (minute, second) = (4 + second / 60, second % 60);
    format!("2026-01-02T03:{minute:02}:{second:02}.{fraction:09}Z")
}

/// xorshift64 (Marsaglia): enough for this, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
