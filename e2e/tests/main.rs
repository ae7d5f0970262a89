//! End-to-end tests: the built tracer watches real processes, whose own truth it has to report.
//!
//! Needs root and three programs: `ZOMBIE_TRACE_BIN`, `ZOMBIE_TRACE_SCENARIO` and
//! `ZOMBIE_TRACE_LOAD`, or `zombie-trace`, `scenario` and `load` in the target profile's directory. Where something is missing,
//! the tests that need it are ignored and the reason is printed. With `ZOMBIE_TRACE_BACKEND` every
//! tracer is forced to use that backend, and the tests of the backends themselves are ignored.
//! `ZOMBIE_TRACE_EMULATED` makes storms smaller. `ZOMBIE_TRACE_PROMETHEUS` and
//! `ZOMBIE_TRACE_VICTORIA` are directories with a Prometheus and a VictoriaMetrics to ask.
//! `ZOMBIE_TRACE_EXAMPLES` is the directory with the library's examples, and `ZOMBIE_TRACE_OUTSIDE` the
//! program of the crate that uses the library from outside of the workspace.

mod attack;
mod backend;
mod catalogue;
mod cause;
mod check;
mod command;
mod container;
mod context;
mod cookbook;
mod crowd;
mod devtools;
mod diff;
mod dying;
mod ending;
mod failure;
mod fault;
mod foreign;
mod gate;
mod hostile_names;
mod interval;
mod kernel_objects;
mod library;
mod loss;
mod options;
mod output;
mod picture;
mod privilege;
mod pty;
mod puppet;
mod record;
mod recording;
mod report;
mod residue;
mod runc;
mod runtime;
mod schema;
mod scope;
mod sealed;
mod security_list;
mod serve;
mod shell;
mod sight;
mod signals;
mod stacks;
mod terminal;
mod test_case;
mod text;
mod time;
mod time_namespace;
mod top;
mod tracer;

use std::{env, process::ExitCode, thread};

use libtest_mimic::Arguments;

pub(crate) use test_case::Test;

/// What a test comes to: an explanation if it failed.
type Outcome = Result<(), String>;

/// Returns the explanation from the enclosing function unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($explanation:tt)+) => {
        if !$condition {
            return Err(format!($($explanation)+));
        }
    };
}
pub(crate) use ensure;

fn tests() -> Vec<Test> {
    [
        cause::tests(),
        catalogue::tests(),
        command::tests(),
        dying::tests(),
        scope::tests(),
        container::tests(),
        options::tests(),
        serve::tests(),
        failure::tests(),
        foreign::tests(),
        interval::tests(),
        library::tests(),
        record::tests(),
        gate::tests(),
        privilege::tests(),
        recording::tests(),
        residue::tests(),
        runtime::tests(),
        schema::tests(),
        backend::tests(),
        diff::tests(),
        fault::tests(),
        loss::tests(),
        crowd::tests(),
        attack::tests(),
        time_namespace::tests(),
        top::tests(),
        ending::tests(),
        sealed::tests(),
        signals::tests(),
        stacks::tests(),
        stacks::symbols::tests(),
        terminal::tests(),
        text::tests(),
        output::tests(),
        sight::tests(),
        hostile_names::tests(),
        cookbook::tests(),
        picture::tests(),
        security_list::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    if env::var_os(runtime::TOKIO).is_some() {
        runtime::tokio_parent();
    }
    if let Ok(seconds) = env::var(stacks::PARENT) {
        stacks::parent(&seconds);
        return ExitCode::SUCCESS;
    }
    take_signals_as_usual();
    if test_case::is_one() {
        let outcome = test_case::run_chosen(tests()).expect("this process is for one test");
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(explanation) => {
                eprintln!("{explanation}");
                ExitCode::FAILURE
            }
        };
    }
    let mut arguments = Arguments::from_args();
    let at_once = if context::is_emulated() {
        1
    } else {
        // Nearly all of them wait nearly all of the time.
        2 * thread::available_parallelism().map_or(1, usize::from)
    };
    arguments.test_threads.get_or_insert(at_once);

    let missing = context::missing();
    if let Some(reason) = &missing {
        println!("skipped everything: {reason}");
    }
    let mut tests = tests();
    tests.sort_by_key(Test::is_alone);
    let trials = tests.into_iter().map(|test| {
        if let (None, Some(reason)) = (&missing, test.skipped()) {
            println!("skipped {}: {reason}", test.name);
        }
        let ignored = missing.is_some() || test.skipped().is_some();
        test.into_trial(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    test_case::print_slowest();
    context::clean_up();
    conclusion.exit_code()
}

/// Whoever started the tests may ignore signals (nohup, a shell's background job), which a program
/// inherits over exec. What a program does with them is what the tests are about.
fn take_signals_as_usual() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
