//! The files for deployment, each by who reads it.

use std::{env, fs, path::Path, process::Command};

use serde_json::Value;

use super::engine::{self, Engine};
use crate::{Outcome, Test, context, context::succeeds, ensure};

const DASHBOARD: &str = include_str!("../../../deploy/grafana-dashboard.json");
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes.yaml");
const UNIT: &str = include_str!("../../../deploy/zombie-trace.service");

/// As systemd-analyze(1) rates exposure, from 0 to 100.
const EXPOSURE: &str = "--threshold=20";

const SYSTEMD_ANALYZE: &str = "/usr/bin/systemd-analyze";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("serve::deploy-rules", rules)
            .long(engine::LONG)
            .unless(engine::no_prometheus()),
        Test::new("serve::deploy-kubernetes", kubernetes)
            .long("takes the schemas of Kubernetes")
            .unless(no_kubernetes_validate()),
        Test::new("serve::deploy-unit", unit)
            .long("takes systemd-analyze")
            .unless(context::no_program(SYSTEMD_ANALYZE)),
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
    ensure!(said.stderr.is_empty(), "systemd-analyze verify: {said:?}");
    let mut security = Command::new(SYSTEMD_ANALYZE);
    succeeds(
        security
            .args(["security", "--offline=true", EXPOSURE])
            .arg(&file),
    )
    .map(drop)
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
