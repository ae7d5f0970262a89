//! `zombie-trace diff`: two recorded runs side by side.

mod args;
mod comparable;
mod run;
mod warnings;

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use serde::Serialize;

pub use args::DiffArgs;

use self::{
    comparable::obstacle,
    run::{About, RecordedRun},
    warnings::warnings,
};
use crate::{
    aggregate::Quantile,
    commands::gates::Gates,
    compare::{Change, Comparison, compare},
    exit_code::ExitCode,
    gate::{self, Condition, Metric},
    model::SCHEMA,
    sink::{self, Output},
    stderr::warn,
};

/// Compares them; the status says whether a condition holds.
///
/// # Errors
/// A recording can't be read or has no zombie times; the two are about different things; standard
/// output or the file of `--format` can't be written.
pub fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let gates = Gates::open(&args.gates)?;
    let base = RecordedRun::read(&args.base)?;
    let new = RecordedRun::read(&args.new)?;
    let scopes = [&base, &new].map(|run| run.start.as_ref().and_then(|start| start.scope.as_ref()));
    if let [Some(base), Some(new)] = scopes
        && let Some(obstacle) = obstacle(base, new)
    {
        bail!("cannot compare these runs: {obstacle}; record both with the same options");
    }
    let comparison = compare(&base.profile, &new.profile);
    let warnings = warnings(&base, &new, &comparison);
    for warning in &warnings {
        warn(warning);
    }
    let output = Output::stdout().context("cannot open standard output")?;
    match write(args, &base, &new, &comparison, &warnings, output) {
        // A gate that nobody has judged must not look as if it had passed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    let error_ns = base.error_ns.max(new.error_ns);
    let (base, new) = (base.figures(), new.figures());
    gates.conclude(error_ns, |condition| {
        judge(condition, &comparison, &base, &new)
    })
}

fn write(
    args: &DiffArgs,
    base: &RecordedRun,
    new: &RecordedRun,
    comparison: &Comparison,
    warnings: &[String],
    mut output: Output,
) -> io::Result<()> {
    if args.json {
        let diff = Json {
            kind: "diff",
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            base: &base.about,
            new: &new.about,
            warnings,
            comparison,
        };
        sink::to_json(&mut output, &diff)?;
        output.write_all(b"\n")?;
    } else {
        let look = sink::Look {
            width: output.width(),
            color: output.colored(args.color.when),
        };
        let [base, new] = [base, new].map(|run| run.about.to_string());
        let text = sink::comparison(comparison, &base, &new, look);
        sink::Encoded(&mut output).write_all(text.as_bytes())?;
    }
    output.flush()
}

/// A change of a percentile or of the rate that noise explains is none.
fn judge(
    condition: Condition,
    comparison: &Comparison,
    base: &gate::Figures,
    new: &gate::Figures,
) -> gate::Verdict {
    let verdict = condition.judge_change(base, new);
    if !condition.is_change() {
        return verdict;
    }
    let changes = &comparison.overall.changes;
    let Change { interval, .. } = match condition.metric() {
        Metric::Percentile(percentile) => match percentile {
            Quantile::P50 => changes.p50,
            Quantile::P90 => changes.p90,
            Quantile::P99 => changes.p99,
            _ => return verdict,
        },
        Metric::Rate => changes.rate,
        _ => return verdict,
    };
    match (verdict, interval) {
        (_, None) => gate::Verdict::NoData,
        (gate::Verdict::Holds(actual), Some([low, high])) if low <= 0.0 && high >= 0.0 => {
            gate::Verdict::DoesNotHold(actual)
        }
        (verdict, _) => verdict,
    }
}

/// The JSON object.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    version: &'static str,
    base: &'a About,
    new: &'a About,
    warnings: &'a [String],
    #[serde(flatten)]
    comparison: &'a Comparison,
}
