//! Makes zombies of a known age, and compares what the library says of them. Ends with status 0 if all of
//! it is true.

use std::{
    fs,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use zombie_trace::{Event, Scope, Trace};

/// How old each zombie gets at least.
const AGES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(110),
];

/// A zombie that was made: its pid, and how long it lasted at least and at most.
struct Made {
    pid: u32,
    least: Duration,
    most: Duration,
}

fn main() -> zombie_trace::Result<()> {
    let mut trace = Trace::builder()
        .scope(Scope::new().ppid(process::id()))
        .start()?;
    let mut made: Vec<Made> = AGES.into_iter().map(make).collect();
    trace.stop();

    let mut summary = None;
    for event in trace.blocking() {
        match event? {
            Event::Zombie(zombie) => {
                let place = made.iter().position(|made| made.pid == zombie.pid);
                let made = made.remove(place.expect("a zombie that was made"));
                let (found, error) = (zombie.zombie_ns, zombie.error_ns);
                assert!(u128::from(found + error) >= made.least.as_nanos());
                assert!(u128::from(found.saturating_sub(error)) <= made.most.as_nanos());
                assert_eq!(zombie.ppid, Some(process::id()));
                assert_eq!(zombie.reaper_pid, Some(process::id()));
                assert_eq!(zombie.exit_code, Some(0));
            }
            Event::Summary(found) => summary = Some(found),
            Event::Warning(warning) => println!("warning: {warning}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(made.is_empty(), "not seen: {}", made.len());
    let summary = summary.expect("the last event is the summary");
    assert_eq!((summary.counts.reaped, summary.counts.alive), (3, 0));
    assert!(summary.complete);
    // Children of the program that traces count as any others.
    assert_eq!(summary.by_parent[0].ppid, Some(process::id()));
    assert_eq!(trace.finish()?, *summary);

    // Whoever is not interested any more drops it.
    drop(Trace::builder().start()?);
    println!("true");
    Ok(())
}

/// A child that ends at once, and is reaped when it is old enough.
fn make(age: Duration) -> Made {
    let before = Instant::now();
    let mut child = Command::new("true").spawn().expect("true(1)");
    let status = format!("/proc/{}/status", child.id());
    while !fs::read_to_string(&status).expect("procfs").contains("State:\tZ") {
        thread::sleep(Duration::from_millis(1));
    }
    let seen = Instant::now();
    thread::sleep(age);
    let least = seen.elapsed();
    child.wait().expect("our child");
    Made {
        pid: child.id(),
        least,
        most: before.elapsed(),
    }
}
