//! Parents in Rust that this program can be, so that there is one in the test kernels, too.

use std::{
    fs,
    hint::black_box,
    process::{Child, Command},
    sync::mpsc,
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// The variable that makes this program such a parent. Its value says which one.
pub(crate) const PARENT: &str = "ZOMBIE_TRACE_E2E_STACKS";

/// `shares`: the supervisor, whose argument is how long, in seconds.
pub(super) const SHARES: &str = "shares";
/// `sleepers`: sleeping threads, each with a zombie of its own.
pub(super) const SLEEPERS: &str = "sleepers";
/// `ticks`: a thread that wakes up often, and says what that took.
pub(super) const TICKS: &str = "ticks";

/// Any other value is how long it moves, in seconds.
pub(crate) fn parent(kind: &str) {
    match kind {
        SHARES => super::shares::main(),
        SLEEPERS => sleep_in_threads(),
        TICKS => tick(),
        seconds => move_on(seconds.parse().expect("seconds")),
    }
}

/// A process that ends at once.
fn zombie() -> Child {
    let zombie = Command::new("/proc/self/exe").env(PARENT, "0").spawn();
    zombie.expect("a child")
}

/// Leaves a zombie, and then calls along chains that have no function in common.
#[inline(never)]
fn move_on(seconds: f64) {
    if seconds == 0.0 {
        return;
    }
    let mut child = zombie();
    let begin = Instant::now();
    let mut turn = 0_u64;
    while begin.elapsed().as_secs_f64() < seconds {
        let chain = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        CHAINS[chain as usize](turn);
        turn += 1;
    }
    child.wait().expect("a zombie");
}

/// The threads that sleep.
pub(super) const THREADS: usize = 8;

#[expect(clippy::zombie_processes, reason = "zombies are what it is for")]
fn sleep_in_threads() {
    let threads = (0..THREADS).map(|_| {
        let (made, is_made) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _zombie = zombie();
            let _ = made.send(());
            sleep(Duration::from_secs(3600));
        });
        // One after another, so that no two make processes at a time.
        let _ = is_made.recv();
        thread
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        let _ = thread.join();
    }
}

/// How often it wakes up.
pub(super) const WAKE_UPS: u64 = 600;

/// Prints how often it has slept and been preempted, and its CPU time in ns.
fn tick() {
    let mut child = zombie();
    let before = used();
    for _ in 0..WAKE_UPS {
        sleep(Duration::from_millis(5));
        for turn in 0..1000_u64 {
            black_box(turn);
        }
    }
    let after = used();
    let words = before
        .iter()
        .zip(after)
        .map(|(before, after)| after - before);
    let words: Vec<_> = words.map(|number| number.to_string()).collect();
    println!("ticks {}", words.join(" "));
    child.wait().expect("a zombie");
}

/// Voluntary and involuntary context switches, and CPU time.
fn used() -> [u64; 3] {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let switches = super::quiet::switches(&status).expect("context switches");
    let times = fs::read_to_string("/proc/self/schedstat").expect("schedstat");
    let time = times.split(' ').next().and_then(|ns| ns.parse().ok());
    [switches[0], switches[1], time.expect("a time")]
}

/// Moves on: runs for a moment, or sleeps for one.
#[inline(always)]
fn step(turn: u64) {
    let until = Duration::from_micros(20 + turn % 7 * 10);
    if turn.is_multiple_of(3) {
        sleep(until);
    } else {
        let begin = Instant::now();
        while begin.elapsed() < until {
            black_box(turn);
        }
    }
}

/// Functions that call each other in this order.
macro_rules! chain {
    ($last:ident) => {
        #[inline(never)]
        fn $last(turn: u64) {
            step(black_box(turn + 1));
            // No two are the same, so that none is merged with another.
            black_box(stringify!($last));
        }
    };
    ($name:ident $next:ident $($rest:ident)*) => {
        #[inline(never)]
        fn $name(turn: u64) {
            step(black_box(turn));
            $next(turn);
            step(black_box(turn + 1));
            black_box(stringify!($name));
        }
        chain!($next $($rest)*);
    };
}

chain!(chain_a1 chain_a2 chain_a3 chain_a4);
chain!(chain_b1 chain_b2 chain_b3 chain_b4);
chain!(chain_c1 chain_c2 chain_c3 chain_c4);
chain!(chain_d1 chain_d2 chain_d3 chain_d4);
chain!(chain_e1 chain_e2 chain_e3 chain_e4);
chain!(chain_f1 chain_f2 chain_f3 chain_f4);
chain!(chain_g1 chain_g2 chain_g3 chain_g4);
chain!(chain_h1 chain_h2 chain_h3 chain_h4);

/// The first function of each chain.
const CHAINS: [fn(u64); 8] = [
    chain_a1, chain_b1, chain_c1, chain_d1, chain_e1, chain_f1, chain_g1, chain_h1,
];

/// The letters of the chains.
pub(super) const LETTERS: &str = "abcdefgh";

/// How many functions a chain has.
pub(super) const LINKS: usize = 4;
