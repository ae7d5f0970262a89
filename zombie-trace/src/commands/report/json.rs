use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{Report, Run, still::CauseSummary, timeline::Series};
use crate::{
    aggregate::{PhaseTotals, Summary},
    model::Zombie,
    sink::to_json,
};

#[derive(Serialize)]
struct Object<'a> {
    r#type: &'static str,
    #[serde(serialize_with = "nine_digits")]
    ts: Timestamp,
    schema: u32,
    #[serde(flatten)]
    summary: &'a Summary,
    /// Powers of two: from, below, how many.
    histogram: Vec<[u64; 3]>,
    phases: &'a Option<PhaseTotals>,
    worst: Vec<Dated<'a>>,
    causes: &'a [CauseSummary],
    timeline: &'a Series,
    runs: &'a [Run],
}

#[derive(Serialize)]
struct Dated<'a> {
    #[serde(serialize_with = "nine_digits")]
    ts: Timestamp,
    #[serde(flatten)]
    zombie: &'a Zombie,
}

/// As in all other lines.
fn nine_digits<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ts:.9}"))
}

/// An object in a line: a `summary` and more.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let buckets = report.summary.histogram.buckets();
    let histogram = buckets.map(|(range, count)| [range.start, range.end, count]);
    let worst = report.worst.iter();
    let object = Object {
        r#type: "report",
        ts: report.summary.ts,
        schema: crate::model::SCHEMA,
        summary: &report.summary,
        histogram: histogram.collect(),
        phases: &report.phases,
        worst: worst
            .map(|zombie| Dated {
                ts: zombie.ts,
                zombie,
            })
            .collect(),
        causes: &report.causes,
        timeline: &report.timeline,
        runs: &report.runs,
    };
    let mut line = Vec::new();
    to_json(&mut line, &object)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
