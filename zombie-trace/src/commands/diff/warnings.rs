//! What must be known before anyone relies on a comparison.

use super::run::{About, RecordedRun};
use crate::{compare::Comparison, model::ScopeLine, text};

/// What should be known before anything is made of the comparison.
pub(super) fn warnings(
    base: &RecordedRun,
    new: &RecordedRun,
    comparison: &Comparison,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if base.identity.is_same_run(&new.identity) {
        warnings.push(format!(
            "{} and {} are the same run: a run does not differ from itself",
            text::visible(&base.about.file),
            text::visible(&new.about.file)
        ));
    }
    for run in [base, new] {
        let lost = &run.about.lost;
        let file = text::visible(&run.about.file);
        if run.unknown > 0 && run.about.damaged.is_none() {
            warnings.push(format!(
                "{file}: {} zombies that the summary counts are in no line, and in no percentile",
                run.unknown
            ));
        }
        if let Some(damaged) = &run.about.damaged {
            warnings.push(format!("{file}: {damaged}"));
        }
        if !lost.is_none() {
            let count = lost.total();
            warnings.push(format!(
                "{file}: {count} zombies were lost and are in no figure"
            ));
        }
        let alive = run.about.alive.unwrap_or(0);
        // Some are always on their way when a run ends.
        if alive > run.profile.count() / 100 && alive > 1 {
            warnings.push(format!(
                "{file}: {alive} zombies were not reaped until the end and are in no percentile"
            ));
        }
    }
    if base.about.single_zombies != new.about.single_zombies {
        let run = if base.about.single_zombies { new } else { base };
        warnings.push(format!(
            "{}: has intervals only: parents can't be compared",
            run.about.file
        ));
    }
    let told = |of: &dyn Fn(&About) -> Option<String>, what: &str| {
        let [base, new] = [base, new].map(|run| of(&run.about));
        let none = || "none".to_owned();
        (base != new).then(|| {
            let [base, new] = [base, new].map(|one| one.unwrap_or_else(none));
            format!("the {what} differs: {base}, then {new}")
        })
    };
    warnings.extend(told(&|about| about.host.clone(), "host"));
    warnings.extend(told(&|about| about.kernel.clone(), "kernel"));
    warnings.extend(told(
        &|about| about.backend.clone(),
        "backend, and so the error,",
    ));
    warnings.extend(told(
        &|about| about.command.as_ref().map(|command| command.join(" ")),
        "command",
    ));
    let scopes = [base, new].map(|run| run.start.as_ref().and_then(|start| start.scope.as_ref()));
    if let [Some(base), Some(new)] = scopes {
        warnings.extend(names(base, new));
    }
    let lengths = [base, new].map(|run| run.about.duration_ns);
    if lengths[0].abs_diff(lengths[1]) > lengths[0].min(lengths[1]) / 4 {
        let [base, new] = lengths.map(text::human);
        warnings.push(format!(
            "the runs' lengths differ: {base}, then {new}; compare rates rather than counts and zombie \
             time"
        ));
    }
    let starved =
        [base, new].map(|run| text::human(run.starved.mean(run.starved.runqueue_ns) as u64));
    if comparison.verdict.is_difference() && base.starved.explains(&new.starved) {
        warnings.push(format!(
            "parents that were ready to reap waited for a CPU for {} per zombie, then {}, which is most \
             of the change: the machine's load differs, or the program's own",
            starved[0], starved[1]
        ));
    }
    let rate = comparison.overall.changes.rate;
    if let (Some(relative), Some([low, high])) = (rate.relative, rate.interval)
        && !(-0.3..=0.4).contains(&relative)
        && (low > 0.0 || high < 0.0)
    {
        let sense = if relative > 0.0 { "more" } else { "fewer" };
        warnings.push(format!(
            "the load differs: {:.0} % {sense} zombies per second; times may differ for that alone",
            relative.abs() * 100.0
        ));
    }
    warnings
}

/// Names that differ: the same service can run in another cgroup or container.
fn names(base: &ScopeLine, new: &ScopeLine) -> impl Iterator<Item = String> {
    let cgroups = [base, new].map(|scope| scope.cgroup.clone().unwrap_or_default());
    let containers = [base, new].map(|scope| scope.container.join(", "));
    [("--cgroup", cgroups), ("--container", containers)]
        .into_iter()
        .filter(|(_, [base, new])| base != new)
        .map(|(option, [base, new])| {
            let [base, new] = [base, new].map(|name| text::visible(&name));
            format!("{option} differs: {base}, then {new}")
        })
}
