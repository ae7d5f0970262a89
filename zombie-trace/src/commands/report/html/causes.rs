//! What the causes mean, for who sees the page in a ticket.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::{
    cause::general_advice,
    commands::report::{Report, worst::Long},
    model::{Cause, Why},
};

/// The code of a cause, which leads to its explanation.
pub(super) fn link(cause: Cause) -> Markup {
    html! { a href={ "#cause-" (cause.code()) } { (cause.code()) } }
}

/// Each cause that the page names.
pub(super) fn explained(report: &Report) -> Markup {
    let of_zombies = report.worst.iter().filter_map(|zombie| match zombie {
        Long::Zombie(zombie) => zombie.cause,
        Long::Alive(alive) => alive.cause,
    });
    let summary = &report.summary;
    let of_causes = summary.by_cause.iter().map(|row| &row.group);
    let groups = of_causes.chain(summary.by_parent.iter().map(|row| &row.group));
    let of_groups = groups
        .chain(summary.by_comm.iter().map(|row| &row.group))
        .chain(summary.by_container.iter().map(|row| &row.group))
        .filter_map(|group| group.cause);
    let of_dots = report.dots.iter().filter_map(|dot| dot.cause);
    let causes: BTreeSet<_> = of_zombies.chain(of_groups).chain(of_dots).collect();
    html! {
        @if !causes.is_empty() {
            section {
                (super::sections::heading("causes-explained", "What the causes mean"))
                dl.causes {
                    @for cause in causes {
                        dt id={ "cause-" (cause.code()) } { code { (cause.code()) } }
                        dd {
                            (meaning(cause))
                            @if let Some(fix) = general_advice(cause, None) { " " b { "What helps: " } (fix) "." }
                            " Why: " code { (Why(cause)) } "."
                        }
                    }
                }
            }
        }
    }
}

fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::LeaderWithThreads => {
            "The main thread of the zombie has exited, but other threads of it run on. Nobody can reap \
             the process until they have exited too."
        }
        Cause::HeldByTracer => {
            "A debugger or tracer is attached to the zombie. It must wait for the zombie before the \
             parent can (ptrace(2))."
        }
        Cause::ParentFrozen => "The cgroup of the parent is frozen.",
        Cause::ParentStopped => "A signal such as SIGSTOP or SIGTSTP has stopped the parent.",
        Cause::ParentTraced => "A debugger has stopped the parent.",
        Cause::ParentUninterruptible => {
            "All threads of the parent are in uninterruptible sleep (state D)."
        }
        Cause::ParentExiting => {
            "The parent is exiting. When it has exited, init or a subreaper reaps the zombie."
        }
        Cause::ParentStarved => "The parent is ready to run, but gets no CPU time.",
        Cause::ParentBusy => "The parent is busy and has not called wait yet.",
        Cause::ForeignChild => {
            "The parent did not make this child: it was adopted, or made by the program that the parent was \
             before exec."
        }
        Cause::ParentInVfork => {
            "The parent waits in vfork until another child calls exec or exits."
        }
        Cause::ParentReadsPipe => {
            "The parent reads a pipe to its end, and another process holds the pipe open."
        }
        Cause::HoldsPidfd => "The parent holds a pidfd of the zombie, but is not waiting by it.",
        Cause::ReapsLate => "The parent reaps its children, but seldom, or one at a time.",
        Cause::SignalfdLeavesIt => {
            "The parent reads SIGCHLD by a signalfd, but did not reap this child."
        }
        Cause::WaitsForOther => {
            "The parent is blocked in a wait for another child, by its pid or process group."
        }
        Cause::WaitsWithoutFlags => {
            "The parent waits, but the flags of its wait leave out children like this one."
        }
        Cause::NoSigchld => {
            "The child was cloned with an exit signal other than SIGCHLD: an ordinary wait does not \
             see it."
        }
        Cause::IgnoresSigchld => {
            "The parent ignores SIGCHLD, but only since after the child had exited, and does not call \
             wait."
        }
        Cause::BlocksSigchld => {
            "The parent blocks SIGCHLD, which is pending, and does not call wait."
        }
        Cause::HandlerLeavesIt => {
            "The parent handles SIGCHLD, but its handler did not reap this child."
        }
        Cause::SignalsCoalesced => {
            "The parent’s SIGCHLD handler ran less often than children exited."
        }
        Cause::InitNeverWaits => {
            "The parent is PID 1 of its pid namespace, to which orphans go, and is not waiting for any child."
        }
        Cause::NeverWaits => "The parent is not waiting, and nothing else explains it.",
        Cause::Unknown => "What was seen does not explain why the zombie lingers.",
    }
}
