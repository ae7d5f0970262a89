//! How often the verdict is wrong, on runs that are made up.

use fastrand::Rng;

use super::*;

/// How zombie times come about.
#[derive(Clone, Copy, Debug)]
enum Load {
    Lognormal,
    /// Seven in ten are reaped at once, the others by a timer.
    Bimodal,
    /// Pareto, of infinite variance.
    HeavyTail,
    /// A fifth of the time all takes half as long again.
    Episodes,
    /// Slow drift of the whole system, by 5 %.
    Wander,
    /// Fifty at a time, reaped in a row.
    Bursts,
    /// Now and then the parent does not run for 4 ms, and all who end meanwhile wait.
    Stalls,
    /// Each run as a whole is some 3 % off.
    RunToRun,
}

const LOADS: [Load; 8] = [
    Load::Lognormal,
    Load::Bimodal,
    Load::HeavyTail,
    Load::Episodes,
    Load::Wander,
    Load::Bursts,
    Load::Stalls,
    Load::RunToRun,
];

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (rng.f64() * std::f64::consts::TAU).cos()
}

fn run(load: Load, count: u64, slower: f64, rng: &mut Rng) -> Profile {
    let mut profile = Profile::begin(0);
    let mut at = 0;
    let mut level = 0.0_f64;
    let mut noisy = false;
    let of_run = 0.03 * normal(rng);
    for n in 0..count {
        let us = match load {
            Load::Lognormal => 200.0 * (0.4 * normal(rng)).exp(),
            Load::Bimodal => {
                let mode = if rng.f64() < 0.7 { 12.0 } else { 4000.0 };
                mode * (0.2 * normal(rng)).exp()
            }
            Load::HeavyTail => 50.0 / (1.0 - rng.f64()).powf(1.0 / 1.5),
            Load::Episodes => {
                let ends = if noisy { 40.0 } else { 10.0 };
                noisy ^= rng.f64() < ends / count as f64;
                let factor = if noisy { 1.5 } else { 1.0 };
                200.0 * (0.2 * normal(rng)).exp() * factor
            }
            Load::Wander => {
                let step = 40.0 / count as f64;
                level += -level * step + 0.05 * (2.0 * step).sqrt() * normal(rng);
                200.0 * (level + 0.2 * normal(rng)).exp()
            }
            Load::Bursts => {
                if n % 50 == 0 {
                    level = (0.1 * normal(rng)).exp();
                }
                level * (20.0 + 10.0 * (n % 50) as f64) * (0.1 * normal(rng)).exp()
            }
            Load::Stalls => {
                let stalls = rng.f64() < 0.001;
                level = if stalls {
                    4000.0
                } else {
                    (level - 40.0).max(0.0)
                };
                level + 20.0 * (0.3 * normal(rng)).exp()
            }
            Load::RunToRun => 200.0 * (of_run + 0.2 * normal(rng)).exp(),
        };
        let ns = (us * slower * 1000.0) as u64;
        at += 100_000 + ns as i64;
        profile.zombie(at, Some("load".into()), ns);
    }
    profile
}

/// Of so many pairs of runs, in how many that is the verdict.
fn share(load: Load, count: u64, slower: f64, pairs: u64, verdict: Meaning) -> f64 {
    let mut rng = Rng::with_seed(pairs + count);
    let found = (0..pairs).filter(|_| {
        let base = run(load, count, 1.0, &mut rng);
        let new = run(load, count, slower, &mut rng);
        compare(&base, &new).verdict == verdict
    });
    found.count() as f64 / pairs as f64
}

/// The table in docs/diff.md: `cargo test --release survey -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes, and is for people"]
fn survey() {
    for count in [200, 1000, 5000, 50_000] {
        for load in LOADS {
            let pairs = if count > 10_000 { 40 } else { 200 };
            let wrong = 1.0 - share(load, count, 1.0, pairs, Meaning::NoDifference);
            let found = share(load, count, 1.2, pairs, Meaning::Worse);
            println!("{count:6} {load:?}: wrong {wrong:.3}, 20 % slower found {found:.3}");
        }
    }
}

#[test]
fn noise_is_no_difference() {
    let wrong = LOADS.map(|load| 1.0 - share(load, 1000, 1.0, 6, Meaning::NoDifference));
    println!("wrong: {wrong:?}");
    // One in twenty is allowed, and 48 pairs are not many.
    let all = wrong.iter().sum::<f64>() / LOADS.len() as f64;
    assert!(all <= 0.05, "{LOADS:?}: {wrong:?}");
}

#[test]
fn a_reaper_20_percent_slower_is_found_among_5000() {
    for load in [
        Load::Lognormal,
        Load::Bimodal,
        Load::HeavyTail,
        Load::Wander,
        Load::RunToRun,
    ] {
        assert_eq!(share(load, 5000, 1.2, 2, Meaning::Worse), 1.0, "{load:?}");
        assert_eq!(share(load, 5000, 0.8, 1, Meaning::Better), 1.0, "{load:?}");
    }
}

#[test]
fn a_change_that_is_sure_but_small_does_not_count() {
    let mut rng = Rng::with_seed(1);
    let base = run(Load::Lognormal, 20_000, 1.0, &mut rng);
    let new = run(Load::Lognormal, 20_000, 1.05, &mut rng);
    let p50 = compare(&base, &new).overall.changes.p50;
    assert!(p50.interval.unwrap()[0] > 0.0, "{p50:?}");
    assert_eq!(p50.verdict, Some(Meaning::NoDifference));
}

#[test]
fn a_comparison_repeats_exactly_and_turns_round() {
    let mut rng = Rng::with_seed(2);
    let base = run(Load::Bursts, 2000, 1.0, &mut rng);
    let new = run(Load::Bursts, 2000, 1.5, &mut rng);
    let there = compare(&base, &new);
    assert_eq!(there, compare(&base, &new));
    assert_eq!(there.verdict, Meaning::Worse);
    let back = compare(&new, &base);
    assert_eq!(back.verdict, Meaning::Better);
    let [low, high] = there.overall.changes.p50.interval.unwrap();
    let [back_low, back_high] = back.overall.changes.p50.interval.unwrap();
    assert!(((1.0 + low) * (1.0 + back_high) - 1.0).abs() < 1e-9);
    assert!(((1.0 + high) * (1.0 + back_low) - 1.0).abs() < 1e-9);
}

#[test]
fn few_zombies_are_not_enough() {
    let mut rng = Rng::with_seed(3);
    let verdicts = |count, rng: &mut Rng| {
        let [base, new] = [1.0, 2.0].map(|slower| run(Load::Lognormal, count, slower, rng));
        let changes = compare(&base, &new).overall.changes;
        [changes.p50, changes.p90, changes.p99].map(|change| change.verdict.unwrap())
    };
    use Meaning::{NotEnoughData, Worse};
    assert_eq!(verdicts(0, &mut rng), [NotEnoughData; 3]);
    assert_eq!(verdicts(10, &mut rng), [NotEnoughData; 3]);
    let [p50, p90, p99] = verdicts(80, &mut rng);
    assert_eq!((p50, p90, p99), (Worse, NotEnoughData, NotEnoughData));
    assert_eq!(verdicts(5000, &mut rng), [Worse; 3]);
}

/// One stall of many zombies makes a percentile, but is one event.
#[test]
fn what_one_stall_has_made_is_not_judged() {
    let with = |stall: std::ops::Range<u64>| {
        let mut rng = Rng::with_seed(4);
        let mut profile = Profile::begin(0);
        for n in 0..5000 {
            let stalled = if stall.contains(&n) { 10_000_000 } else { 0 };
            let ns = stalled + (20_000.0 * (0.2 * normal(&mut rng)).exp()) as u64;
            profile.zombie(n as i64 * 100_000, None, ns);
        }
        profile
    };
    let comparison = compare(&with(0..0), &with(2000..2200));
    let changes = comparison.overall.changes;
    assert!(changes.p99.relative.unwrap() > 100.0);
    assert_eq!(changes.p99.verdict, Some(Meaning::NotEnoughData));
    assert_eq!(comparison.verdict, Meaning::NoDifference);
}

/// Most of a timer's zombies are in one step of the scale, and those beyond it come together.
#[test]
fn a_parent_as_regular_as_a_clock_is_judged() {
    let mut base = Profile::begin(0);
    let mut new = Profile::begin(0);
    for n in 0..120 {
        let late = if (60..66).contains(&n) { 900_000 } else { 0 };
        base.zombie(n * 20_000_000, None, 20_300_000 + late);
        new.zombie(n * 20_000_000, None, 12_000 + n as u64 % 7 * 100);
    }
    let changes = compare(&base, &new).overall.changes;
    assert_eq!(changes.p50.verdict, Some(Meaning::Better));
    assert_eq!(changes.p99.verdict, Some(Meaning::NotEnoughData));
}

#[test]
fn the_parent_that_has_changed_is_named_first() {
    let mut rng = Rng::with_seed(5);
    let mut made = |slower: f64, only: &str| {
        let mut profile = Profile::begin(0);
        for n in 0..6000_u64 {
            let (comm, factor) = match n % 3 {
                0 => ("make", 1.0),
                1 => ("supervisor", slower),
                _ => ("sh", 1.0),
            };
            let ns = 50_000.0 * factor * (0.2 * normal(&mut rng)).exp();
            profile.zombie(n as i64 * 100_000, Some(comm.into()), ns as u64);
        }
        profile.zombie(600_000_000, Some(only.into()), 1000);
        profile
    };
    let comparison = compare(&made(1.0, "old"), &made(1.6, "new"));
    assert_eq!(comparison.verdict, Meaning::Worse);
    let [first, rest @ ..] = comparison.by_parent.as_slice() else {
        panic!("no parents");
    };
    assert_eq!(first.comm, Some("supervisor".into()));
    assert_eq!(first.pair.verdict, Meaning::Worse);
    let verdicts: Vec<_> = rest.iter().map(|parent| parent.pair.verdict).collect();
    assert_eq!(verdicts, [Meaning::NoDifference; 2]);
    let one = |comm: &str| ParentCount {
        comm: Some(comm.into()),
        count: 1,
        verdict: None,
        lingering: LingeringSummary::default(),
    };
    assert_eq!(comparison.only_base, [one("old")]);
    assert_eq!(comparison.only_new, [one("new")]);
    assert_eq!(comparison.judged, 3 + 9);
}

#[test]
fn intervals_are_compared_at_their_resolution() {
    let mut rng = Rng::with_seed(6);
    let mut made = |slower: f64| {
        let mut profile = Profile::default();
        for _ in 0..60 {
            let ns = |quantile: f64| (200_000.0 * slower * quantile) as u64;
            let level = 1.0 + 0.02 * normal(&mut rng);
            let histogram: Vec<_> = (70..130_u32)
                .map(|percent| (percent, ns(f64::from(percent) / 100.0 * level)))
                .map(|(percent, from)| {
                    (
                        from,
                        from + from / 64,
                        30 - u64::from(percent.abs_diff(100)).min(29),
                    )
                })
                .collect();
            let count = histogram.iter().map(|bucket| bucket.2).sum();
            let times = ZombieTimes {
                count,
                min: Some(histogram[0].0),
                mean: Some(ns(1.0)),
                max: Some(histogram[59].1),
                ..ZombieTimes::default()
            };
            profile.interval(1_000_000_000, &times, &histogram);
        }
        profile
    };
    let (base, same, slow) = (made(1.0), made(1.0), made(1.2));
    assert_eq!(compare(&base, &same).verdict, Meaning::NoDifference);
    let worse = compare(&base, &slow);
    assert_eq!(worse.verdict, Meaning::Worse);
    assert!(worse.by_parent.is_empty());
    let rate = worse.overall.base.rate.unwrap();
    assert!((rate - 901.0).abs() < 0.1, "{rate}");
}

#[test]
fn all_the_same_is_no_difference() {
    let made = |ns| {
        let mut profile = Profile::begin(0);
        (0..1000).for_each(|n| profile.zombie(n * 1000, None, ns));
        profile
    };
    assert_eq!(
        compare(&made(500), &made(500)).verdict,
        Meaning::NoDifference
    );
    assert_eq!(compare(&made(500), &made(700)).verdict, Meaning::Worse);
}
