//! Prints zombies as they are reaped, until Ctrl-C or for as long as it is told to.
//!
//! ```text
//! stream            all of the machine
//! stream PPID       the children of one process
//! ```

use std::{env, error::Error};

use futures_util::StreamExt as _;
use zombie_trace::{Event, Scope, Trace};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut scope = Scope::new();
    if let Some(ppid) = env::args().nth(1) {
        scope = scope.ppid(ppid.parse()?);
    }
    let mut trace = Trace::builder().scope(scope).start()?;
    eprintln!("attached (backend {})", trace.started().backend);

    // The stream ends after the last zombie and the summary, not in the middle.
    let stopper = trace.stopper();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stopper.stop();
        }
    });
    while let Some(event) = trace.next().await {
        match event? {
            Event::Zombie(zombie) => println!(
                "zombie {} of {} for {} ns ± {} ns, reaped by {} ({})",
                zombie.pid,
                shown(zombie.ppid),
                zombie.zombie_ns,
                zombie.error_ns,
                shown(zombie.reaper_pid),
                zombie.how.as_str(),
            ),
            Event::Alive(alive) => println!(
                "living {} of {} for {} ns: {}",
                alive.pid,
                shown(alive.ppid),
                alive.age_ns,
                alive.cause_text.as_deref().unwrap_or("cause unknown"),
            ),
            Event::Loss(loss) => println!("lost {}", loss.lost.total()),
            Event::Warning(warning) => println!("warning {warning}"),
            Event::Summary(summary) => println!(
                "summary {} exits, {} reaped, {} alive, complete: {}",
                summary.counts.exits, summary.counts.reaped, summary.counts.alive, summary.complete,
            ),
            // Later versions have more.
            _ => {}
        }
    }
    Ok(())
}

fn shown(pid: Option<u32>) -> String {
    pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
}
