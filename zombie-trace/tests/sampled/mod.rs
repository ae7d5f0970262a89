//! A run whose parents were sampled.

use serde_json::{Value, json};

use crate::support::{Run, changed, from_json, run, ts, zombie};

/// A run of a supervisor whose journal blocks its reaping, and of others, whose parents were sampled.
pub(crate) fn sampled() -> Run {
    let zombies = [(4242, "sup", 6), (4300, "server", 2), (4400, "app", 1)];
    let zombies = zombies.into_iter().flat_map(|(ppid, comm, count)| {
        (0..count).map(move |n| {
            changed(zombie(), |it| {
                it.pid = ppid + n + 1;
                it.ppid = Some(ppid);
                it.parent_comm = Some(comm.into());
                it.zombie_ns = 400_000_000 + u64::from(n) * 100_000_000;
                it.phases = None;
            })
        })
    });
    let libc =
        |name| frame(json!({"function": name, "module": "/usr/lib/x86_64-linux-gnu/libc.so.6"}));
    let own = |name, line| {
        frame(json!({
            "function": name, "file": "/home/me/sup/sup.c", "line": line, "module": "/usr/bin/sup",
            "build_id": "8f3c", "offset": 4660,
        }))
    };
    let rust = |name, line| {
        frame(json!({
            "function": name, "file": "src/server.rs", "line": line, "module": "/srv/server",
        }))
    };
    let long =
        "std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >";
    let template = format!("void acme::Queue<{long}, acme::Policy<{long} > >::push({long} const&)");
    let deep: Vec<Value> = std::iter::repeat_n(own("walk", 70), 200).collect();
    let stacks = [
        vec![
            libc("fsync"),
            own("write_journal", 14),
            own("flush_state", 33),
            own("run_job", 52),
            own("main", 80),
        ],
        vec![
            own("crc32", 9),
            own("compress", 88),
            own("rotate", 91),
            own("run_job", 53),
            own("main", 80),
        ],
        vec![
            libc("__futex_abstimed_wait_common64"),
            libc("pthread_cond_wait@@GLIBC_2.3.2"),
            own("take", 41),
            own("main", 80),
        ],
        [deep, vec![own("main", 81)]].concat(),
        vec![
            libc("clock_nanosleep"),
            rust("std::thread::sleep", 1),
            rust("<server::Worker as server::Run>::run::{{closure}}", 120),
            rust("server::main", 9),
            rust("std::rt::lang_start::{{closure}}", 1),
        ],
        vec![
            frame(json!({"module": "/opt/app/bin/app", "offset": 0x1a2b3c})),
            frame(json!({"function": template})),
        ],
        vec![frame(
            json!({"function": "a;b\n\u{1b}[31m<script>alert(1)</script>&\"'\u{202e}", "file": "</title>"}),
        )],
    ];
    let stacks = stacks.into_iter().enumerate().map(|(id, frames)| {
        from_json(json!({"ts": ts(12), "id": id, "truncated": id == 5, "frames": frames}))
    });
    let doing = |ppid, comm, state, stack, ms: u64| {
        from_json(json!({
            "ts": ts(12), "ppid": ppid, "parent_comm": comm, "tid": ppid, "state": state,
            "stack": stack, "zombie_ns": ms * 1_000_000, "samples": ms / 50 + 1,
        }))
    };
    let mut run = run(zombies.collect(), Vec::new(), None);
    run.stacks = stacks.collect();
    run.doing = vec![
        doing(4242, "sup", "blocked", 0, 2100),
        doing(4242, "sup", "running", 1, 1200),
        doing(4300, "server", "blocked", 4, 850),
        doing(4242, "sup", "blocked", 2, 400),
        doing(4400, "app", "running", 5, 250),
        doing(4400, "app", "runnable", 6, 120),
        doing(4242, "sup", "running", 3, 90),
    ];
    run.summary.stacks = from_json(json!({
        "hz": 19, "after_ns": 10_000_000, "samples": 107, "moved": 3, "failed": 1, "truncated": 6,
        "covered_ns": 5_010_000_000_u64, "due_ns": 5_140_000_000_u64,
    }));
    run
}

/// A frame in which nothing but these fields is known.
fn frame(known: Value) -> Value {
    let mut frame = json!({
        "function": null, "file": null, "line": null, "module": null, "build_id": null,
        "offset": null, "inlined": false,
    });
    for (key, value) in known.as_object().unwrap() {
        frame[key] = value.clone();
    }
    frame
}
