//! Prints the longest zombies of a recording: `read_recording FILE`, with what
//! `zombie-trace record` has written. It needs no privileges.

use std::{cmp::Reverse, env, error::Error, path::Path};

use zombie_trace::{Line, Recording, Zombie};

/// How many are printed.
const LONGEST: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args_os().nth(1).ok_or("usage: read_recording FILE")?;
    let mut recording = Recording::open(Path::new(&file))?;
    let mut longest: Vec<Zombie> = Vec::new();
    let mut summary = None;
    for line in recording.by_ref() {
        match line? {
            Line::Zombie(zombie) => {
                longest.push(zombie);
                longest.sort_by_key(|zombie| Reverse(zombie.zombie_ns));
                longest.truncate(LONGEST);
            }
            Line::Summary(found) => summary = Some(found),
            _ => {}
        }
    }
    for zombie in longest {
        println!("{} {:?} {} ns", zombie.pid, zombie.comm, zombie.zombie_ns);
    }
    if let Some(summary) = summary {
        let [p50, p99] = [summary.zombie_ns.p50, summary.zombie_ns.p99];
        println!("{} reaped, p50 {p50:?}, p99 {p99:?}", summary.counts.reaped);
    }
    if !recording.remarks().is_whole() {
        eprintln!("warning: {}", recording.remarks());
    }
    Ok(())
}
