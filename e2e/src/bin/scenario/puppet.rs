//! A parent that does what it is told on standard input, one command a line, so that a test can
//! start the tracer in between. Each command is answered by the truths that it settled, and `done`.
//!
//! - `zombie NAME CODE`: a child that ends and is not reaped yet
//! - `reap NAME`: reaps it
//! - `live NAME`: a child that lives until `kill NAME`, which leaves a zombie
//! - `autoreap NAME CODE`: a child that ends while SIGCHLD is ignored
//! - `orphan NAME CODE`: a grandchild that ends as someone else's child
//! - `grandchild NAME CODE`: a child (`middle`) that has a child of its own and reaps it
//! - `cgroup DIRECTORY`: moves there
//! - `host-name NAME`: a UTS namespace of its own, with this name
//! - `host-names COUNT`: a UTS namespace that changes its name this often; a child ends under each
//! - `memory MIB`: takes so much, which it has to give back when it ends
//!
//! It ends at the end of input.

use std::{collections::HashMap, fs, io};

use zombie_trace_e2e::Line;

use crate::{
    process::{self, Gate, Proc, Refine},
    sys,
};

/// Reads and obeys.
pub(crate) fn run(_: &[String]) {
    let mut children = HashMap::new();
    done(Some(Proc::MAIN));
    for line in io::stdin().lines() {
        let line = line.expect("standard input");
        let words: Vec<&str> = line.split(' ').collect();
        obey(&words, &mut children);
    }
    // The truth about the puppet itself is for whoever runs it as its command; the zombies that
    // it leaves behind are init's.
}

fn obey(words: &[&str], children: &mut HashMap<String, Proc>) {
    let code = || words[2].parse().expect("an exit code");
    match words[0] {
        "zombie" => {
            let child = make(words[1], children);
            child.fork(code);
            child.poll_birth();
            done(Some(child));
        }
        "live" => {
            let child = make(words[1], children);
            child.fork(|| sys::pause_forever());
            child.pid();
            done(Some(child));
        }
        "kill" => {
            let child = children[words[1]];
            child.ends_now();
            sys::kill(child.local_pid(), libc::SIGKILL);
            child.poll_birth();
            done(Some(child));
        }
        "reap" => {
            let child = children[words[1]];
            child.reap();
            child.truth().emit();
            done(Some(child));
        }
        "autoreap" => {
            let child = make(words[1], children);
            sys::sigaction(libc::SIGCHLD, libc::SIG_IGN, 0);
            child.fork(code);
            child.wait_gone();
            sys::sigaction(libc::SIGCHLD, libc::SIG_DFL, 0);
            child.truth().autoreaped().code(code()).emit();
            done(Some(child));
        }
        "orphan" => orphan(make(words[1], children), code()),
        "grandchild" => {
            let child = make(words[1], children);
            let middle = Proc::new("middle");
            middle.fork(|| {
                child.fork(code);
                child.poll_birth();
                child.reap();
                0
            });
            middle.reap();
            child.truth().emit();
            middle.truth().emit();
            done(Some(child));
        }
        "cgroup" => {
            fs::write(format!("{}/cgroup.procs", words[1]), "0").expect("cgroup.procs");
            done(None);
        }
        "host-name" => {
            sys::unshare_uts();
            sys::set_host_name(words[1]);
            done(None);
        }
        "host-names" => {
            sys::unshare_uts();
            let child = make("flood", children);
            for number in 0..words[1].parse::<u32>().expect("a count") {
                sys::set_host_name(&format!("flood-{number}"));
                child.fork(|| 0);
                child.reap();
            }
            done(None);
        }
        "memory" => {
            sys::touch_memory(words[1].parse::<usize>().expect("MiB") << 20);
            done(None);
        }
        other => panic!("puppet: no command {other:?}"),
    }
}

fn make(name: &str, children: &mut HashMap<String, Proc>) -> Proc {
    let child = Proc::new(name.to_owned().leak());
    children.insert(name.to_owned(), child);
    child
}

fn orphan(child: Proc, code: u8) {
    let middle = Proc::new("middle");
    let (gate, adopter) = (Gate::new(), Gate::new());
    middle.fork(|| {
        child.fork(|| {
            gate.wait();
            adopter.pass(sys::global_ppid().into());
            code
        });
        0
    });
    middle.reap();
    gate.open();
    child.watch_orphan();
    child.adopted_truth(adopter.wait() as u32).code(code).emit();
    middle.truth().emit();
    done(Some(child));
}

fn done(about: Option<Proc>) {
    process::print_line(&Line::Done {
        pid: about.map_or(0, Proc::pid),
    });
}
