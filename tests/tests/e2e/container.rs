//! Real containers: OCI bundles that runc runs, each with its own pid, UTS and cgroup namespace.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{Outcome, Test, context, ensure, report::Report, tracer::Tracer};

const RUNC: &str = "/usr/sbin/runc";
const BUSYBOX: &str = "/bin/busybox";
const TINI: &str = "/usr/bin/tini-static";
const HOST_NAME: &str = "zt-box";

pub(crate) fn tests() -> Vec<Test> {
    let cannot_run = || {
        let missing = [RUNC, BUSYBOX, TINI].iter();
        missing
            .filter_map(|program| context::no_program(program))
            .next()
            .or_else(|| context::cgroup2_mount().map_or(Some("no cgroup v2".into()), |_| None))
    };
    vec![
        Test::new("container::pid-1-is-no-init", no_init).unless(cannot_run()),
        Test::new("container::pid-1-is-an-init", with_init).unless(cannot_run()),
    ]
}

/// A bundle with a busybox root.
struct Bundle {
    directory: PathBuf,
    id: String,
}

impl Bundle {
    fn new(args: &[&str]) -> Result<Self, String> {
        let directory = context::fresh_path("bundle");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let id = format!("{:016x}", now.map_or(0, |now| now.as_nanos() as u64)).repeat(4);
        let bundle = Self { directory, id };
        bundle.write(args).map_err(|error| error.to_string())?;
        Ok(bundle)
    }

    fn write(&self, args: &[&str]) -> std::io::Result<()> {
        let bin = self.directory.join("rootfs/bin");
        fs::create_dir_all(&bin)?;
        fs::create_dir(self.directory.join("rootfs/proc"))?;
        fs::copy(BUSYBOX, bin.join("busybox"))?;
        fs::copy(TINI, bin.join("tini"))?;
        for applet in ["sh", "sleep", "unshare"] {
            symlink("busybox", bin.join(applet))?;
        }
        let admin = json!(["CAP_SYS_ADMIN"]);
        let namespaces = ["pid", "mount", "uts", "ipc", "cgroup"];
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {"bounding": admin, "effective": admin, "permitted": admin},
            },
            "root": {"path": "rootfs"},
            "hostname": HOST_NAME,
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": format!("/zt-e2e/{}", self.id),
                "namespaces": namespaces.map(|kind| json!({"type": kind})),
            },
        });
        fs::write(self.directory.join("config.json"), config.to_string())
    }

    fn start(&self) -> Result<Child, String> {
        Command::new(RUNC)
            .arg("--root")
            .arg(self.directory.join("state"))
            .args(["run", "--bundle"])
            .arg(&self.directory)
            .arg("box")
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{RUNC}: {error}"))
    }

    /// As people write it.
    fn short_id(&self) -> &str {
        &self.id[..12]
    }

    fn container(&self) -> Value {
        json!({"runtime": null, "id": self.id, "pod_uid": null, "hostname": HOST_NAME})
    }
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
    let orphan = "(sh -c 'sleep 0.3; exit 7' &); exec sleep 2.5";
    let bundle = Bundle::new(&["/bin/sh", "-c", orphan])?;
    let short = bundle.short_id();
    let options = ["--container", short, "--alive-after", "400ms"];
    let tracer = Tracer::json(options).start()?;
    let runc = bundle.start()?;
    let listed = listed(short);
    let inspected = listed.as_ref().ok().map(|zombie| inspect(&zombie["pid"]));
    let text = ps(&["--container", short])?;
    wait(runc)?;
    // The tracepoint backend sees such a reap when the kernel frees the task.
    thread::sleep(Duration::from_millis(300));
    let run = tracer.stop()?;
    let report = run.report()?;

    let listed = listed?;
    let without_name = json!({"runtime": null, "id": bundle.id, "pod_uid": null, "hostname": null});
    ensure!(
        listed["container"] == without_name && listed["parent_container"] == bundle.id,
        "ps: {listed}"
    );
    ensure!(listed["cause"] == "init-never-waits", "ps: {listed}");
    let text = String::from_utf8_lossy(&text.stdout);
    ensure!(
        text.contains("CONTAINER") && text.contains(short),
        "ps: {text}"
    );
    let inspected = inspected.expect("it was listed")?;
    ensure!(inspected.contains(&bundle.id), "inspect: {inspected}");

    let init = only(&report, "PID 1", |record| record["ns_pid"] == 1)?;
    ensure!(init["comm"] == "sleep", "{init}");
    ensure!(init["container"] == bundle.container(), "{init}");
    // It is runc's child.
    ensure!(init["parent_comm"] == "runc", "{init}");
    ensure!(
        init["parent_container"].is_null() && init["reaper_container"].is_null(),
        "{init}"
    );

    let orphan = only(&report, "the orphan", |record| record["exit_code"] == 7)?;
    ensure!(orphan["container"] == bundle.container(), "{orphan}");
    ensure!(
        orphan["how"] == "ns-teardown" && orphan["reaper_pid"] == init["pid"],
        "{orphan}"
    );
    for key in ["parent_container", "reaper_container"] {
        ensure!(orphan[key] == bundle.id, "{key}: {orphan}");
    }
    let Some(alive) = report.alive().find(|line| line["pid"] == orphan["pid"]) else {
        return run.fail("no alive line of the orphan");
    };
    ensure!(alive["cause"] == "init-never-waits", "{alive}");
    ensure!(alive["container"] == bundle.container(), "{alive}");
    all_of(&report, &bundle)
}

/// What is in a container without its host name is runc's own, before it sets it.
fn all_of(report: &Report, bundle: &Bundle) -> Outcome {
    for record in report.zombies() {
        ensure!(record["container"]["id"] == bundle.id, "{record}");
        let own = record["comm"]
            .as_str()
            .is_some_and(|comm| comm.starts_with("runc"));
        ensure!(
            own || record["container"]["hostname"] == HOST_NAME,
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
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let output = ps(&["--json", "--container", container])?;
        let zombie = output.stdout.split(|&byte| byte == b'\n');
        let mut zombie = zombie.filter_map(|line| serde_json::from_slice(line).ok());
        if let Some(zombie) = zombie.next_back() {
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
    let script =
        "(sh -c 'sleep 0.2; exit 7' &); unshare -p -f sh -c 'sleep 0.1; exit 4'; sleep 0.4";
    let bundle = Bundle::new(&["/bin/tini", "--", "/bin/sh", "-c", script])?;
    let tracer = Tracer::json(["--container", HOST_NAME]).start()?;
    wait(bundle.start()?)?;
    let report = tracer.stop()?.report()?;

    let tini = only(&report, "PID 1", |record| record["comm"] == "tini")?;
    ensure!(tini["ns_pid"] == 1, "{tini}");
    let orphan = only(&report, "the orphan", |record| record["exit_code"] == 7)?;
    ensure!(
        orphan["how"] == "wait4" && orphan["reaper_pid"] == tini["pid"],
        "{orphan}"
    );
    ensure!(orphan["reaper_container"] == bundle.id, "{orphan}");
    let nested = only(&report, "the nested init", |record| {
        record["exit_code"] == 4 && record["ns_pid"] == 1
    })?;
    ensure!(nested["reaper_comm"] == "unshare", "{nested}");
    ensure!(nested["container"] == bundle.container(), "{nested}");
    all_of(&report, &bundle)?;
    let by_container = &report.summary()["by_container"];
    ensure!(
        by_container.as_array().map(Vec::len) == Some(1)
            && by_container[0]["id"] == bundle.id
            && by_container[0]["hostname"] == HOST_NAME
            && by_container[0]["reaped"] == report.count("reaped"),
        "{by_container}"
    );
    ensure!(
        !report.zombies().any(|record| record["comm"] == "runc"),
        "runc itself is outside"
    );
    no_residue(&bundle.directory)
}

/// runc has cleaned up behind itself.
fn no_residue(directory: &Path) -> Outcome {
    let left = fs::read_dir(directory.join("state")).map_or(0, |entries| entries.count());
    ensure!(left == 0, "{left} containers are left");
    Ok(())
}
