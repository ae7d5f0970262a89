//! A supervisor that leaves a zombie, and spends its time in three places. It prints how long, in ns, and how
//! much of the last is CPU time. A program of its own, and part of the tests, where there is no compiler.

use std::{
    hint::{black_box, spin_loop},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long each place takes, in ms; the last in CPU time.
const TIMES: [u64; 3] = [17, 11, 7];

static LOCK: Mutex<u64> = Mutex::new(0);
static IS_HELD: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn write_journal(time: Duration) {
    thread::sleep(time); // WRITES
    black_box(time);
}

/// Another thread has the lock, for as long.
#[inline(never)]
fn take_lock(holder: &thread::Thread) {
    holder.unpark();
    while !IS_HELD.load(Ordering::Acquire) {
        spin_loop();
    }
    let mut turns = LOCK.lock().expect("no thread panics with it"); // LOCKS
    *turns += 1;
    IS_HELD.store(false, Ordering::Release);
}

fn hold_lock(time: Duration) {
    loop {
        thread::park();
        let turns = LOCK.lock().expect("no thread panics with it");
        IS_HELD.store(true, Ordering::Release);
        thread::sleep(time);
        drop(turns);
        // A wake-up for no reason would take the lock once more.
        while IS_HELD.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }
}

#[inline(never)]
fn compute(time: Duration) {
    let end = cpu_time() + time;
    while cpu_time() < end {
        for turn in 0..2000_u64 {
            black_box(turn);
        }
    }
}

fn cpu_time() -> Duration {
    #[repr(C)]
    struct Time {
        seconds: i64,
        ns: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Time) -> i32;
    }
    const THREAD: i32 = 3;
    let mut time = Time { seconds: 0, ns: 0 };
    // SAFETY: `time` is laid out as the kernel's on a 64-bit machine.
    unsafe { clock_gettime(THREAD, &raw mut time) };
    Duration::new(time.seconds as u64, time.ns as u32)
}

#[inline(never)]
fn run_job(holder: &thread::Thread, spent: &mut [u128; 3]) {
    let start = Instant::now();
    write_journal(Duration::from_millis(TIMES[0]));
    let written = Instant::now();
    take_lock(holder);
    let locked = Instant::now();
    compute(Duration::from_millis(TIMES[2]));
    spent[0] += (written - start).as_nanos();
    spent[1] += (locked - written).as_nanos();
    spent[2] += locked.elapsed().as_nanos();
}

#[inline(never)]
fn supervise(seconds: f64) {
    let holder = thread::spawn(|| hold_lock(Duration::from_millis(TIMES[1])));
    let child = Command::new("/proc/self/exe").arg("zombie").spawn();
    let mut child = child.expect("a child");
    let (mut spent, mut jobs) = ([0; 3], 0);
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds {
        run_job(holder.thread(), &mut spent);
        jobs += 1;
    }
    let [writes, locks, computes] = spent;
    let cpu = jobs * TIMES[2] * 1_000_000;
    println!("spent {writes} {locks} {computes} {cpu}");
    child.wait().expect("a zombie");
}

pub(crate) fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    if let Ok(seconds) = how.parse() {
        supervise(seconds);
    }
}
