//! Long ways from the end of a process to its being a zombie: no zombie time.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use zombie_trace_e2e::{Span, Truth, now};

use crate::{
    process::{Proc, Refine},
    sys,
};

/// Aborts with core dumps allowed. Whether one is made is the machine's choice
/// (`/proc/sys/kernel/core_pattern`); the kernel says so in the wait status.
pub(crate) fn core_dump(_: &[String]) {
    let child = Proc::new("child");
    let directory = std::env::temp_dir().join(format!("zt-core-{}", sys::getpid()));
    fs::create_dir(&directory).expect("a temporary directory");
    child.fork(|| {
        std::env::set_current_dir(&directory).expect("just made");
        sys::unlimit_core();
        sys::touch_memory(16 << 20);
        child.ends_now();
        // A shell's background jobs are started with SIGQUIT ignored.
        sys::sigaction(libc::SIGQUIT, libc::SIG_DFL, 0);
        // Not SIGSEGV, which the Rust runtime handles.
        sys::kill(sys::getpid(), libc::SIGQUIT);
        sys::pause_forever()
    });
    child.poll_birth();
    sys::sleep_ms(5);
    child.reap();
    let _ = fs::remove_dir_all(&directory);
    let truth = child.truth();
    assert_eq!(truth.signal, Some(libc::SIGQUIT as u8), "its death");
    truth.emit();
}

const DEFAULT_MIB: usize = 512;

/// Enough free memory.
pub(crate) fn no_memory() -> Option<String> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    let needed = DEFAULT_MIB * 3 / 2;
    (kib / 1024 < needed).then(|| format!("{} MiB of memory free, {needed} needed", kib / 1024))
}

/// It has let go of its memory (`exit_mm`), which the kernel gives back then: vsize of
/// proc_pid_stat(5).
fn has_no_memory(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(20) == Some("0")
}

/// `big-mm [MIB]`: a child with much memory to give back, and a parent that is blocked in wait4.
/// Another thread of the parent looks on, to see when the zombie begins.
pub(crate) fn big(args: &[String]) {
    let mib = args
        .first()
        .map_or(DEFAULT_MIB, |arg| arg.parse().expect("big-mm MIB"));
    let child = Proc::new("child");
    child.fork(|| {
        sys::touch_memory(mib << 20);
        0
    });
    let pid = child.local_pid();
    let [last_look, frees] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let (looked, freeing) = (Arc::clone(&last_look), Arc::clone(&frees));
    let looker = thread::spawn(move || {
        let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        loop {
            let look = now();
            // None both while it lives and once it is reaped: only "lives" is a look.
            let zombie = sys::waitid(libc::P_PID, pid as u32, options).is_some();
            if zombie || !sys::kill(pid, 0) {
                break;
            }
            looked.store(look, SeqCst);
            if freeing.load(SeqCst) == 0 && has_no_memory(child.pid()) {
                freeing.store(now(), SeqCst);
            }
            thread::sleep(std::time::Duration::from_micros(20));
        }
    });
    child.reap();
    looker.join().expect("it only looks");
    let ended = child.ended();
    let reaped = child.wait_reaped();
    child.born(Span {
        lo: last_look.load(SeqCst).max(ended).min(reaped.hi),
        hi: reaped.hi,
    });
    // From the first look that found it without memory to the last one that found it alive.
    let teardown = Span {
        lo: match frees.load(SeqCst) {
            0 => 0,
            frees => last_look.load(SeqCst).saturating_sub(frees),
        },
        hi: reaped.hi - ended,
    };
    Truth {
        teardown: Some(teardown),
        ..child.truth()
    }
    .emit();
}
