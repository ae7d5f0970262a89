//! What sinks write, against the files in tests/golden.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes them anew: look at what changes.

mod sampled;
mod support;

use std::{env, fs, path::Path};

use jiff::tz::TimeZone;
use support::{Run, changed};
use zombie_trace::{
    Cause, Flag, GroupSummary, ParentSummary, Phases,
    internals::{
        BackendCheck, BtfCheck, Capabilities, Cgroups, Cli, Comparison, Confinement, Examination,
        Intervals, Json, Look, ProcCheck, Process, Profile, Table, Text, compare, comparison,
        process_table, write_doctor,
    },
};

fn check(name: &str, text: &str) {
    check_file(&Path::new("tests/golden").join(name), text);
}

/// The path is relative to the package.
fn check_file(path: &Path, text: &str) {
    let name = path.display();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{name} has changed:\n{text}\nand was:\n{expected}"
    );
}

fn text(run: &Run, width: Option<usize>, color: bool, timestamps: bool) -> String {
    let look = Look { width, color };
    let mut out = Vec::new();
    let table = Table::new(look, timestamps, TimeZone::UTC);
    run.play(&mut Text::new(&mut out, look, Some(table)).with_each(true));
    String::from_utf8(out).unwrap()
}

fn summary(run: &Run, width: Option<usize>) -> String {
    let mut out = Vec::new();
    run.play(&mut Text::new(
        &mut out,
        Look {
            width,
            color: false,
        },
        None,
    ));
    String::from_utf8(out).unwrap()
}

#[test]
fn text_at_every_width() {
    let run = support::eventful();
    check("text-40.txt", &text(&run, Some(40), false, false));
    check("text-80.txt", &text(&run, Some(80), false, false));
    check("text-120.txt", &text(&run, Some(120), false, false));
    check("text-unlimited.txt", &text(&run, None, false, false));
}

#[test]
fn text_with_the_time_of_day() {
    let run = support::eventful();
    check("text-time-40.txt", &text(&run, Some(40), false, true));
    check("text-time-80.txt", &text(&run, Some(80), false, true));
    check("text-time-120.txt", &text(&run, Some(120), false, true));
    check("text-time-unlimited.txt", &text(&run, None, false, true));
}

#[test]
fn text_in_colours() {
    check(
        "text-colours.txt",
        &text(&support::eventful(), Some(120), true, true),
    );
}

#[test]
fn summary_alone() {
    check(
        "summary-calm-unlimited.txt",
        &summary(&support::calm(), None),
    );
    check("summary-empty.txt", &summary(&support::empty(), Some(80)));
}

#[test]
fn summary_at_every_width() {
    for (name, run) in [
        ("leak", leak()),
        ("calm", support::calm()),
        ("pre-existing", pre_existing()),
        ("sampled", sampled::sampled()),
    ] {
        for width in [40, 80, 120, 200] {
            check(
                &format!("summary-{name}-{width}.txt"),
                &summary(&run, Some(width)),
            );
        }
    }
}

#[test]
fn the_leaking_parent_comes_first_at_every_width() {
    let run = leak();
    for width in 40..=200 {
        let text = summary(&run, Some(width));
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.starts_with("1 parent leaves zombies: python3 supervisor.py"),
            "{text}"
        );
        let table = &text[text.find("parents, by zombie time").unwrap()..];
        let end = table.find("6027").unwrap();
        for part in ["python3 su", "3436", "67", "7.10 s", "signals-coalesced"] {
            assert!(
                table[..end].contains(part),
                "{width}: no {part} in:\n{table}"
            );
        }
    }
}

#[test]
fn intervals() {
    for (name, width, color, zone) in [
        ("intervals-40.txt", Some(40), false, None),
        ("intervals-80.txt", Some(80), false, None),
        (
            "intervals-time-80.txt",
            Some(80),
            false,
            Some(TimeZone::UTC),
        ),
        ("intervals-colours.txt", None, true, None),
    ] {
        let look = Look { width, color };
        let mut out = Vec::new();
        let text = Text::new(&mut out, look, None);
        support::eventful().play(&mut text.with_intervals(Intervals::new(look, None, zone)));
        let text = String::from_utf8(out).unwrap();
        // What follows is the summary.
        check(name, &text[..text.find("\n\n").unwrap() + 1]);
    }
}

#[test]
fn two_runs() {
    let text = |runs: &Comparison, width, color| {
        let look = Look {
            width: Some(width),
            color,
        };
        comparison(
            runs,
            "before.jsonl, 9.10 s, make -j8",
            "after.jsonl, 9.10 s",
            look,
        )
    };
    let worse = slower_supervisor();
    check("diff-80.txt", &text(&worse, 80, false));
    check("diff-colours.txt", &text(&worse, 120, true));
    for width in [40, 80, 120, 200] {
        check(
            &format!("diff-leak-{width}.txt"),
            &text(&new_leak(), width, false),
        );
    }
    check("diff-few.txt", &text(&too_few(), 80, false));
    check("diff-same.txt", &text(&no_difference(), 80, false));
    check("diff-nothing.txt", &text(&nothing_to_compare(), 80, false));
    for width in 40..130 {
        let texts = [&worse, &new_leak(), &too_few()].map(|runs| text(runs, width, false));
        for line in texts.iter().flat_map(|text| text.lines()) {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= width, "{columns} > {width}: {line}");
        }
    }
}

/// A supervisor that reaps later than before, among others that don't.
fn slower_supervisor() -> Comparison {
    compare(&profile(1.0, "cron"), &profile(2.5, "anacron"))
}

/// Nothing has changed.
fn no_difference() -> Comparison {
    compare(&profile(1.0, "cron"), &profile(1.0, "cron"))
}

/// A parent that has ceased to reap, among others that haven't.
fn new_leak() -> Comparison {
    let summary = |alive: u64| {
        let living = changed(GroupSummary::default(), |it| {
            it.alive = alive;
            it.oldest_ns = (alive > 0).then_some(7_100_000_000);
            it.zombie_time_ns = 1_900_000_000 + alive * 3_500_000_000;
            it.reaped = 3000;
            it.max_ns = Some(1_100_000);
        });
        let supervisor = changed(ParentSummary::default(), |it| {
            it.ppid = Some(3436);
            it.comm = Some("supervisor".into());
            it.cmdline = Some("python3 /opt/supervisor.py --interval 1".into());
            it.group = living;
        });
        changed(support::empty().summary, |it| {
            it.duration_ns = 9_100_000_000;
            it.zombie_time_ns = supervisor.group.zombie_time_ns;
            it.oldest_ns = supervisor.group.oldest_ns;
            it.by_parent = vec![supervisor];
        })
    };
    let mut runs = [profile(1.0, "cron"), profile(1.0, "cron")];
    runs[0].summary(&summary(0));
    runs[1].summary(&summary(67));
    compare(&runs[0], &runs[1])
}

/// Less than a verdict needs.
fn too_few() -> Comparison {
    let few = |count| {
        let mut profile = Profile::begin(0);
        for n in 0..count {
            profile.zombie(n * 1_000_000, Some("make".into()), 20_000 + n as u64);
        }
        profile
    };
    compare(&few(150), &few(12))
}

/// There is nothing to compare.
fn nothing_to_compare() -> Comparison {
    compare(&Profile::begin(0), &Profile::begin(0))
}

fn profile(slower: f64, odd: &str) -> Profile {
    let mut profile = Profile::begin(0);
    for n in 0..9000_u64 {
        let ns = 20_000 + n * 7919 % 10_007 * 9;
        let (comm, ns) = match n % 3 {
            0 => ("make", ns),
            1 => ("supervisor", (ns as f64 * 10.0 * slower) as u64),
            _ => ("k\u{202e}worker", ns * 2),
        };
        profile.zombie(n as i64 * 1_000_000, Some(comm.into()), ns);
    }
    profile.zombie(9_000_000_000, Some(odd.into()), 12_000);
    profile.end(9_100_000_000);
    profile
}

#[test]
fn json() {
    let json = |run: &Run, stream| {
        let mut out = Vec::new();
        run.play(&mut Json::new(&mut out, stream));
        String::from_utf8(out).unwrap()
    };
    check("json.jsonl", &json(&support::eventful(), true));
    check("json-summary.jsonl", &json(&support::empty(), false));
}

#[test]
fn no_line_of_text_is_too_wide() {
    for run in [
        support::eventful(),
        support::calm(),
        support::empty(),
        leak(),
        pre_existing(),
        sampled::sampled(),
    ] {
        for width in 40..=130 {
            for line in text(&run, Some(width), false, true).lines() {
                let columns = unicode_width::UnicodeWidthStr::width(line);
                assert!(columns <= width, "{columns} > {width}: {line}");
            }
        }
    }
}

#[test]
fn help() {
    for (name, flag) in [("help.txt", "-h"), ("help-long.txt", "--help")] {
        let help = Cli::from_args(["zombie-trace", flag])
            .unwrap_err()
            .to_string();
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
        check(name, &help);
    }
}

#[test]
fn doctor_says_what_works_and_what_does_not() {
    let backend = |name, problem: Option<&str>, error_ns, syscall_tax_ns| BackendCheck {
        name,
        works: problem.is_none(),
        problem: problem.map(String::from),
        error_ns,
        syscall_tax_ns,
    };
    let refused = Some("the kernel refuses fentry/release_task: Operation not permitted");
    let well = Examination {
        kernel: "6.1.0-51-amd64".into(),
        kernel_is_new_enough: Some(true),
        btf: BtfCheck {
            path: Some("/sys/kernel/btf/vmlinux".into()),
            bytes: Some(5_123_456),
            problem: None,
        },
        capabilities: Some(Capabilities {
            missing: vec![],
            missing_for_tracefs: vec!["CAP_DAC_READ_SEARCH"],
        }),
        confinement: Confinement::default(),
        lockdown: Some("integrity".into()),
        tracefs: Some("/sys/kernel/tracing".into()),
        tracefs_is_readable: true,
        cgroups: Some(Cgroups {
            v2: Some("/sys/fs/cgroup".into()),
            v1: false,
        }),
        backends: vec![
            backend("fentry", refused, 1000, 0),
            backend("kprobe", None, 2000, 0),
            backend("tracepoint", None, 25_000, 40),
        ],
        would_use: Some("kprobe"),
        pid_max: Some(4_194_304),
        max_zombies: 65_536,
        buffer_bytes: 4 << 20,
        map_bytes: Some(41_538_784),
    };
    let complete = ProcCheck {
        complete: true,
        problem: None,
    };
    check("doctor-well.txt", &doctor_text(&well, &complete));

    let ill = Examination {
        kernel: "4.19.0-27-amd64".into(),
        kernel_is_new_enough: Some(false),
        btf: BtfCheck {
            path: None,
            bytes: None,
            problem: Some("this kernel has no BTF".into()),
        },
        capabilities: Some(Capabilities {
            missing: vec!["CAP_BPF", "CAP_PERFMON"],
            missing_for_tracefs: vec!["CAP_DAC_READ_SEARCH"],
        }),
        lockdown: None,
        tracefs: None,
        cgroups: Some(Cgroups { v2: None, v1: true }),
        backends: vec![backend("fentry", Some("missing CAP_BPF"), 1000, 0)],
        would_use: None,
        pid_max: Some(32_768),
        map_bytes: None,
        ..well
    };
    let missing = ProcCheck {
        complete: false,
        problem: Some("no procfs is mounted at /proc".into()),
    };
    check("doctor-ill.txt", &doctor_text(&ill, &missing));

    let confined = Examination {
        capabilities: Some(Capabilities {
            missing: vec![],
            missing_for_tracefs: vec![],
        }),
        confinement: Confinement {
            user_namespace: true,
            seccomp_filter: true,
            bpf_refused: None,
        },
        tracefs: Some("/sys/kernel/tracing".into()),
        tracefs_is_readable: false,
        ..ill
    };
    check("doctor-confined.txt", &doctor_text(&confined, &missing));
}

fn doctor_text(examination: &Examination, proc: &ProcCheck) -> String {
    let mut out = Vec::new();
    write_doctor(&mut out, examination, proc).unwrap();
    anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
}

#[test]
fn living_zombies() {
    let mut processes = Vec::new();
    for (ppid, cmdline, cause, count) in [
        (
            3436,
            "/usr/bin/python3 /opt/supervisor.py --interval 1",
            Cause::NeverWaits,
            67,
        ),
        (812, "nginx: master process", Cause::ParentStopped, 2),
    ] {
        for n in 0..count {
            let alive = changed(support::eventful().alive[0].clone(), |it| {
                it.pid = 4000 + n;
                it.ppid = Some(ppid);
                it.age_ns = 7_100_000_000 - u64::from(n) * 90_000_000;
                it.cause = Some(cause);
                it.cause_text = Some(format!("the parent {ppid} does not reap it").into());
                it.advice = Some("let the parent wait for its children".into());
            });
            processes.push(Process {
                alive,
                parent_cmdline: Some(cmdline.into()),
                parent_container: None,
                tty: 0,
                cpu_ns: 20_000_000,
                wchan: None,
            });
        }
    }
    for width in [40, 80, 120, 200] {
        let look = Look {
            width: Some(width),
            color: false,
        };
        check(
            &format!("ps-{width}.txt"),
            &process_table(&processes, look, 10),
        );
    }
}

/// A parent that leaks, with other parents whose 1,000 children are reaped at once.
fn leak() -> Run {
    let quick = (0..1000).map(|n| {
        changed(support::zombie(), |it| {
            it.pid = 20_000 + n;
            it.ppid = Some(6000 + n % 40);
            it.parent_comm = Some("worker".into());
            it.zombie_ns = 30_000 + u64::from(n) * 7919 % 900_000;
            it.reaper_pid = Some(6000 + n % 40);
        })
    });
    let reaped = (0..5).map(|n| {
        changed(support::zombie(), |it| {
            it.pid = 7000 + n;
            it.comm = "job".into();
            it.ppid = Some(3436);
            it.parent_comm = Some("python3".into());
            it.zombie_ns = 900_000_000 + u64::from(n) * 50_000_000;
            it.reaper_pid = Some(3436);
            it.reaper_comm = Some("python3".into());
            it.phases = Some(changed(Phases::default(), |it| {
                it.parent_not_waiting_ns = Some(899_000_000);
            }));
        })
    });
    let text = "the parent 3436 (python3) handles SIGCHLD, but has not reaped it and does not wait: \
                its handler ran 12 times for 72 deaths since we look";
    let living = (0..67).map(|n| {
        changed(support::alive()[0].clone(), |it| {
            it.pid = 7100 + n;
            it.comm = "job".into();
            it.ppid = Some(3436);
            it.parent_comm = Some("python3".into());
            it.exit_code = Some(0);
            it.age_ns = 7_100_000_000 - u64::from(n) * 100_000_000;
            it.cause = Some(Cause::SignalsCoalesced);
            it.cause_text = Some(text.into());
            it.container = None;
        })
    });
    let mut run = support::run(quick.chain(reaped).collect(), living.collect(), None);
    let row = &mut run.summary.by_parent[0];
    row.cmdline =
        Some("/usr/bin/python3 supervisor.py --workers=72 --config=/etc/jobs.toml".into());
    run
}

/// A run in which only zombies from before it linger.
fn pre_existing() -> Run {
    let living = (0..18).map(|n| {
        changed(support::alive()[0].clone(), |it| {
            it.pid = 900 + n;
            it.comm = "healthcheck".into();
            it.ppid = Some(713 + n / 16);
            it.parent_comm = Some("dockerd".into());
            it.exit_code = Some(0);
            it.age_ns = 492_000_000_000 - u64::from(n) * 1_000_000_000;
            it.cause = Some(Cause::NeverWaits);
            it.cause_text = Some(
                format!(
                    "the parent {} (dockerd) neither handles SIGCHLD nor waits: it sleeps in \
                 futex_do_wait",
                    713 + n / 16
                )
                .into(),
            );
            it.container = None;
            it.flags = vec![Flag::PreExisting];
        })
    });
    let quick = (0..200).map(|n| {
        changed(support::zombie(), |it| {
            it.pid = 5000 + n;
            it.zombie_ns = 40_000 + u64::from(n) * 32_000;
        })
    });
    support::run(quick.collect(), living.collect(), None)
}
