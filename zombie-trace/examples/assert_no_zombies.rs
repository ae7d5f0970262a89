//! Runs a command and fails if it leaves a zombie behind, or if one lasted too long:
//! `assert_no_zombies MILLISECONDS COMMAND [ARGS]...`
//!
//! [`assert_no_zombies`] is meant to be copied into an integration test of your own. Such a test needs
//! root, or the capabilities that `TraceBuilder::start` names.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    process::{self, Command},
    time::Duration,
};

use zombie_trace::{Event, Scope, Trace};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let usage = "usage: assert_no_zombies MILLISECONDS COMMAND [ARGS]...";
    let limit = args.next().ok_or(usage)?;
    let limit = Duration::from_millis(limit.to_str().ok_or(usage)?.parse()?);
    let command = args.next().ok_or(usage)?;
    let status = assert_no_zombies(limit, || Command::new(command).args(args).status());
    process::exit(status?.code().unwrap_or(1));
}

/// Does some work, in this process or in others that it starts.
///
/// # Panics
/// If a zombie remains of any process that the work has started, or of one of their descendants; if one
/// lasted longer than the limit; or if that can't be told.
fn assert_no_zombies<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let own_tree = Scope::new().tree(process::id());
    let mut trace = Trace::builder()
        .scope(own_tree)
        .start()
        .expect("processes can be traced");
    let result = work();
    trace.stop();

    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let mut slow = Vec::new();
    // By pid: the event that reports a zombie as living can come before the one that it is reaped.
    let mut left = BTreeMap::new();
    for event in trace.blocking() {
        match event.expect("tracing goes on") {
            Event::Zombie(zombie) => {
                left.remove(&zombie.pid);
                // Not by an error of the measurement.
                if zombie.zombie_ns.saturating_sub(zombie.error_ns) > limit {
                    slow.push(format!(
                        "{:?} ({}) was a zombie for {} ms",
                        zombie.comm,
                        zombie.pid,
                        zombie.zombie_ns / 1_000_000
                    ));
                }
            }
            Event::Alive(alive) => {
                let cause = alive.cause_text.as_deref().unwrap_or("cause unknown");
                left.insert(
                    alive.pid,
                    format!(
                        "{:?} ({}) is still a zombie: {cause}",
                        alive.comm, alive.pid
                    ),
                );
            }
            Event::Summary(summary) => assert!(summary.complete, "some processes were not seen"),
            _ => {}
        }
    }
    slow.extend(left.into_values());
    assert!(slow.is_empty(), "zombies:\n{}", slow.join("\n"));
    result
}
