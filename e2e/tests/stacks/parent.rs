//! Parents in Rust that this program can be, so that there is one in the test kernels, too.

use std::{
    hint::black_box,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// The variable that makes this program such a parent. Its value is how long, in seconds.
pub(crate) const PARENT: &str = "ZOMBIE_TRACE_E2E_STACKS";

/// Leaves a zombie, and then calls along two chains that have no function in common.
pub(crate) fn parent(seconds: &str) {
    let seconds: f64 = seconds.parse().expect("seconds");
    if seconds == 0.0 {
        return;
    }
    let child = Command::new("/proc/self/exe").env(PARENT, "0").spawn();
    let mut child = child.expect("a child");
    let begin = Instant::now();
    let mut turn = 0;
    while begin.elapsed().as_secs_f64() < seconds {
        match turn % 2 {
            0 => chain_a(turn),
            _ => chain_d(turn),
        }
        turn += 1;
    }
    child.wait().expect("a zombie");
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

macro_rules! link {
    ($name:ident calls $next:ident) => {
        #[inline(never)]
        fn $name(turn: u64) {
            step(black_box(turn));
            $next(turn);
            step(black_box(turn + 1));
        }
    };
    ($name:ident ends) => {
        #[inline(never)]
        fn $name(turn: u64) {
            step(black_box(turn + 1));
            black_box(turn);
        }
    };
}

link!(chain_a calls chain_b);
link!(chain_b calls chain_c);
link!(chain_c ends);
link!(chain_d calls chain_e);
link!(chain_e calls chain_f);
link!(chain_f ends);
