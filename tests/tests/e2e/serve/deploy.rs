//! The files for deployment, each by who reads it.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::engine::{self, Engine};
use crate::{Outcome, Test, context, ensure};

const DASHBOARD: &str = include_str!("../../../../deploy/grafana-dashboard.json");
const UNIT: &str = include_str!("../../../../deploy/zombie-trace.service");

/// As systemd-analyze(1) rates exposure, from 0 to 100.
const EXPOSURE: &str = "--threshold=20";

const SYSTEMD_ANALYZE: &str = "/usr/bin/systemd-analyze";

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("serve::deploy-rules", rules).unless(engine::no_prometheus()),
        Test::new("serve::deploy-unit", unit).unless(context::no_program(SYSTEMD_ANALYZE)),
    ]
}

fn rules() -> Outcome {
    let promtool = engine::promtool().ok_or("no promtool")?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for arguments in [
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ] {
        let mut command = Command::new(&promtool);
        succeeds(command.args(arguments).current_dir(&directory))?;
    }
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
