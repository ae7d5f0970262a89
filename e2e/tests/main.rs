//! End-to-end tests: the built tracer watches real processes, whose own truth it has to report.
//!
//! Needs root and three programs: `ZOMBIE_TRACE_BIN`, `ZOMBIE_TRACE_SCENARIO` and
//! `ZOMBIE_TRACE_LOAD`, or `zombie-trace`, `scenario` and `load` in the target profile's directory. Where something is missing,
//! the tests that need it are ignored and the reason is printed. With `ZOMBIE_TRACE_BACKEND` every
//! tracer is forced to use that backend, and the tests of the backends themselves are ignored.
//! `ZOMBIE_TRACE_EMULATED` makes storms smaller. `ZOMBIE_TRACE_PROMETHEUS` and
//! `ZOMBIE_TRACE_VICTORIA` are directories with a Prometheus and a VictoriaMetrics to ask.

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
mod failure;
mod fault;
mod gate;
mod hostile_names;
mod interval;
mod kernel_objects;
mod loss;
mod options;
mod privilege;
mod puppet;
mod record;
mod recording;
mod report;
mod residue;
mod runc;
mod schema;
mod scope;
mod serve;
mod shell;
mod time;
mod tracer;

use libtest_mimic::{Arguments, Trial};

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

/// A test by name, and why it can't run here, if so.
struct Test {
    name: String,
    skip: Option<String>,
    run: Box<dyn FnOnce() -> Outcome + Send>,
}

impl Test {
    fn new(name: impl Into<String>, run: impl FnOnce() -> Outcome + Send + 'static) -> Self {
        Self {
            name: name.into(),
            skip: None,
            run: Box::new(run),
        }
    }

    /// Not to be run, if there is a reason.
    fn unless(mut self, skip: Option<String>) -> Self {
        self.skip = self.skip.or(skip);
        self
    }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // The processes of one test disturb the times of another.
    arguments.test_threads.get_or_insert(1);

    let missing = context::missing();
    if let Some(reason) = &missing {
        println!("skipped everything: {reason}");
    }
    let tests = [
        catalogue::tests(),
        backend::tests(),
        command::tests(),
        scope::tests(),
        container::tests(),
        crowd::tests(),
        options::tests(),
        cause::tests(),
        diff::tests(),
        failure::tests(),
        fault::tests(),
        interval::tests(),
        record::tests(),
        gate::tests(),
        hostile_names::tests(),
        loss::tests(),
        privilege::tests(),
        recording::tests(),
        residue::tests(),
        schema::tests(),
        serve::tests(),
        cookbook::tests(),
    ];
    let trials = tests.into_iter().flatten().map(|test| {
        if let (None, Some(reason)) = (&missing, &test.skip) {
            println!("skipped {}: {reason}", test.name);
        }
        let ignored = missing.is_some() || test.skip.is_some();
        Trial::test(test.name, || (test.run)().map_err(Into::into)).with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    context::clean_up();
    conclusion.exit()
}
