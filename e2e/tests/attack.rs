//! Processes that try to falsify the figures.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;

use crate::{
    Outcome, Test,
    catalogue::BUFFER,
    check::{self, Truths},
    context, ensure,
    puppet::Puppet,
    report::{Report, number},
    scope::remove_cgroups,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for who in ["stranger", "other-parent", "parent"] {
        tests.push(Test::new(
            format!("attack::forged-notifications-by-{who}"),
            move || forged(who),
        ));
    }
    for who in ["stranger", "parent"] {
        tests.push(Test::new(
            format!("attack::hidden-zombies-by-{who}"),
            move || hidden(who),
        ));
    }
    tests.push(Test::new("attack::stolen-reaps", stolen));
    tests.push(Test::new("attack::honest-run", honest));
    let emulated = context::is_emulated().then(|| "an emulator is too slow for it".to_owned());
    let no_cgroup = context::cgroup2_mount().map_or(Some("no cgroup v2 mount".into()), |_| None);
    tests.push(
        Test::new("attack::flood-of-host-names", flood_of_host_names)
            .unless(no_cgroup)
            .unless(emulated),
    );
    tests
}

/// An emulated machine gets a tenth: it is some ten times slower.
fn in_time(count: usize) -> String {
    let count = if context::is_emulated() {
        count / 10
    } else {
        count
    };
    count.to_string()
}

/// No wrong parent, no wrong reaper, none hidden, and none begins or ends early.
fn forged(who: &str) -> Outcome {
    let run = Tracer::json([""; 0])
        .scenario(["forge-notification", who, "1000"])
        .run()?;
    let (report, truths) = check::scenario_run(&run)?;
    let many = &truths.many[0];
    // The parent leaves each alone for 1 ms after it has seen it.
    const HELD_NS: u64 = 1_000_000;
    let short = report.zombies().find(|record| {
        let attacked = many.pids.iter().any(|pid| record["pid"] == *pid);
        attacked && number(record, "zombie_ns") + number(record, "error_ns") < HELD_NS
    });
    if let Some(record) = short {
        return run.fail(format!("it was a zombie for longer: {record}"));
    }
    noticed(&run, &report)
}

/// They are zombies like others, at the end and in the listing of the living.
fn hidden(who: &str) -> Outcome {
    let run = Tracer::json([""; 0])
        .scenario(["hide-zombie", who, &in_time(20)])
        .run()?;
    let (report, _) = check::scenario_run(&run)?;
    noticed(&run, &report)
}

/// Every reap is its parent's.
fn stolen() -> Outcome {
    let run = Tracer::json([""; 0])
        .scenario(["steal-reap", &in_time(200)])
        .run()?;
    let (report, _) = check::scenario_run(&run)?;
    // On one emulated CPU the thief seldom finds the moment.
    if context::is_emulated() {
        return Ok(());
    }
    noticed(&run, &report)
}

/// The backend that looks at signals and system calls sees forgeries; the others can't be reached
/// by them.
fn noticed(run: &Run, report: &Report) -> Outcome {
    let suspicious = number(report.summary(), "suspicious");
    let sees_them = report.start()["backend"] == "tracepoint";
    println!("{suspicious} forgeries were seen");
    if sees_them != (suspicious > 0) {
        return run.fail(format!("suspicious is {suspicious}"));
    }
    if sees_them != run.stderr.contains("ignored ") {
        return run.fail("the warning about forgeries is not as it should be");
    }
    Ok(())
}

/// Nothing is suspicious where nobody forges: not threads, tracers, nor reparenting.
fn honest() -> Outcome {
    for scenario in [
        "ptrace-seize",
        "ptrace-thread-last",
        "leader-exits-first",
        "reparent",
        "forged-sigchld",
    ] {
        let run = Tracer::json([""; 0]).scenario([scenario]).run()?;
        let (report, _): (Report, Truths) = check::scenario_run(&run)?;
        let suspicious: &Value = &report.summary()["suspicious"];
        ensure!(*suspicious == 0, "{scenario}: suspicious is {suspicious}");
    }
    Ok(())
}

/// A container keeps its host name, however many names somebody else makes up.
fn flood_of_host_names() -> Outcome {
    let mount = context::cgroup2_mount().expect("probed");
    let top = mount.join(format!("zt-names-{}", std::process::id()));
    let (victims, floods) = (top.join("victim"), top.join("flood"));
    let outcome = flood_host_names(&victims, &floods);
    remove_cgroups(&[&victims, &floods, &top]);
    outcome
}

fn flood_host_names(victims: &Path, floods: &Path) -> Outcome {
    /// More than the tracer remembers.
    const FLOOD: usize = 20_000;
    let mut victim = Puppet::start(Stdio::inherit())?;
    let mut flood = Puppet::start(Stdio::inherit())?;
    for (puppet, group) in [(&mut victim, victims), (&mut flood, floods)] {
        fs::create_dir_all(group).map_err(|error| format!("{}: {error}", group.display()))?;
        puppet.obey(&format!("cgroup {}", group.display()))?;
    }
    victim.obey("host-name zt-victim")?;
    let tracer = Tracer::json([
        "--buffer",
        BUFFER,
        "--tree",
        &std::process::id().to_string(),
    ])
    .start()?;
    for command in ["zombie early 0", "reap early"] {
        victim.obey(command)?;
    }
    flood.obey(&format!("host-names {FLOOD}"))?;
    for command in ["zombie late 0", "reap late"] {
        victim.obey(command)?;
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let pid = victim.pid();
    let names: Vec<_> = report
        .zombies()
        .filter(|record| record["ppid"] == pid)
        .map(|record| (&record["comm"], &record["container"]["hostname"]))
        .collect();
    ensure!(
        names.len() == 2 && names.iter().all(|(_, name)| *name == "zt-victim"),
        "{names:?}"
    );
    let flooded = report
        .zombies()
        .filter(|record| record["ppid"] == flood.pid());
    let flooded = flooded.count();
    ensure!(
        flooded == FLOOD,
        "{flooded} of {FLOOD} names were made up in time"
    );
    Ok(())
}
