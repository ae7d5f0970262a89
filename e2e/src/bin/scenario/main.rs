//! `scenario NAME [ARGS]`: small real programs, each a case of how processes end and are reaped.
//!
//! Each prints its own ground truth on standard output, one JSON object a line, taken from clocks
//! that no tracer has a part in: a child notes the time as its last act, a parent brackets the
//! birth of the zombie by looking (`waitid` with WNOWAIT) and notes the time around its wait.
//! `scenario --list` prints the names and what keeps them from running on this machine.

mod attack;
mod autoreap;
mod basic;
mod busy;
mod command;
mod compat;
mod dying;
mod exec;
mod memory;
mod namespace;
mod orphan;
mod parent;
mod process;
mod ptrace;
mod puppet;
mod registry;
mod signals;
mod steal;
mod storm;
mod sys;
mod threads;
mod uring;
mod waitid;

use std::panic;

use process::{Proc, Refine, main_truth};
use zombie_trace_e2e::Catalogued;

fn main() {
    // A panicking child must not unwind into the code of its parent.
    panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        sys::exit_group(99);
    }));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, args)) = args.split_first() else {
        eprintln!("usage: scenario NAME [ARGS] | --list");
        sys::exit_group(2);
    };
    if name == "--list" {
        return list();
    }
    let Some(entry) = registry::ENTRIES.iter().find(|entry| entry.name == name) else {
        eprintln!("scenario: no scenario is called {name:?}");
        sys::exit_group(2);
    };
    Proc::init_main();
    (entry.run)(args);
    main_truth().emit();
}

fn list() {
    for entry in registry::ENTRIES {
        let line = Catalogued {
            name: entry.name.into(),
            skip: (entry.cannot_run)(),
        };
        println!("{}", serde_json::to_string(&line).expect("valid JSON"));
    }
}
