//! The files for deployment, each by who reads it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    BY_LOAD, Held, ZOMBIES, await_figures,
    engine::{self, Engine},
    start,
};
use crate::{Outcome, Test, context, ensure, tracer::Tracer};

const DASHBOARD: &str = include_str!("../../../../deploy/grafana-dashboard.json");
const DAEMON_SET: &str = include_str!("../../../../deploy/kubernetes.yaml");
const UNIT: &str = include_str!("../../../../deploy/zombie-trace.service");

/// As systemd-analyze(1) rates exposure, from 0 to 100.
const EXPOSURE: &str = "--threshold=20";

const SYSTEMD_ANALYZE: &str = "/usr/bin/systemd-analyze";
const RUNC: &str = "/usr/sbin/runc";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("serve::deploy-rules", rules).unless(engine::no_prometheus()),
        Test::new("serve::deploy-daemon-set", daemon_set).unless(context::no_program(RUNC)),
        Test::new("serve::deploy-kubernetes", kubernetes).unless(no_kubernetes_validate()),
        Test::new("serve::deploy-unit", unit).unless(context::no_program(SYSTEMD_ANALYZE)),
    ]
}

fn rules() -> Outcome {
    let promtool = engine::promtool().ok_or("no promtool")?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ] {
        let mut command = Command::new(&promtool);
        succeeds(command.args(arguments).current_dir(&directory))?;
    }
    Ok(())
}

const KUBERNETES_VALIDATE: &str = "ZOMBIE_TRACE_KUBERNETES_VALIDATE";

fn no_kubernetes_validate() -> Option<String> {
    env::var_os(KUBERNETES_VALIDATE).is_none().then(|| {
        format!(
            "no kubernetes-validate (cargo xtask e2e fetches it and sets {KUBERNETES_VALIDATE})"
        )
    })
}

/// By the schemas of Kubernetes' API. What is wrong is found: else the checker checks nothing.
fn kubernetes() -> Outcome {
    let program = env::var_os(KUBERNETES_VALIDATE).ok_or("probed")?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes.yaml");
    let check = |file: &Path| {
        let mut command = Command::new(&program);
        command.arg("--strict").arg(file);
        command
    };
    succeeds(&mut check(&file))?;
    let wrong = DAEMON_SET.replace("hostPID: true", "hostPid: true");
    ensure!(wrong != DAEMON_SET, "it has no hostPID");
    let file = context::fresh_path("kubernetes.yaml");
    fs::write(&file, wrong).map_err(|error| format!("{}: {error}", file.display()))?;
    ensure!(
        succeeds(&mut check(&file)).is_err(),
        "a misspelt field passes"
    );
    Ok(())
}

fn unit() -> Outcome {
    let file = context::fresh_path("unit").join("zombie-trace.service");
    let program = context::zombie_trace().to_str().expect("UTF-8");
    let unit = UNIT.replace("/usr/local/bin/zombie-trace", program);
    ensure!(
        unit != UNIT,
        "the unit does not start /usr/local/bin/zombie-trace"
    );
    fs::create_dir(file.parent().expect("a directory"))
        .and_then(|()| fs::write(&file, unit))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let mut verify = Command::new(SYSTEMD_ANALYZE);
    let said = succeeds(verify.args(["--man=no", "verify"]).arg(&file))?;
    ensure!(said.is_empty(), "systemd-analyze verify: {said}");
    let mut security = Command::new(SYSTEMD_ANALYZE);
    succeeds(
        security
            .args(["security", "--offline=true", EXPOSURE])
            .arg(&file),
    )
    .map(drop)
}

/// A container with what the DaemonSet has, the node's pids and some capabilities, sees the node's
/// zombies, and has no rights left after that.
fn daemon_set() -> Outcome {
    let container = Container {
        name: format!("zt-e2e-{}", std::process::id()),
    };
    let mut command = Command::new(RUNC);
    command
        .args(["run", "--bundle"])
        .arg(bundle()?)
        .arg(&container.name)
        .stdin(Stdio::null());
    let (tracer, address) = start(Tracer::of(command))?;
    let held = Held::start(3)?;
    await_figures(address, "3 zombies", |figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 3.0
    })?;
    let state = Command::new(RUNC).args(["state", &container.name]).output();
    let state = state.map_err(|error| format!("{RUNC}: {error}"))?;
    let state: Value = serde_json::from_slice(&state.stdout).map_err(|error| error.to_string())?;
    let status = fs::read_to_string(format!("/proc/{}/status", state["pid"]));
    let status = status.map_err(|error| format!("{state}: {error}"))?;
    for line in [
        "Uid:\t65534\t65534\t65534\t65534\n",
        "CapPrm:\t0000000000000000\n",
    ] {
        ensure!(status.contains(line), "no {line:?}: {status}");
    }
    drop(held);
    let mut kill = Command::new(RUNC);
    succeeds(kill.args(["kill", &container.name, "TERM"]))?;
    tracer.finish()?.expect_code(0).map(drop)
}

/// Removed when this is dropped.
struct Container {
    name: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut delete = Command::new(RUNC);
        let _ = delete.args(["delete", "--force", &self.name]).output();
    }
}

/// What runc takes, of the DaemonSet's capabilities and mounts. The program's libraries are the
/// host's.
fn bundle() -> Result<PathBuf, String> {
    let line = |key: &str| {
        DAEMON_SET
            .lines()
            .find_map(|line| line.trim().strip_prefix(key))
    };
    let list = line("add: [").and_then(|list| list.strip_suffix(']'));
    let list = list.ok_or("no capabilities in kubernetes.yaml")?;
    let capabilities: Vec<_> = list.split(", ").map(|name| format!("CAP_{name}")).collect();
    let tracefs = line("mountPath: ").ok_or("no mount in kubernetes.yaml")?;
    ensure_line(line("privileged: "), "false")?;
    ensure_line(line("hostPID: "), "true")?;

    let bundle = context::fresh_path("bundle");
    let host = ["/usr", "/lib", "/lib64"].map(PathBuf::from);
    let program = context::zombie_trace().to_owned();
    let bound = host.iter().filter(|path| path.is_dir()).chain([&program]);
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}),
        json!({"destination": tracefs, "type": "tracefs", "source": "tracefs", "options": ["ro"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}),
    ];
    for path in bound {
        let options = ["rbind", "ro"];
        mounts
            .push(json!({"destination": path, "type": "bind", "source": path, "options": options}));
    }
    let ourselves = std::process::id().to_string();
    let config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "root"},
        "hostname": "node",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "noNewPrivileges": true,
            "args": [program, "serve", "--listen", "127.0.0.1:0", "--tree", ourselves],
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
        },
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
    });
    fs::create_dir_all(bundle.join("root"))
        .and_then(|()| fs::write(bundle.join("config.json"), config.to_string()))
        .map_err(|error| format!("{}: {error}", bundle.display()))?;
    Ok(bundle)
}

fn ensure_line(value: Option<&str>, expected: &str) -> Outcome {
    ensure!(value == Some(expected), "{value:?} for {expected}");
    Ok(())
}

/// Each query of the dashboard has an answer.
pub(super) fn dashboard(engine: &Engine) -> Outcome {
    let dashboard: Value = serde_json::from_str(DASHBOARD).map_err(|error| error.to_string())?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut queries = 0;
    for target in targets {
        let promql = target["expr"].as_str().ok_or("a target without a query")?;
        let promql = promql
            .replace("$__rate_interval", "30s")
            .replace("$instance", ".*");
        ensure!(!engine.query(&promql)?.is_empty(), "no answer to {promql}");
        queries += 1;
    }
    ensure!(queries >= 8, "only {queries} queries");
    Ok(())
}

/// Gives what the command says on standard error.
fn succeeds(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!(
        "{command:?}: {}{said}",
        String::from_utf8_lossy(&output.stdout)
    ))
}
