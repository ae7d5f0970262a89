//! What the script needs: the single zombies, and zombie time over time by row. Short, because it is
//! most of a large page.

use std::collections::BTreeMap;

use foldhash::HashMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    charts::{bands, scale},
    show::name,
    tables::MOST_ROWS,
};
use crate::{
    commands::report::{
        Report,
        dots::Dot,
        lanes::{Cell, LaneRow},
    },
    text::visible,
};

/// Texts, each once.
#[derive(Default)]
struct Texts {
    numbers: HashMap<String, usize>,
    texts: Vec<String>,
}

impl Texts {
    fn number(&mut self, text: String) -> usize {
        let next = self.texts.len();
        *self.numbers.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        })
    }
}

#[derive(Serialize)]
struct Data<'a> {
    /// The length of the run.
    length: u64,
    /// The width of a column, and how many there are.
    column: u64,
    columns: usize,
    /// What a zombie time is exact to, in ns.
    error: u64,
    /// Binary logarithms of the shortest and longest duration in the chart.
    scale: Option<(f64, f64)>,
    texts: &'a [String],
    /// For each of the zombies what [`dot`] gives.
    dots: Vec<Value>,
    /// By table, by row: column, zombies reaped, longest in µs, zombie time in µs, for each
    /// column that has any.
    lanes: BTreeMap<&'static str, Vec<Vec<u64>>>,
    all: Vec<u64>,
    /// The parents of the chart of living zombies: name, row.
    bands: Vec<(String, usize)>,
}

/// As JSON that can stand in a `script` element.
pub(super) fn json(report: &Report) -> String {
    let mut texts = Texts::default();
    let dots = report.dots.iter().map(|dot| self::dot(dot, &mut texts));
    let dots = dots.collect();
    let summary = &report.summary;
    let lanes = |rows: &mut dyn Iterator<Item = LaneRow>| -> Vec<Vec<u64>> {
        rows.take(MOST_ROWS)
            .map(|row| lane(report.lanes.get(&row)))
            .collect()
    };
    let parents = summary.by_parent.iter();
    let lanes = BTreeMap::from_iter([
        (
            "parents",
            lanes(&mut parents.map(|row| LaneRow::Parent((row.ppid, row.comm)))),
        ),
        (
            "commands",
            lanes(&mut summary.by_comm.iter().map(|row| LaneRow::Comm(row.comm))),
        ),
        (
            "containers",
            lanes(
                &mut summary
                    .by_container
                    .iter()
                    .map(|row| LaneRow::Container(row.container.clone())),
            ),
        ),
        (
            "causes",
            lanes(
                &mut summary
                    .by_cause
                    .iter()
                    .map(|row| LaneRow::Cause(row.group.cause)),
            ),
        ),
    ]);
    let all = report.lanes.get(&LaneRow::All);
    let data = Data {
        length: report.timeline.duration_ns,
        column: report.lanes.width(),
        columns: all.len(),
        error: report.error_ns,
        scale: scale(report),
        texts: &texts.texts,
        dots,
        lanes,
        all: lane(all),
        bands: bands(report),
    };
    let json = serde_json::to_string(&data).unwrap_or_default();
    // Nothing in it ends the element or starts another.
    json.replace('<', "\\u003c")
}

fn lane(cells: &[Cell]) -> Vec<u64> {
    // What is not 0 stays so.
    let micros = |ns: u64| ns.div_ceil(1000);
    let cells = cells.iter().enumerate();
    let some = cells.filter(|(_, cell)| cell.time > 0 || cell.reaped > 0);
    some.flat_map(|(column, cell)| {
        let reaped = cell.reaped.into();
        [column as u64, reaped, micros(cell.max), micros(cell.time)]
    })
    .collect()
}

/// When it ended in µs, how long it lasted in ns, pid, command, parent, the parent's pid, status, how it
/// was reaped, reaper, cause, how many it stands for, and its phases in ns if they are known.
fn dot(dot: &Dot, texts: &mut Texts) -> Value {
    let reaper = match dot.reaper {
        (None, _) => "–".to_owned(),
        (Some(pid), _) if Some(pid) == dot.parent.0 => "the parent".to_owned(),
        (Some(pid), comm) => format!("{} ({pid})", name(comm.as_ref())),
    };
    let mut values = vec![
        json!(dot.end / 1000),
        json!(dot.time_ns),
        json!(dot.pid),
        json!(texts.number(name(Some(&dot.comm)))),
        json!(texts.number(name(dot.parent.1.as_ref()))),
        json!(dot.parent.0),
        json!(texts.number(dot.status.clone())),
        json!(texts.number(dot.how.map_or("", |how| how.as_str()).to_owned())),
        json!(texts.number(visible(&reaper))),
        json!(texts.number(dot.cause.map_or("", |cause| cause.code()).to_owned())),
        json!(dot.count),
    ];
    if let Some(phases) = dot.phases {
        values.extend(phases.map(|time| json!(time)));
    }
    Value::Array(values)
}
