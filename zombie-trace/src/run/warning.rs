//! What the user of a run should know while it goes on.

use std::fmt;

use crate::{
    lifecycle::{Growing, Shrunk},
    model::Lost,
    run::pipeline::NewLoss,
    system::proc::{Gap, Limit, ProcError},
    text::{human, printable},
};

/// What a run can't show, or what gets worse. It is shown as one line of text, with all that could fool a
/// terminal escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    kind: WarningKind,
    text: String,
}

/// What a [`Warning`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// /proc does not show why zombies linger, or not all of them.
    CausesHidden,
    /// There was no time to find the causes of living zombies.
    CausesLate,
    /// Descendants of the root of a tree may be missing.
    DescendantsMissing,
    /// A parent has more and more zombies.
    Growth,
    /// An earlier warning of growth no longer holds.
    GrowthEnded,
    /// Notifications or reaps were forged, and ignored.
    Forged,
    /// Processes or records were lost.
    Loss,
    /// What parents did could not be sampled.
    NoStacks,
    /// Records did not arrive before the end of the run.
    Undelivered,
}

impl Warning {
    /// What it is about.
    pub fn kind(&self) -> WarningKind {
        self.kind
    }

    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// There is no /proc that could show causes.
pub(crate) fn no_causes(error: &ProcError) -> Warning {
    Warning {
        kind: WarningKind::CausesHidden,
        text: format!("no causes: {error}"),
    }
}

/// Stacks were asked for, and can't be copied.
#[cfg(feature = "stacks")]
pub(crate) fn no_stacks(error: &anyhow::Error) -> Warning {
    Warning {
        kind: WarningKind::NoStacks,
        text: format!("no stacks: {}", crate::text::visible(&format!("{error:#}"))),
    }
}

/// The thread that samples has not answered.
#[cfg(feature = "stacks")]
pub(crate) fn samples_late() -> Warning {
    Warning {
        kind: WarningKind::NoStacks,
        text: "no stacks: the sampler did not finish in time, as it waits for the memory or a \
               file of a sampled process"
            .to_owned(),
    }
}

/// /proc hides the processes of others.
pub(crate) fn hidden(gap: &Gap) -> Warning {
    Warning {
        kind: WarningKind::CausesHidden,
        text: format!("some zombies get no cause: {gap}"),
    }
}

/// What was lost, and what to do about it.
pub(crate) fn lost(loss: &NewLoss) -> Warning {
    let NewLoss { lost, unwritten } = loss;
    let Lost {
        ring_full,
        map_full,
        missed,
    } = lost;
    let mut advice = Vec::new();
    let in_kernel = ring_full.saturating_sub(*unwritten);
    if in_kernel > 0 {
        advice.push(format!(
            "{}: the ring buffer was full, raise --buffer",
            counted(in_kernel, "record", "records")
        ));
    }
    if *unwritten > 0 {
        advice.push(format!(
            "{}: the output is not read, or not fast enough",
            counted(*unwritten, "record", "records")
        ));
    }
    if *map_full > 0 {
        advice.push(format!(
            "{}: too many at once, raise --max-zombies",
            counted(*map_full, "process", "processes")
        ));
    }
    if *missed > 0 {
        let missed = counted(*missed, "process", "processes");
        advice.push(format!("{missed}: missed by the hooks"));
    }
    Warning {
        kind: WarningKind::Loss,
        text: format!("lost {}", advice.join("; ")),
    }
}

fn counted(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    }
}

/// Somebody tried to falsify the figures.
pub(crate) fn forged(count: u64) -> Warning {
    let what = match count {
        1 => "1 forged notification or reap".to_owned(),
        count => format!("{count} forged notifications or reaps"),
    };
    Warning {
        kind: WarningKind::Forged,
        text: format!(
            "ignored {what}: a process pretends that others ended or that it reaped them"
        ),
    }
}

/// New descendants were found to the last at the start.
pub(crate) fn overlooked(found: u64) -> Warning {
    Warning {
        kind: WarningKind::DescendantsMissing,
        text: format!(
            "--tree: processes fork faster than they can be found; about {found} descendants may be \
         missing"
        ),
    }
}

/// Records that the end of the run did not wait for.
pub(crate) fn undelivered(records: u64) -> Warning {
    Warning {
        kind: WarningKind::Undelivered,
        text: format!(
            "{} did not arrive before the end of the run",
            counted(records, "record", "records")
        ),
    }
}

/// /proc has not answered in time.
pub(crate) fn undiagnosed(zombies: usize) -> Warning {
    Warning {
        kind: WarningKind::CausesLate,
        text: format!("there was no time to find the causes of living zombies: {zombies}"),
    }
}

/// A parent has more and more zombies: how many, and which limit is reached first, and when.
pub(crate) fn growing(growing: &Growing, limits: &[Limit]) -> Warning {
    let Growing {
        ppid,
        comm,
        zombies,
        rate,
    } = growing;
    let mut text = format!(
        "parent {ppid} ({}) has {zombies} zombies, {rate:.1} more each second",
        printable(comm)
    );
    if let Some(limit) = limits.iter().min_by_key(|limit| limit.left()) {
        let seconds = limit.left() as f64 / rate;
        text += &format!(
            "; {} ({} of {} taken) is reached in {}",
            limit.name,
            limit.used,
            limit.limit,
            human((seconds * 1e9) as u64)
        );
    }
    Warning {
        kind: WarningKind::Growth,
        text,
    }
}

/// What [`growing`] warned of does not hold any more.
pub(crate) fn shrunk(shrunk: &Shrunk) -> Warning {
    let Shrunk {
        ppid,
        comm,
        zombies,
        most,
    } = shrunk;
    let now = match zombies {
        0 => "no zombies any more".to_owned(),
        1 => "1 zombie left".to_owned(),
        count => format!("{count} zombies left"),
    };
    let comm = printable(comm);
    Warning {
        kind: WarningKind::GrowthEnded,
        text: format!(
            "parent {ppid} ({comm}) has {now}, of {most}: the warning about it no longer holds"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_its_advice() {
        let loss = |ring_full, unwritten| NewLoss {
            lost: Lost {
                ring_full,
                ..Lost::default()
            },
            unwritten,
        };
        assert_eq!(
            lost(&loss(7, 3)).text(),
            "lost 4 records: the ring buffer was full, raise --buffer; 3 records: the output is not \
             read, or not fast enough"
        );
        assert_eq!(
            lost(&loss(3, 3)).text(),
            "lost 3 records: the output is not read, or not fast enough"
        );
        assert_eq!(
            lost(&loss(1, 0)).text(),
            "lost 1 record: the ring buffer was full, raise --buffer"
        );
    }

    #[test]
    fn the_first_limit_is_forecast() {
        let limit = |name: &str, limit, used| Limit {
            name: name.to_owned(),
            limit,
            used,
        };
        let parent = Growing {
            ppid: 7,
            comm: "parent".into(),
            zombies: 40,
            rate: 2.5,
        };
        let limits = [
            limit("kernel.pid_max", 32_768, 200),
            limit("pids.max", 100, 50),
        ];
        assert_eq!(
            growing(&parent, &limits).text(),
            "parent 7 (parent) has 40 zombies, 2.5 more each second; pids.max (50 of 100 taken) is \
             reached in 20.0 s"
        );
        assert!(growing(&parent, &[]).text().ends_with("each second"));
    }
}
