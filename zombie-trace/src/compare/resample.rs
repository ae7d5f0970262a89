use fastrand::Rng;

use super::{profile::BlockTimes, scale};

/// Enough for a standard error to some 3 %.
const RESAMPLES: usize = 500;
/// The bootstrap is repeated with neighbouring blocks joined until there are so few left.
const FEWEST_BLOCKS: usize = 16;
/// In so many parts a run is cut to see whether it drifts.
const PARTS: usize = 8;
/// Always the same, so that a comparison repeats exactly.
const SEED: u64 = 0x007a_6f6d_6269_6573;

/// A variance, and on how many degrees of freedom it rests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Variance {
    pub(super) value: f64,
    pub(super) freedom: f64,
}

/// An estimate from one run and what its error is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The logarithm of the figure.
    pub(super) log: f64,
    /// What is uncertain of it because the run is short.
    pub(super) sampling: Variance,
    /// By how much the run drifts, which is taken for how much runs differ.
    pub(super) drift: Variance,
}

/// There is too little data for an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shortfall {
    /// How many times as long the run must be; `None` if it has no zombies at all.
    pub(super) longer: Option<f64>,
}

/// Quantiles of the zombie times.
pub(super) fn quantiles<const N: usize>(
    times: &BlockTimes,
    quantiles: [f64; N],
    least_beyond: f64,
    resolution: f64,
) -> [Result<Estimate, Shortfall>; N] {
    let table = Table::new(times);
    let filled = table.totals.iter().filter(|&&count| count > 0).count();
    if filled < FEWEST_BLOCKS {
        let count = table.totals.iter().sum::<u64>() as f64;
        return quantiles.map(|q| {
            let blocks = FEWEST_BLOCKS as f64 / filled as f64;
            let beyond = least_beyond / (count * (1.0 - q));
            let longer = Some(blocks.max(beyond)).filter(|longer| longer.is_finite());
            Err(Shortfall { longer })
        });
    }
    let figure = |table: &Table, rows: &[usize]| quantiles.map(|q| table.log_quantile(rows, q));
    let all: Vec<usize> = (0..table.totals.len()).collect();
    let whole = figure(&table, &all);
    let sampling = widest(all.len(), |length| {
        let joined = table.joined(length);
        move |rows: &[usize]| figure(&joined, rows)
    });

    let parts: Vec<[f64; N]> = table
        .parts()
        .iter()
        .map(|rows| figure(&table, rows))
        .collect();
    let mut estimates = [Err(Shortfall { longer: None }); N];
    for (index, q) in quantiles.into_iter().enumerate() {
        let found = table.beyond(whole[index], 1.0 - q);
        if found < least_beyond {
            let longer = Some(least_beyond / found).filter(|longer| longer.is_finite());
            estimates[index] = Err(Shortfall { longer });
            continue;
        }
        // That of an even distribution within a step.
        let rounding = resolution.powi(2) / 12.0;
        let expected = sampling[index].value * parts.len() as f64;
        let beyond = variance(parts.iter().map(|part| part[index])) - expected;
        estimates[index] = Ok(Estimate {
            log: whole[index],
            sampling: Variance {
                value: sampling[index].value + rounding,
                ..sampling[index]
            },
            drift: Variance {
                value: beyond.max(0.0),
                freedom: (parts.len() - 1) as f64,
            },
        });
    }
    estimates
}

/// The number of zombies a second, if there are enough blocks.
pub(super) fn rate(times: &BlockTimes, spans: &[u64]) -> Option<Estimate> {
    if spans.len() < FEWEST_BLOCKS {
        return None;
    }
    let blocks: Vec<(u64, u64)> = spans
        .iter()
        .enumerate()
        .map(|(block, &span)| {
            (
                times
                    .blocks
                    .get(block)
                    .map_or(0, |counts| counts.values().sum()),
                span,
            )
        })
        .collect();
    let figure = |blocks: &[(u64, u64)], rows: &[usize]| {
        let count: u64 = rows.iter().map(|&row| blocks[row].0).sum();
        let ns: u64 = rows.iter().map(|&row| blocks[row].1).sum();
        // There may be none among what was drawn of a rare parent.
        [((count as f64).max(0.5) / (ns as f64).max(1.0) * 1e9).ln()]
    };
    let all: Vec<usize> = (0..blocks.len()).collect();
    let [log] = figure(&blocks, &all);
    let [sampling] = widest(blocks.len(), |length| {
        let sum = |pairs: &[(u64, u64)]| pairs.iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        let joined: Vec<(u64, u64)> = blocks.chunks(length).map(sum).collect();
        move |rows: &[usize]| figure(&joined, rows)
    });
    Some(Estimate {
        log,
        sampling,
        drift: Variance::default(),
    })
}

/// The block bootstrap's variance of figures, with the length of blocks that makes it largest: the
/// blocks as they are are too short if what disturbs one disturbs the next.
///
/// `joined` gives the figures of any rows of a table with so many blocks in a row.
fn widest<const N: usize, F: Fn(&[usize]) -> [f64; N]>(
    blocks: usize,
    joined: impl Fn(usize) -> F,
) -> [Variance; N] {
    let mut widest = [Variance::default(); N];
    let mut rng = Rng::with_seed(SEED);
    let mut length = 1;
    while blocks.div_ceil(length) >= FEWEST_BLOCKS || length == 1 {
        let rows = blocks.div_ceil(length);
        let figures = joined(length);
        let mut drawn = vec![0; rows];
        let samples: Vec<[f64; N]> = (0..RESAMPLES)
            .map(|_| {
                drawn.fill_with(|| rng.usize(..rows));
                figures(&drawn)
            })
            .collect();
        let freedom = (rows - 1) as f64;
        for (index, widest) in widest.iter_mut().enumerate() {
            let figures = samples.iter().map(|sample| sample[index]);
            // A resample varies less than a run by one part in so many.
            let value = variance(figures) * rows as f64 / freedom;
            if value >= widest.value {
                *widest = Variance { value, freedom };
            }
        }
        length *= 2;
    }
    widest
}

/// Of those that are numbers; 0 if there are fewer than two.
fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if count > 1.0 {
        squares / (count - 1.0)
    } else {
        0.0
    }
}

/// How many zombies each block has up to each step.
struct Table {
    /// The logarithm of the middle of each step that occurs.
    logs: Vec<f64>,
    /// A row of `logs.len()` a block.
    up_to: Vec<u64>,
    /// Of each block.
    totals: Vec<u64>,
}

impl Table {
    fn new(times: &BlockTimes) -> Self {
        let blocks = times.blocks.iter();
        let mut steps: Vec<u16> = blocks.flat_map(|block| block.keys().copied()).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut up_to = Vec::with_capacity(steps.len() * times.blocks.len());
        for block in &times.blocks {
            let mut sum = 0;
            up_to.extend(steps.iter().map(|step| {
                sum += block.get(step).copied().unwrap_or(0);
                sum
            }));
        }
        Self {
            // A zombie time of 0 is one of less than a clock tick.
            logs: steps
                .into_iter()
                .map(|step| scale::middle(step).max(0.5).ln())
                .collect(),
            up_to,
            totals: times
                .blocks
                .iter()
                .map(|block| block.values().sum())
                .collect(),
        }
    }

    /// With so many blocks in a row made one.
    fn joined(&self, length: usize) -> Self {
        let width = self.logs.len();
        let mut up_to = Vec::with_capacity(self.up_to.len().div_ceil(length));
        for rows in self.up_to.chunks(width * length) {
            up_to.extend((0..width).map(|step| rows.iter().skip(step).step_by(width).sum::<u64>()));
        }
        Self {
            logs: self.logs.clone(),
            up_to,
            totals: self
                .totals
                .chunks(length)
                .map(|totals| totals.iter().sum())
                .collect(),
        }
    }

    /// The quantile of what is in these rows; not a number if there is nothing.
    fn log_quantile(&self, rows: &[usize], q: f64) -> f64 {
        let total: u64 = rows.iter().map(|&row| self.totals[row]).sum();
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let width = self.logs.len();
        let (mut low, mut high) = (0, width);
        while low < high {
            let step = low + (high - low) / 2;
            let up_to: u64 = rows.iter().map(|&row| self.up_to[row * width + step]).sum();
            if up_to < rank {
                low = step + 1;
            } else {
                high = step;
            }
        }
        self.logs.get(low).copied().unwrap_or(f64::NAN)
    }

    /// How many independent zombies at a limit or beyond tell the share of those as well as all
    /// that are there: those of one stall of the parent count about as one.
    ///
    /// Those at the limit count: with a parent as regular as a clock most are in one step.
    fn beyond(&self, log: f64, expected: f64) -> f64 {
        let width = self.logs.len();
        let within = self.logs.partition_point(|&step| step < log);
        let beyond = |block: usize| match within {
            0 => self.totals[block],
            _ => self.totals[block] - self.up_to[block * width + within - 1],
        };
        let blocks: Vec<(f64, f64)> = (0..self.totals.len())
            .map(|block| (beyond(block) as f64, self.totals[block] as f64))
            .collect();
        let total: f64 = blocks.iter().map(|(_, total)| total).sum();
        let share = blocks.iter().map(|(beyond, _)| beyond).sum::<f64>() / total;
        let mut least = total * expected;
        let mut length = 1;
        while blocks.len().div_ceil(length) >= PARTS {
            let groups = blocks.chunks(length).len() as f64;
            let excess = blocks.chunks(length).map(|group| {
                group
                    .iter()
                    .map(|(beyond, total)| beyond - share * total)
                    .sum::<f64>()
            });
            let variance =
                excess.map(|excess| excess * excess).sum::<f64>() * groups / (groups - 1.0);
            least = least.min((share * total).powi(2) / variance);
            length *= 2;
        }
        least
    }

    /// The rows of consecutive parts with about as many zombies each; no part is empty.
    fn parts(&self) -> Vec<Vec<usize>> {
        let total: u64 = self.totals.iter().sum();
        let mut parts = vec![Vec::new(); PARTS];
        let mut before = 0;
        for (row, &count) in self
            .totals
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let middle = (before + count / 2) as f64 / total as f64;
            parts[((middle * PARTS as f64) as usize).min(PARTS - 1)].push(row);
            before += count;
        }
        parts.retain(|part| !part.is_empty());
        parts
    }
}
