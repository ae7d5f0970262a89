//! Real monitoring systems that answer PromQL.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::client;
use crate::{context, test_case};

/// Why tests that ask an engine are left to the long run.
pub(crate) const LONG: &str = "asks a monitoring system";

/// It starts within a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// Prometheus and promtool are in the directory that this variable names.
const PROMETHEUS: &str = "ZOMBIE_TRACE_PROMETHEUS";
/// The same for VictoriaMetrics.
const VICTORIA: &str = "ZOMBIE_TRACE_VICTORIA";

/// Why there is no Prometheus here, if so.
pub(crate) fn no_prometheus() -> Option<String> {
    missing(PROMETHEUS, "prometheus")
}

/// Why there is no VictoriaMetrics here, if so.
pub(crate) fn no_victoria() -> Option<String> {
    missing(VICTORIA, "victoria-metrics")
}

/// Why nothing here takes OTLP for a Prometheus, if so.
pub(crate) fn no_prometheus_by_agent() -> Option<String> {
    no_prometheus().or_else(|| missing(VICTORIA, "vmagent"))
}

/// Prometheus' checker of rules and metrics.
pub(crate) fn promtool() -> Option<PathBuf> {
    program(PROMETHEUS, "promtool")
}

fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?).join(name);
    path.is_file().then_some(path)
}

fn missing(variable: &str, name: &str) -> Option<String> {
    // The harness has found out.
    if test_case::is_one() {
        return None;
    }
    match program(variable, name) {
        Some(path) => {
            let version = Command::new(&path).arg("--version").output();
            let runs = version.is_ok_and(|output| output.status.success());
            (!runs).then(|| format!("{} does not run here", path.display()))
        }
        None => Some(format!(
            "no {name} (cargo xtask e2e fetches it and sets {variable})"
        )),
    }
}

/// One that runs until this is dropped.
pub(crate) struct Engine {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Engine {
    /// A Prometheus that scrapes this.
    pub(crate) fn prometheus(target: SocketAddr) -> Result<Self, String> {
        let config = format!(
            "global:\n  scrape_interval: 250ms\nscrape_configs:\n- job_name: zombies\n  \
             static_configs:\n  - targets: ['{target}']\n"
        );
        Self::configured_prometheus(&config, None)
    }

    /// A Prometheus that takes what an [`agent`](Self::agent) writes.
    pub(crate) fn written_prometheus() -> Result<Self, String> {
        Self::configured_prometheus("", Some("--web.enable-remote-write-receiver"))
    }

    fn configured_prometheus(config: &str, option: Option<&str>) -> Result<Self, String> {
        let file = context::fresh_path("prometheus.yml");
        fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
        let address = free_address()?;
        let data = context::fresh_path("data");
        let mut arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ];
        arguments.extend(option.map(str::to_owned));
        Self::start(program(PROMETHEUS, "prometheus"), address, &arguments)
    }

    /// VictoriaMetrics' agent, which takes OTLP below `/opentelemetry` and writes it into this
    /// Prometheus.
    pub(crate) fn agent(prometheus: &Self) -> Result<Self, String> {
        let address = free_address()?;
        let data = context::fresh_path("data");
        Self::start(
            program(VICTORIA, "vmagent"),
            address,
            &[
                format!("-httpListenAddr={address}"),
                format!(
                    "-remoteWrite.url=http://{}/api/v1/write",
                    prometheus.address
                ),
                format!("-remoteWrite.tmpDataPath={}", data.display()),
                // Of several one overtakes the other, and Prometheus refuses what is late.
                "-remoteWrite.queues=1".to_owned(),
                // Not first a protocol that only VictoriaMetrics knows.
                "-remoteWrite.forcePromProto=true".to_owned(),
                "-remoteWrite.flushInterval=200ms".to_owned(),
                "-opentelemetry.usePrometheusNaming".to_owned(),
                "-memory.allowedBytes=128MiB".to_owned(),
                "-loggerLevel=WARN".to_owned(),
            ],
        )
    }

    /// A VictoriaMetrics that takes OTLP below `/opentelemetry`.
    pub(crate) fn victoria() -> Result<Self, String> {
        let address = free_address()?;
        let data = context::fresh_path("data");
        Self::start(
            program(VICTORIA, "victoria-metrics"),
            address,
            &[
                format!("-storageDataPath={}", data.display()),
                format!("-httpListenAddr={address}"),
                "-opentelemetry.usePrometheusNaming".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
                "-search.disableCache".to_owned(),
                "-memory.allowedBytes=128MiB".to_owned(),
                "-loggerLevel=WARN".to_owned(),
            ],
        )
    }

    fn start(
        program: Option<PathBuf>,
        address: SocketAddr,
        arguments: &[String],
    ) -> Result<Self, String> {
        let program = program.ok_or("it is not here")?;
        let said = |error: std::io::Error| format!("{}: {error}", program.display());
        let log = context::fresh_path("log");
        let child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).map_err(said)?)
            .spawn()
            .map_err(said)?;
        let mut engine = Self {
            child,
            address,
            log,
        };
        let deadline = Instant::now() + PATIENCE;
        while client::get(address, "/-/ready", "*/*").map_or(0, |answer| answer.status()) != 200 {
            if engine.child.try_wait().map_err(said)?.is_some() || Instant::now() > deadline {
                return Err(format!(
                    "{} is not ready: {}",
                    program.display(),
                    engine.said()
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(engine)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it answers to a query: labels and value of each series.
    pub(crate) fn query(&self, promql: &str) -> Result<Vec<(Value, f64)>, String> {
        let path = format!("/api/v1/query?query={}", percent_encoded(promql));
        let answer = client::get(self.address, &path, "*/*")?;
        let body: Value = serde_json::from_str(&answer.body)
            .map_err(|error| format!("{promql}: {error}: {}", answer.body))?;
        let result = body["data"]["result"].as_array();
        let result = result.ok_or_else(|| format!("{promql}: {body}"))?;
        let series = |series: &Value| {
            let value = series["value"][1].as_str()?.parse().ok()?;
            Some((series["metric"].clone(), value))
        };
        Ok(result.iter().filter_map(series).collect())
    }

    /// Asks until the answer is this one number.
    pub(crate) fn await_value(&self, promql: &str, expected: f64) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.query(promql)?;
            if let [(_, value)] = answer[..]
                && value == expected
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{promql} is {answer:?} and not {expected}\n{}",
                    self.said()
                ));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine alone that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| error.to_string())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
