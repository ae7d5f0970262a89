//! A real Prometheus.

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
use crate::context;

/// It starts within a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

/// The directory with the programs of this distribution.
pub(crate) const OURS: &str = "ZOMBIE_TRACE_PROMETHEUS";
/// The one with a Prometheus that takes OTLP.
pub(crate) const NEW: &str = "ZOMBIE_TRACE_PROMETHEUS_OTLP";

/// A program of a directory.
pub(crate) fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?).join(name);
    path.is_file().then_some(path)
}

/// Why it is not there, if so.
pub(crate) fn missing(variable: &str) -> Option<String> {
    match program(variable, "prometheus") {
        Some(path) => {
            let version = Command::new(&path).arg("--version").output();
            let runs = version.is_ok_and(|output| output.status.success());
            (!runs).then(|| format!("{} does not run here", path.display()))
        }
        None => Some(format!(
            "no Prometheus (cargo xtask e2e fetches it and sets {variable})"
        )),
    }
}

/// A Prometheus that runs until this is dropped.
pub(crate) struct Engine {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Engine {
    /// Starts it, with the end of a configuration and options besides.
    pub(crate) fn start(variable: &str, config: &str, options: &[&str]) -> Result<Self, String> {
        let program = program(variable, "prometheus").ok_or("no Prometheus")?;
        let said = |error: std::io::Error| format!("{}: {error}", program.display());
        let directory = context::fresh_path("prometheus");
        fs::create_dir(&directory).map_err(said)?;
        let config_file = directory.join("prometheus.yml");
        let config = format!("global:\n  scrape_interval: 250ms\n{config}");
        fs::write(&config_file, config).map_err(said)?;
        let log = directory.join("log");
        let address = free_address()?;
        let child = Command::new(&program)
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .args(options)
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
        let deadline = Instant::now() + Duration::from_secs(10);
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
