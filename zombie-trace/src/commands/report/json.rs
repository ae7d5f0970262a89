use std::{
    borrow::Cow,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{Report, ReportedRun, timeline::TimelineSeries, worst::Long};
use crate::{
    aggregate::{Breakdown, Summary, doing},
    gate::Judged,
    model::{Alive, Comm, Dying},
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
    /// Where the zombie time went.
    phases: &'a Option<Breakdown>,
    /// `--filter`: which processes are listed one by one.
    conditions: Option<&'a str>,
    worst: Vec<Dated<'a, Long>>,
    /// Processes that were killed or began to exit, and did not come to their end.
    dying: Vec<Dated<'a, Dying>>,
    /// Processes whose main thread alone has ended.
    leader_ended: Vec<Dated<'a, Alive>>,
    /// What parents did while zombies waited for them.
    doing: Vec<ParentDid<'a>>,
    gates: Vec<Gate>,
    timeline: &'a TimelineSeries,
    runs: &'a [ReportedRun],
}

/// A process as in its line.
#[derive(Serialize)]
struct Dated<'a, T> {
    #[serde(serialize_with = "nine_digits")]
    ts: Timestamp,
    #[serde(flatten)]
    line: &'a T,
}

/// Where one parent was, most zombie time first.
#[derive(Serialize)]
struct ParentDid<'a> {
    ppid: Option<u32>,
    comm: Option<Comm>,
    zombie_ns: u64,
    samples: u64,
    places: Vec<Place<'a>>,
}

/// A place in the parent's own code.
#[derive(Serialize)]
struct Place<'a> {
    function: String,
    file: Option<&'a str>,
    line: Option<u32>,
    state: &'static str,
    /// The library function that it called.
    call: Option<&'a str>,
    /// Innermost first.
    callers: Vec<String>,
    zombie_ns: u64,
    samples: u64,
}

/// At most this many of each are listed.
const PARENTS: usize = 100;
const PLACES: usize = 20;
const CALLERS: usize = 20;

/// What became of a condition.
#[derive(Serialize)]
struct Gate {
    condition: String,
    failed: bool,
    text: String,
}

/// As in all other lines.
fn nine_digits<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ts:.9}"))
}

/// One object on one line: a `summary` and more.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let buckets = report.summary.histogram.buckets();
    let histogram = buckets.map(|(range, count)| [range.start, range.end, count]);
    let worst = report.worst.iter();
    let parents = report.did.parents();
    let object = Object {
        r#type: "report",
        ts: report.summary.ts,
        schema: crate::model::SCHEMA,
        summary: &report.summary,
        histogram: histogram.collect(),
        phases: &report.breakdown,
        conditions: report.conditions.as_deref(),
        worst: worst
            .map(|zombie| Dated {
                ts: match zombie {
                    Long::Zombie(zombie) => zombie.ts,
                    Long::Alive(alive) => alive.ts,
                },
                line: zombie,
            })
            .collect(),
        dying: report
            .unended
            .all_dying()
            .map(|line| Dated { ts: line.ts, line })
            .collect(),
        leader_ended: report
            .unended
            .all_leader_ended()
            .map(|line| Dated { ts: line.ts, line })
            .collect(),
        doing: parents.iter().take(PARENTS).map(parent_did).collect(),
        gates: report.gates.iter().map(gate).collect(),
        timeline: &report.timeline,
        runs: &report.runs,
    };
    let mut line = Vec::new();
    to_json(&mut line, &object)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

fn parent_did<'a>(did: &'a doing::ParentDid<'_>) -> ParentDid<'a> {
    let (ppid, comm) = did.parent;
    let places = doing::places(did).into_iter().take(PLACES);
    ParentDid {
        ppid,
        comm,
        zombie_ns: did.weight.zombie_ns,
        samples: did.weight.samples,
        places: places
            .map(|place| Place {
                function: place.function().to_owned(),
                file: place.file,
                line: place.line,
                state: place.state.as_str(),
                call: place.call,
                callers: place
                    .callers(CALLERS)
                    .0
                    .into_iter()
                    .map(Cow::into_owned)
                    .collect(),
                zombie_ns: place.weight.zombie_ns,
                samples: place.weight.samples,
            })
            .collect(),
    }
}

fn gate(judged: &Judged) -> Gate {
    Gate {
        condition: judged.condition.to_string(),
        failed: judged.failed(),
        text: judged.line(),
    }
}
