//! What keeps a dying process from its end.

use crate::{
    model::{Dying, DyingThread},
    text::{human, printable, status, visible},
};

/// Where a thread hangs that the freezer of cgroup v1 holds, which no signal gets past.
pub(crate) const REFRIGERATOR: &str = "__refrigerator";

/// When it began to end and what is in the way, as a sentence about the process without subject and full
/// stop: `killed at least 4.20 s ago, cannot end: thread 123 (worker) hangs in fuse_wait_answer (D)`.
pub fn dying(dying: &Dying) -> String {
    let begun = match dying.signal {
        None => "began to exit".to_owned(),
        Some(9) => "killed".to_owned(),
        Some(signal) => format!("killed by {}", status(None, Some(signal), false)),
    };
    let when = dying.since_ns.map_or_else(String::new, |since| {
        format!(" at least {} ago", human(since))
    });
    let Some(thread) = dying.threads.first() else {
        return format!("{begun}{when}, has not ended yet");
    };
    let name = format!("thread {} ({})", thread.tid, printable(&thread.comm));
    let place = place(thread);
    let (state, others) = (thread.state, others(dying));
    match state {
        't' => {
            let tracer = match dying.tracer_pid {
                Some(pid) => format!("its tracer, process {pid}, holds {name}"),
                None => format!("its tracer holds {name}"),
            };
            format!("{begun}{when}, cannot end: {tracer} (t){others}")
        }
        'R' => format!("{begun}{when}, has not ended yet: {name} runs (R){others}"),
        'D' if thread.wchan.as_deref() == Some(REFRIGERATOR) => {
            format!("{begun}{when}, cannot end: {name} is frozen with its cgroup (D){others}")
        }
        // No signal wakes it any more, whether it sleeps in D or in S.
        _ => format!("{begun}{when}, cannot end: {name} hangs{place} ({state}){others}"),
    }
}

fn place(thread: &DyingThread) -> String {
    let function = thread.wchan.as_deref();
    function.map_or_else(String::new, |function| format!(" in {}", visible(function)))
}

fn others(dying: &Dying) -> String {
    match dying.threads.len() {
        0 | 1 => String::new(),
        Dying::THREADS.. => ", and more".to_owned(),
        count => format!(", and {} more", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    fn in_state(state: char, wchan: Option<&str>) -> Dying {
        let mut dying = fixtures::dying();
        dying.threads.truncate(1);
        dying.threads[0].state = state;
        dying.threads[0].wchan = wchan.map(str::to_owned);
        dying
    }

    #[test]
    fn the_thread_that_hangs_is_named() {
        assert_eq!(
            dying(&in_state('D', Some("fuse_wait_answer"))),
            "killed at least 4.20 s ago, cannot end: thread 123 (worker) hangs in fuse_wait_answer (D)"
        );
        assert!(dying(&fixtures::dying()).ends_with("(D), and 1 more"));
        let mut crowd = fixtures::dying();
        crowd.threads = vec![crowd.threads[0].clone(); Dying::THREADS];
        assert!(dying(&crowd).ends_with("(D), and more"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let unknown = Dying {
            signal: None,
            since_ns: None,
            ..in_state('D', None)
        };
        assert_eq!(
            dying(&unknown),
            "began to exit, cannot end: thread 123 (worker) hangs (D)"
        );
        let none = Dying {
            threads: Vec::new(),
            ..fixtures::dying()
        };
        assert_eq!(
            dying(&none),
            "killed at least 4.20 s ago, has not ended yet"
        );
    }

    #[test]
    fn who_runs_or_is_held_does_not_hang() {
        assert_eq!(
            dying(&in_state('R', None)),
            "killed at least 4.20 s ago, has not ended yet: thread 123 (worker) runs (R)"
        );
        let held = Dying {
            signal: Some(15),
            tracer_pid: Some(77),
            ..in_state('t', Some("ptrace_stop"))
        };
        assert_eq!(
            dying(&held),
            "killed by SIGTERM at least 4.20 s ago, cannot end: its tracer, process 77, holds thread 123 \
             (worker) (t)"
        );
        assert!(
            dying(&in_state('S', Some("zap_pid_ns_processes")))
                .ends_with("cannot end: thread 123 (worker) hangs in zap_pid_ns_processes (S)")
        );
    }

    #[test]
    fn a_frozen_thread_does_not_hang() {
        assert!(
            dying(&in_state('D', Some("__refrigerator")))
                .ends_with("cannot end: thread 123 (worker) is frozen with its cgroup (D)")
        );
    }

    #[test]
    fn names_are_escaped() {
        let mut hostile = in_state('D', Some("\x1b[2J"));
        hostile.threads[0].comm = "\x1b[2J".into();
        assert!(!dying(&hostile).contains('\x1b'));
    }
}
