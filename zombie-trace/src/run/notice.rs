//! What a run says on stderr.

use crate::{
    kernel::{Backend, KernelError},
    lifecycle::{Growing, Shrunk},
    model::Lost,
    run::pipeline::NewLoss,
    stderr::warn,
    system::proc::Limit,
    text::{human, printable},
};

/// What was lost, and what to do about it.
pub(crate) fn warn_of_loss(loss: &NewLoss) {
    warn(&lost(loss));
}

fn lost(loss: &NewLoss) -> String {
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
            "{in_kernel} records: the ring buffer was full, raise --buffer"
        ));
    }
    if *unwritten > 0 {
        advice.push(format!(
            "{unwritten} records: the output is not read, or not fast enough"
        ));
    }
    if *map_full > 0 {
        advice.push(format!(
            "{map_full} processes: too many at once, raise --max-zombies"
        ));
    }
    if *missed > 0 {
        advice.push(format!("{missed} processes: missed by the hooks"));
    }
    format!("lost {}", advice.join("; "))
}

/// Somebody tried to falsify the figures.
pub(crate) fn forged(count: u64) -> String {
    let what = match count {
        1 => "1 forged notification or reap".to_owned(),
        count => format!("{count} forged notifications or reaps"),
    };
    format!("ignored {what}: a process pretends that others ended or that it reaped them")
}

/// New descendants were found to the last at the start.
pub(crate) fn overlooked(found: u64) -> String {
    format!(
        "--tree: processes fork faster than they can be found; about {found} descendants may be \
         missing"
    )
}

/// Records that the end of the run did not wait for.
pub(crate) fn undelivered(records: u64) -> String {
    format!("{records} records did not arrive before the end of the run")
}

/// /proc has not answered in time.
pub(crate) fn undiagnosed(zombies: usize) -> String {
    format!("there was no time to find the causes of living zombies: {zombies}")
}

/// A parent has more and more zombies: how many, and which limit is reached first, and when.
pub(crate) fn growing(growing: &Growing, limits: &[Limit]) -> String {
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
    text
}

/// What [`growing`] warned of does not hold any more.
pub(crate) fn shrunk(shrunk: &Shrunk) -> String {
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
    format!("parent {ppid} ({comm}) has {now}, of {most}: the warning about it no longer holds")
}

/// Every hook is live. Scripts wait for this line.
pub(crate) fn attached(backend: Backend) -> String {
    format!(
        "attached (backend {backend}, ±{} µs)",
        backend.error_ns() / 1000
    )
}

/// Why a backend is used though there are better ones, in a line.
pub(crate) fn fallback(used: Backend, refusals: &[(Backend, KernelError)]) -> String {
    let reasons: Vec<_> = refusals
        .iter()
        .map(|(backend, error)| format!("{backend}: {}", error.in_a_line()))
        .collect();
    format!(
        "zombie-trace: using the {used} backend, as the better ones do not load here ({})",
        reasons.join("; ")
    )
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
            lost(&loss(7, 3)),
            "lost 4 records: the ring buffer was full, raise --buffer; 3 records: the output is not \
             read, or not fast enough"
        );
        assert_eq!(
            lost(&loss(3, 3)),
            "lost 3 records: the output is not read, or not fast enough"
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
            growing(&parent, &limits),
            "parent 7 (parent) has 40 zombies, 2.5 more each second; pids.max (50 of 100 taken) is \
             reached in 20.0 s"
        );
        assert!(growing(&parent, &[]).ends_with("each second"));
    }
}
