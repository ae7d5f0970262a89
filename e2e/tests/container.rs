//! Real containers: OCI bundles that runc runs, each with its own pid, UTS and cgroup namespace.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    Outcome, Test, context, ensure,
    report::Report,
    runc::{self, Bundle},
    tracer::Tracer,
};

const BUSYBOX: &str = "/bin/busybox";
const TINI: &str = "/usr/bin/tini-static";

/// A name that no other test's container has.
fn host_name() -> String {
    format!("zt-box-{}", std::process::id())
}

/// Why no such container can run here, if so.
pub(crate) fn cannot_run() -> Option<String> {
    let mut missing = [BUSYBOX, TINI].into_iter().filter_map(context::no_program);
    runc::missing()
        .or_else(|| missing.next())
        .or_else(|| context::cgroup2_mount().map_or(Some("no cgroup v2".into()), |_| None))
}

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("container::pid-1-is-no-init", no_init).unless(cannot_run()),
        Test::new("container::pid-1-is-an-init", with_init).unless(cannot_run()),
    ]
}

/// A container with a busybox root.
pub(crate) struct Busybox {
    /// It, and its files.
    pub(crate) bundle: Bundle,
    id: String,
}

impl Busybox {
    /// One that runs this.
    pub(crate) fn new(args: &[&str]) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let id = format!("{:016x}", now.map_or(0, |now| now.as_nanos() as u64)).repeat(4);
        let admin = json!(["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"]);
        let namespaces = ["pid", "mount", "uts", "ipc", "cgroup"];
        let bundle = Bundle::new(&json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {"bounding": admin, "effective": admin, "permitted": admin},
            },
            "root": {"path": "rootfs"},
            "hostname": host_name(),
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": format!("/zt-e2e/{id}"),
                "namespaces": namespaces.map(|kind| json!({"type": kind})),
            },
        }))?;
        fill(&bundle.root()).map_err(|error| error.to_string())?;
        Ok(Self { bundle, id })
    }

    fn start(&self) -> Result<Child, String> {
        let mut run = self.bundle.run();
        run.spawn().map_err(|error| format!("{run:?}: {error}"))
    }

    /// As people write it.
    pub(crate) fn short_id(&self) -> &str {
        &self.id[..12]
    }

    fn container(&self) -> Value {
        json!({"runtime": null, "id": self.id, "pod_uid": null, "hostname": host_name()})
    }
}

fn fill(root: &Path) -> std::io::Result<()> {
    let bin = root.join("bin");
    fs::create_dir(&bin)?;
    fs::create_dir(root.join("proc"))?;
    fs::copy(BUSYBOX, bin.join("busybox"))?;
    fs::copy(TINI, bin.join("tini"))?;
    for applet in ["sh", "sleep", "unshare"] {
        symlink("busybox", bin.join(applet))?;
    }
    Ok(())
}

fn wait(mut child: Child) -> Outcome {
    let status = child.wait().map_err(|error| error.to_string())?;
    ensure!(status.success(), "runc: {status}");
    Ok(())
}

fn ps(args: &[&str]) -> Result<Output, String> {
    Command::new(context::zombie_trace())
        .arg("ps")
        .args(args)
        .output()
        .map_err(|error| format!("ps: {error}"))
}

fn only<'a>(
    report: &'a Report,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<&'a Value, String> {
    let mut found = report.zombies().filter(|record| is(record));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (first, second) => Err(format!("{what}: {first:?}, {second:?}")),
    }
}

/// An orphan in a container whose PID 1 is no init stays a zombie until the container ends. Tracing
/// begins before the container.
fn no_init() -> Outcome {
    // Before PID 1 sleeps, it is a shell, which can reap.
    let orphan = "(sh -c 'until read stat </proc/1/stat; [ \"${stat#*(sleep) S}\" != \"$stat\" ]; \
                  do sleep 0.05; done; exit 7' &); exec sleep 600";
    let busybox = Busybox::new(&["/bin/sh", "-c", orphan])?;
    let short = busybox.short_id();
    let options = ["--container", short, "--alive-after", "400ms"];
    let mut tracer = Tracer::json(options).start()?;
    let mut runc = busybox.start()?;
    let listed = listed(short);
    let inspected = listed.as_ref().ok().map(|zombie| inspect(&zombie["pid"]));
    let text = ps(&["--container", short])?;
    let reported = tracer.wait_line("the orphan alive", |line| {
        line["type"] == "alive" && line["exit_code"] == 7
    });
    busybox.bundle.kill("KILL")?;
    let _ = runc.wait();
    reported?;
    // The tracepoint backend sees such a reap when the kernel frees the task.
    for (what, key, value) in [("the orphan's end", "exit_code", 7), ("PID 1", "ns_pid", 1)] {
        tracer.wait_line(what, |line| line["type"] == "zombie" && line[key] == value)?;
    }
    let run = tracer.stop()?;
    let report = run.report()?;

    let listed = listed?;
    let without_name =
        json!({"runtime": null, "id": busybox.id, "pod_uid": null, "hostname": null});
    ensure!(
        listed["container"] == without_name && listed["parent_container"] == busybox.id,
        "ps: {listed}"
    );
    ensure!(listed["cause"] == "init-never-waits", "ps: {listed}");
    let text = String::from_utf8_lossy(&text.stdout);
    ensure!(
        text.contains(&format!(" in {short}: 1 zombie")),
        "ps: {text}"
    );
    let inspected = inspected.expect("it was listed")?;
    ensure!(inspected.contains(&busybox.id), "inspect: {inspected}");

    let init = only(&report, "PID 1", |record| record["ns_pid"] == 1)?;
    ensure!(init["comm"] == "sleep", "{init}");
    ensure!(init["container"] == busybox.container(), "{init}");
    // It is runc's child.
    ensure!(init["parent_comm"] == "runc", "{init}");
    ensure!(
        init["parent_container"].is_null() && init["reaper_container"].is_null(),
        "{init}"
    );

    let orphan = only(&report, "the orphan", |record| record["exit_code"] == 7)?;
    ensure!(orphan["container"] == busybox.container(), "{orphan}");
    ensure!(
        orphan["how"] == "ns-teardown" && orphan["reaper_pid"] == init["pid"],
        "{orphan}"
    );
    for key in ["parent_container", "reaper_container"] {
        ensure!(orphan[key] == busybox.id, "{key}: {orphan}");
    }
    let Some(alive) = report.alive().find(|line| line["pid"] == orphan["pid"]) else {
        return run.fail("no alive line of the orphan");
    };
    ensure!(alive["cause"] == "init-never-waits", "{alive}");
    ensure!(alive["container"] == busybox.container(), "{alive}");
    all_of(&report, &busybox)
}

/// What is in a container without its host name is runc's own, before it sets it.
fn all_of(report: &Report, busybox: &Busybox) -> Outcome {
    for record in report.zombies() {
        ensure!(record["container"]["id"] == busybox.id, "{record}");
        let own = record["comm"]
            .as_str()
            .is_some_and(|comm| comm.starts_with("runc"));
        ensure!(
            own || record["container"]["hostname"] == host_name(),
            "{record}"
        );
    }
    ensure!(
        report.count("exits") == report.zombies().count() as u64,
        "{}",
        report.summary()
    );
    Ok(())
}

fn listed(container: &str) -> Result<Value, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = ps(&["--json", "--container", container])?;
        let zombie = output.stdout.split(|&byte| byte == b'\n');
        let zombie = zombie.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        // A younger one may still be reaped: `ps` names no cause yet.
        let mut old = zombie.filter(|zombie| zombie["age_ns"].as_u64() > Some(100_000_000));
        if let Some(zombie) = old.next_back() {
            return Ok(zombie);
        }
        ensure!(
            Instant::now() < deadline,
            "ps lists no zombie of {container}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn inspect(pid: &Value) -> Result<String, String> {
    let output = Command::new(context::zombie_trace())
        .args(["inspect", &pid.to_string()])
        .output()
        .map_err(|error| format!("inspect: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same orphan with tini as PID 1, and a pid namespace in the container's; by its host name.
fn with_init() -> Outcome {
    // It ends once the orphan is reaped.
    let script = "(sh -c 'echo $$ >/pid; sleep 0.2; exit 7' &); \
                  unshare -p -f sh -c 'sleep 0.1; exit 4'; \
                  until [ -s /pid ]; do sleep 0.05; done; read pid </pid; \
                  while [ -d /proc/$pid ]; do sleep 0.05; done";
    let busybox = Busybox::new(&["/bin/tini", "--", "/bin/sh", "-c", script])?;
    let tracer = Tracer::json(["--container", &host_name()]).start()?;
    wait(busybox.start()?)?;
    let report = tracer.stop()?.report()?;

    let tini = only(&report, "PID 1", |record| record["comm"] == "tini")?;
    ensure!(tini["ns_pid"] == 1, "{tini}");
    let orphan = only(&report, "the orphan", |record| record["exit_code"] == 7)?;
    ensure!(
        orphan["how"] == "wait4" && orphan["reaper_pid"] == tini["pid"],
        "{orphan}"
    );
    ensure!(orphan["reaper_container"] == busybox.id, "{orphan}");
    let nested = only(&report, "the nested init", |record| {
        record["exit_code"] == 4 && record["ns_pid"] == 1
    })?;
    ensure!(nested["reaper_comm"] == "unshare", "{nested}");
    ensure!(nested["container"] == busybox.container(), "{nested}");
    all_of(&report, &busybox)?;
    let by_container = &report.summary()["by_container"];
    ensure!(
        by_container.as_array().map(Vec::len) == Some(1)
            && by_container[0]["id"] == busybox.id
            && by_container[0]["hostname"] == host_name()
            && by_container[0]["reaped"] == report.count("reaped"),
        "{by_container}"
    );
    ensure!(
        !report.zombies().any(|record| record["comm"] == "runc"),
        "runc itself is outside"
    );
    busybox.bundle.no_residue()
}
