//! `-p`, `-P`, `--tree` and `-c`: which processes a run is about. All counts are about those.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use zombie_trace_e2e::Truth;

use crate::{
    Outcome, Test,
    check::{self, Truths},
    context, ensure,
    puppet::Puppet,
    report::{Report, number},
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    let no_cgroup = || {
        context::cgroup2_mount()
            .is_none()
            .then(|| "no cgroup v2 mount".into())
    };
    vec![
        Test::new("scope::ppid", ppid),
        Test::new("scope::ppid-twice", ppid_twice),
        Test::new("scope::pid", pid),
        Test::new("scope::tree", tree),
        Test::new("scope::cgroup-path", || cgroup(true)).unless(no_cgroup()),
        Test::new("scope::cgroup-name", || cgroup(false)).unless(no_cgroup()),
        Test::new("scope::container-id", container_id).unless(no_cgroup()),
        Test::new("scope::container-host-name", container_host_name),
        Test::new("scope::nobody-in-it", nobody_in_it),
        Test::new("scope::empty-cgroup", empty_cgroup).unless(no_cgroup()),
        Test::new("scope::filters-count", filters_count),
        Test::new("scope::filter-comm", || {
            filter(&["-n", "odd*"], |truth| truth.role.starts_with("odd"))
        }),
        Test::new("scope::filter-parent-comm", || {
            filter(&["--parent-comm", "mid*"], |truth| {
                truth.parent_comm.as_deref() == Some("middle")
            })
        }),
        Test::new("scope::filter-failed", || {
            filter(&["-x"], |truth| truth.exit_code != Some(0))
        }),
        Test::new("scope::filter-min", filter_min),
        Test::new("scope::filters-together", || {
            filter(&["-x", "-n", "odd*"], |truth| {
                truth.exit_code != Some(0) && truth.role.starts_with("odd")
            })
        }),
    ]
}

fn puppets<const N: usize>() -> Result<[Puppet; N], String> {
    let started = (0..N)
        .map(|_| Puppet::start(Stdio::inherit()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(started.try_into().ok().expect("N of them"))
}

/// A bit of everything.
fn perform(puppet: &mut Puppet) -> Outcome {
    for command in [
        "zombie plain 3",
        "reap plain",
        "autoreap auto 2",
        "grandchild grand 0",
        "orphan orphan 1",
    ] {
        puppet.obey(command)?;
    }
    Ok(())
}

/// The truths that a test expects to see reported.
fn expected<'a>(
    puppets: impl IntoIterator<Item = &'a Puppet>,
    reported: impl Fn(&Truth) -> bool,
) -> Truths {
    let all = puppets
        .into_iter()
        .flat_map(|puppet| puppet.truths.processes.iter().cloned());
    Truths {
        processes: all.filter(|truth| reported(truth)).collect(),
        many: vec![],
    }
}

fn judge(run: &Run, truths: &Truths) -> Result<Report, String> {
    run.expect_code(0)?;
    let report = run.report()?;
    ensure!(
        !truths.processes.is_empty(),
        "a test that expects nothing proves nothing"
    );
    check::compare(&report, truths, run)?;
    Ok(report)
}

fn ppid() -> Outcome {
    let [mut ours, mut other] = puppets()?;
    let parent = ours.pid();
    let tracer = Tracer::json(["-P", &parent.to_string()]).start()?;
    perform(&mut ours)?;
    perform(&mut other)?;
    let run = tracer.stop()?;
    judge(&run, &expected([&ours], |truth| truth.ppid == Some(parent))).map(drop)
}

fn ppid_twice() -> Outcome {
    let [mut one, mut two, mut other] = puppets()?;
    let parents = [one.pid(), two.pid()];
    let [first, second] = parents.map(|pid| pid.to_string());
    let tracer = Tracer::json(["-P", &first, "--ppid", &second]).start()?;
    for puppet in [&mut one, &mut two, &mut other] {
        perform(puppet)?;
    }
    let run = tracer.stop()?;
    let of_them = |truth: &Truth| truth.ppid.is_some_and(|ppid| parents.contains(&ppid));
    judge(&run, &expected([&one, &two], of_them)).map(drop)
}

fn pid() -> Outcome {
    let [mut puppet] = puppets()?;
    let victims = [puppet.obey("live first")?, puppet.obey("live second")?];
    puppet.obey("live other")?;
    let [first, second] = victims.map(|pid| pid.to_string());
    let tracer = Tracer::json(["-p", &first, "--pid", &second]).start()?;
    for command in [
        "kill other",
        "kill first",
        "reap other",
        "reap first",
        "kill second",
    ] {
        puppet.obey(command)?;
    }
    puppet.obey("reap second")?;
    perform(&mut puppet)?;
    let run = tracer.stop()?;
    judge(
        &run,
        &expected([&puppet], |truth| victims.contains(&truth.pid)),
    )
    .map(drop)
}

/// Descendants from before and after the start, orphans included; not the root itself.
fn tree() -> Outcome {
    let [mut ours, mut other] = puppets()?;
    ours.obey("live before")?;
    other.obey("live before")?;
    let tracer = Tracer::json(["--tree", &ours.pid().to_string()]).start()?;
    for puppet in [&mut ours, &mut other] {
        perform(puppet)?;
        puppet.obey("kill before")?;
        puppet.obey("reap before")?;
        puppet.end();
    }
    let run = tracer.stop()?;
    judge(&run, &expected([&ours], |_| true)).map(drop)
}

/// A cgroup, and one below it; the tracer is told its path or its name in the hierarchy.
fn cgroup(by_path: bool) -> Outcome {
    let mount = context::cgroup2_mount().expect("probed");
    let name = format!("zt-e2e-{}-{by_path}", std::process::id());
    let group = mount.join(&name);
    let below = group.join("below");
    fs::create_dir_all(&below).map_err(|error| format!("{}: {error}", below.display()))?;
    let outcome = in_cgroup(&group, &below, &name, by_path);
    remove_cgroups(&[&below, &group]);
    outcome
}

pub(crate) fn remove_cgroups(directories: &[&Path]) {
    // Dead tasks leave their cgroup only with their last reference.
    let deadline = Instant::now() + Duration::from_secs(60);
    for directory in directories {
        while let Err(error) = fs::remove_dir(directory) {
            if error.kind() == io::ErrorKind::NotFound || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn in_cgroup(group: &Path, below: &Path, name: &str, by_path: bool) -> Outcome {
    let [mut ours, mut lower, mut other] = puppets()?;
    ours.obey(&format!("cgroup {}", group.display()))?;
    lower.obey(&format!("cgroup {}", below.display()))?;
    let hierarchical = format!("/{name}");
    let path = if by_path {
        group.to_str().expect("UTF-8")
    } else {
        &hierarchical
    };
    let tracer = Tracer::json(["-c", path]).start()?;
    for puppet in [&mut ours, &mut lower, &mut other] {
        perform(puppet)?;
    }
    let run = tracer.stop()?;
    for (puppet, suffix) in [(&mut ours, ""), (&mut lower, "/below")] {
        for truth in &mut puppet.truths.processes {
            truth.cgroup = Some(format!("/{name}{suffix}"));
        }
    }
    judge(&run, &expected([&ours, &lower], |_| true)).map(drop)
}

/// The names that Docker and podman give, made after the tracer; by the begin of the id.
fn container_id() -> Outcome {
    const ID: &str = "b2a102854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";
    let top = context::cgroup2_mount()
        .expect("probed")
        .join(format!("zt-e2e-{}", std::process::id()));
    let [docker, other, conmon] = [
        format!("docker-{ID}.scope"),
        format!("docker-{}.scope", ID.replace("b2a1", "b2a2")),
        format!("libpod-conmon-{ID}.scope"),
    ]
    .map(|name| top.join(name));
    let inner = docker.join("init");
    let outcome = in_container(ID, [&inner, &other, &conmon]);
    remove_cgroups(&[&inner, &docker, &other, &conmon, &top]);
    outcome
}

fn in_container(id: &str, groups: [&Path; 3]) -> Outcome {
    let tracer = Tracer::json(["--container", &id[..12]]).start()?;
    let mut puppets = puppets::<3>()?;
    for (puppet, group) in puppets.iter_mut().zip(groups) {
        fs::create_dir_all(group).map_err(|error| format!("{}: {error}", group.display()))?;
        puppet.obey(&format!("cgroup {}", group.display()))?;
        perform(puppet)?;
    }
    let run = tracer.stop()?;
    let report = judge(&run, &expected([&puppets[0]], |_| true))?;
    for zombie in report.zombies() {
        ensure!(zombie["container"]["id"] == id, "{zombie}");
        // An orphan's is outside.
        let inside = zombie["ppid"] == puppets[0].pid();
        ensure!(!inside || zombie["parent_container"] == id, "{zombie}");
    }
    Ok(())
}

/// Of a namespace that gets two names in succession, what ends under the first.
fn container_host_name() -> Outcome {
    let run = Tracer::json(["--container", "zt-one"])
        .scenario(["ns-uts-names"])
        .run()?;
    let report = run.report()?;
    let comms: Vec<_> = report.zombies().map(|record| &record["comm"]).collect();
    ensure!(comms == ["first"], "{comms:?}");
    Ok(())
}

/// What is filtered is counted, and nothing else.
fn filters_count() -> Outcome {
    for (options, filtered) in [
        (&["-a"][..], 0),
        (&[], 1),
        (&["-a", "-x"], 1),
        (&["-x"], 2),
        (&["-a", "-n", "nope"], 3),
    ] {
        let [mut puppet] = puppets()?;
        let tracer = Tracer::new(["--json", "-P", &puppet.pid().to_string()])
            .into_file("filter.jsonl")
            .args(options)
            .start()?;
        for command in [
            "zombie odd 0",
            "reap odd",
            "zombie even 3",
            "reap even",
            "autoreap auto 2",
        ] {
            puppet.obey(command)?;
        }
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let report = run.report()?;
        let problems = check::accounting(&report);
        let summary = ["exits", "reaped", "autoreaped", "filtered"].map(|key| report.count(key));
        if !problems.is_empty() || summary != [3, 2, 1, filtered] {
            return run.fail(format!("{options:?}: {summary:?} {problems:?}"));
        }
        let autoreaped = report
            .zombies()
            .filter(|record| record["how"] == "autoreap")
            .count();
        let listed = options.contains(&"-a") && !options.contains(&"nope");
        ensure!(
            autoreaped == usize::from(listed),
            "{options:?}: {autoreaped} autoreaped listed"
        );
    }
    Ok(())
}

/// Only what was a zombie for long enough is listed. How long each was is the machine's affair.
fn filter_min() -> Outcome {
    const MIN_NS: u64 = 40_000_000;
    let (puppet, run) = filtered(&["-m", "40ms"])?;
    let listed: Vec<u64> = run
        .report()?
        .zombies()
        .map(|it| number(it, "pid"))
        .collect();
    for record in run.report()?.zombies() {
        ensure!(number(record, "zombie_ns") >= MIN_NS, "{record}");
    }
    // What is in between may be listed or not.
    for truth in &puppet.truths.processes {
        let pid = u64::from(truth.pid);
        let Some(zombie) = truth.zombie() else {
            continue;
        };
        let short = zombie.hi + TOLERANCE_NS < MIN_NS;
        let long = zombie.lo > MIN_NS + TOLERANCE_NS;
        ensure!(!short || !listed.contains(&pid), "{pid} was {zombie:?}");
        ensure!(!long || listed.contains(&pid), "{pid} was {zombie:?}");
    }
    ensure!(listed.len() >= 2, "those of 80 ms are not listed");
    all_counted(&puppet, &run)
}

/// What the end of a zombie's time may be off by.
const TOLERANCE_NS: u64 = 1_000_000;

/// Only what passes is listed; all of it is counted.
fn filter(options: &[&str], passes: impl Fn(&Truth) -> bool) -> Outcome {
    let (puppet, run) = filtered(options)?;
    judge(&run, &expected([&puppet], &passes))?;
    all_counted(&puppet, &run)
}

/// A puppet's children of all kinds, under a tracer with these options.
fn filtered(options: &[&str]) -> Result<(Puppet, Run), String> {
    let [mut puppet] = puppets()?;
    let tracer = Tracer::json(["--tree", &puppet.pid().to_string()])
        .args(options)
        .start()?;
    puppet.obey("zombie odd-long 3")?;
    puppet.obey("zombie even-long 0")?;
    std::thread::sleep(Duration::from_millis(80));
    for command in [
        "reap odd-long",
        "reap even-long",
        "zombie odd-short 0",
        "reap odd-short",
        "zombie even-short 3",
        "reap even-short",
        "grandchild grand 1",
        "autoreap odd-auto 2",
    ] {
        puppet.obey(command)?;
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    Ok((puppet, run))
}

fn all_counted(puppet: &Puppet, run: &Run) -> Outcome {
    let report = run.report()?;
    let all = puppet.truths.processes.len() as u64;
    let listed = report.zombies().count() as u64;
    ensure!(
        report.count("exits") == all,
        "exits for {all}: {}",
        report.summary()
    );
    ensure!(
        report.count("filtered") == all - listed,
        "filtered: {}",
        report.summary()
    );
    Ok(())
}

/// What is not there is named: in a run it may come, in `ps` it can't.
fn nobody_in_it() -> Outcome {
    // No pid is as large as pid_max.
    let pid_max =
        fs::read_to_string("/proc/sys/kernel/pid_max").map_err(|error| error.to_string())?;
    let nobody = pid_max.trim();
    let run = Tracer::json(["-d", "100ms", "--container", "nosuch", "-P", nobody]).run()?;
    run.expect_code(0)?;
    for part in [
        "--container nosuch: no container with this ID or name runs now; waiting for one"
            .to_owned(),
        format!("--ppid {nobody}: there is no such process now; waiting for it"),
    ] {
        ensure!(run.stderr.contains(&part), "{part}: {}", run.stderr);
    }
    for option in ["-p", "-P", "--tree"] {
        let ps = Command::new(context::zombie_trace())
            .args(["ps", option, nobody, "--fail-if", "alive>0"])
            .output()
            .map_err(|error| error.to_string())?;
        let stderr = String::from_utf8_lossy(&ps.stderr);
        ensure!(
            ps.status.code() == Some(1) && stderr.contains(": there is no such process"),
            "{option}: {ps:?}"
        );
    }
    Ok(())
}

/// Nothing can come of a cgroup that nobody is in.
fn empty_cgroup() -> Outcome {
    let mount = context::cgroup2_mount().expect("it is mounted");
    let group = mount.join(format!("zombie-trace-empty-{}", std::process::id()));
    fs::create_dir(&group).map_err(|error| error.to_string())?;
    let path = group.display().to_string();
    let found = || -> Outcome {
        let run = Tracer::json(["-d", "100ms", "-c", &path]).run()?;
        run.expect_code(0)?;
        let said = format!("--cgroup {path}: no process runs in it now; waiting for one");
        ensure!(run.stderr.contains(&said), "{}", run.stderr);
        let run = Tracer::json(["-d", "100ms", "-c", "/"]).run()?;
        ensure!(!run.stderr.contains("runs in it"), "{}", run.stderr);
        Ok(())
    }();
    fs::remove_dir(&group).map_err(|error| error.to_string())?;
    found
}
