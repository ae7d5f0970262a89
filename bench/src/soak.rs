//! Hours of storms: nothing may be lost, and nothing may grow.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    measure::{Bench, SUMMARY},
    subject::{Running, Used},
};

/// One turn is each of these in order, about a second each. A turn adds some 3,000 parents, and at
/// least five with more than 64 children.
const LOADS: [&[&str]; 5] = [
    &["serial", "--count", "8000"],
    &[
        "serial",
        "--spawn",
        "vfork",
        "--workers",
        "2",
        "--count",
        "40000",
    ],
    &["serial", "--spawn", "posix-spawn", "--count", "1500"],
    &["burst", "--size", "2000", "--count", "10000"],
    &["tree", "--depth", "100", "--count", "3000"],
];

/// After this many turns the statistics by parent are full (4,096 parents, 128 histograms of those
/// with many children: `MOST` and `MOST_HISTOGRAMS` in aggregate/groups.rs): nothing may grow any more.
const FULL_AFTER: usize = 40;

/// How much resident memory may differ after that: what the allocator keeps varies.
const GROWTH_KIB: u64 = 2 << 10;

/// How much memory the kernel may keep after all starts and stops: less than one tracer's maps.
const KEPT_KIB: u64 = 8 << 10;

impl Bench {
    /// Fails if anything was lost, has grown or stays behind.
    pub(crate) fn soak(&self, minutes: u64, restarts: usize) -> Result<(), String> {
        self.storms(minutes)?;
        self.restarts(restarts)
    }

    fn storms(&self, minutes: u64) -> Result<(), String> {
        const MINUTE: Duration = Duration::from_secs(60);
        let tracer = self.start(&self.ours[SUMMARY], &[])?;
        let begin = Instant::now();
        let mut reported = begin;
        let mut full = None;
        let (mut turns, mut processes) = (0, 0);
        while begin.elapsed() < MINUTE * minutes as u32 || turns < 2 * FULL_AFTER {
            for load in LOADS {
                processes += self.load(load)?.processes;
            }
            turns += 1;
            let rss = tracer.rss_kib();
            if turns == FULL_AFTER {
                full = Some(rss);
            }
            if let Some(full) = full
                && rss > full + GROWTH_KIB
            {
                return Err(format!(
                    "resident memory grew from {full} KiB after {FULL_AFTER} turns to {rss} KiB after \
                     {turns}"
                ));
            }
            if reported.elapsed() >= MINUTE {
                reported = Instant::now();
                let minute = begin.elapsed().as_secs() / 60;
                println!("minute {minute}: {processes} processes, {rss} KiB resident");
            }
        }
        tracer.settle();
        let used = tracer.stop()?;
        let rss = used.rss_kib;
        // Each turn of a load is one process itself. Of so many parents only the worst are told apart,
        // and the sum of the others has no name.
        let named = check(&used)?;
        let nameless = nameless(&used);
        println!(
            "{processes} processes, {named} seen by name and {nameless} without, none lost, {rss} KiB \
             resident"
        );
        if (named..=named + nameless).contains(&processes) {
            Ok(())
        } else {
            Err(format!(
                "{named} to {} of {processes} processes seen",
                named + nameless
            ))
        }
    }

    /// Starts and stops under load.
    fn restarts(&self, times: usize) -> Result<(), String> {
        let before = kernel_memory_kib()?;
        for turn in 0..times {
            let tracer = self.start(&self.ours[SUMMARY], &[])?;
            self.load(&[
                "serial",
                "--spawn",
                "vfork",
                "--workers",
                "2",
                "--count",
                "4000",
            ])?;
            Running::stop(tracer).and_then(|used| check(&used))?;
            if (turn + 1).is_multiple_of(50) {
                println!("{} starts and stops", turn + 1);
            }
        }
        // Maps and programs are freed some grace periods later.
        thread::sleep(Duration::from_secs(3));
        let after = kernel_memory_kib()?;
        println!("kernel memory: {before} KiB before, {after} KiB after {times} starts and stops");
        if after <= before + KEPT_KIB {
            Ok(())
        } else {
            Err("the kernel keeps memory".into())
        }
    }
}

/// The processes of all parents that are not told apart.
fn nameless(used: &Used) -> u64 {
    let summary = used.summary.as_ref();
    let parents = summary.and_then(|summary| summary["by_parent"].as_array());
    parents
        .into_iter()
        .flatten()
        .filter(|parent| parent["comm"].is_null())
        .filter_map(|parent| parent["reaped"].as_u64())
        .sum()
}

/// The processes of loads that were seen, if nothing was lost.
fn check(used: &Used) -> Result<u64, String> {
    let summary = used.summary.as_ref().ok_or("no summary")?;
    if summary["complete"] == true {
        used.seen.ok_or_else(|| "nothing seen".into())
    } else {
        Err(format!("incomplete: {summary}"))
    }
}

/// What maps are made of: `VmallocUsed` and `Percpu` (proc_meminfo(5)).
fn kernel_memory_kib() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    ["VmallocUsed:", "Percpu:"]
        .iter()
        .map(|name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum::<Option<u64>>()
        .ok_or_else(|| "/proc/meminfo lacks VmallocUsed or Percpu".into())
}
