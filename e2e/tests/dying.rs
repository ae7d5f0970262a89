//! Processes that were killed or exit and do not come to their end: `dying` in every output.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use zombie_trace_e2e::Line;

use crate::{Outcome, Test, context, ensure, report::number, schema, tracer::Tracer};

/// No condition takes longer, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    [
        Test::new("dying::killed", || {
            dies(&Expected {
                kind: "killed",
                signal: Some(9),
                state: "D",
                wchan: Some("request_wait_answer"),
                says: "killed at least ",
            })
        }),
        Test::new("dying::killed-thread", || {
            dies(&Expected {
                kind: "thread",
                signal: Some(9),
                state: "D",
                wchan: Some("request_wait_answer"),
                says: "(worker) hangs in request_wait_answer (D)",
            })
        }),
        Test::new("dying::in-exit", || {
            dies(&Expected {
                kind: "exit",
                signal: None,
                state: "",
                wchan: Some("request_wait_answer"),
                says: "began to exit at least ",
            })
        }),
        Test::new("dying::held-by-tracer", || {
            dies(&Expected {
                kind: "held",
                signal: None,
                state: "t",
                wchan: None,
                says: "cannot end: its tracer, process ",
            })
        }),
        Test::new("dying::main-thread-ended", main_thread_ended),
        Test::new("dying::in-scope", in_scope),
        Test::new("dying::counted", counted),
    ]
    .map(|test| test.unless(context::cannot_run("dying")))
    .into()
}

/// `scenario dying KIND`.
struct Dying {
    child: Child,
    /// The process that does not come to its end.
    pid: u32,
}

impl Dying {
    fn start(kind: &str) -> Result<Self, String> {
        let mut child = Command::new(context::scenario())
            .args(["dying", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("scenario dying: {error}"))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        match serde_json::from_str(&line) {
            Ok(Line::Done { pid }) => Ok(Self { child, pid }),
            _ => Err(format!("dying {kind} did not start: {read:?}: {line}")),
        }
    }

    fn parent(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

struct Expected {
    kind: &'static str,
    signal: Option<u64>,
    /// Empty for any.
    state: &'static str,
    wchan: Option<&'static str>,
    says: &'static str,
}

impl Expected {
    fn check(&self, dying: &Dying, line: &Value) -> Outcome {
        let thread = &line["threads"][0];
        let has = line["pid"] == dying.pid
            && line["ppid"] == dying.child.id()
            && line["comm"] == "child"
            && line["signal"].as_u64() == self.signal
            && number(line, "since_ns") >= 1_000_000_000
            && (self.state.is_empty() || thread["state"] == self.state)
            && self
                .wchan
                .is_none_or(|function| thread["wchan"] == function);
        ensure!(has, "{}: {line:#}", self.kind);
        // The kernel's own list of threads.
        let tid = number(thread, "tid");
        ensure!(
            fs::exists(format!("/proc/{}/task/{tid}", dying.pid)).unwrap_or(false),
            "{tid} is no thread of {}",
            dying.pid
        );
        schema::check(line)
    }
}

/// `ps`, a run, and its report say so.
fn dies(expected: &Expected) -> Outcome {
    let dying = Dying::start(expected.kind)?;
    let ps = zombie_trace(&["ps", "--json", "-P", &dying.parent()])?;
    let ps = lines(&ps)?;
    ensure!(ps.len() == 1 && ps[0]["type"] == "dying", "ps: {ps:#?}");
    expected.check(&dying, &ps[0])?;
    let text = zombie_trace(&["ps", "-P", &dying.parent()])?;
    ensure!(
        text.contains("1 process is dying, and has not ended\n")
            && unwrapped(text.as_bytes()).contains(expected.says),
        "ps: {text}"
    );

    let mut tracer = Tracer::json(["-P", &dying.parent()]).start()?;
    tracer.wait_line("a dying line", |line| line["type"] == "dying")?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let recorded = String::from_utf8_lossy(&run.output).into_owned();
    let written = lines(&recorded)?;
    let written: Vec<_> = written
        .iter()
        .filter(|line| line["type"] == "dying")
        .collect();
    // Once a second has passed, and at the end.
    ensure!(written.len() >= 2, "{} lines: {recorded}", written.len());
    for line in &written {
        expected.check(&dying, line)?;
    }
    ensure!(
        number(written[0], "since_ns") <= number(written[written.len() - 1], "since_ns"),
        "time goes back: {written:#?}"
    );

    let path = recording(&run.output)?;
    let report = zombie_trace(&["report", &path])?;
    ensure!(
        report.contains("processes that did not end\n") && report.contains(expected.says),
        "report: {report}"
    );
    let report = zombie_trace(&["report", "--json", &path])?;
    let report = lines(&report)?;
    ensure!(
        report[0]["dying"][0]["pid"] == dying.pid,
        "report: {report:#?}"
    );
    let mut text = Tracer::new(["-P", &dying.parent()])
        .into_file("out")
        .start()?;
    text.wait_output(expected.says, |bytes| {
        unwrapped(bytes).contains(expected.says)
    })?;
    text.stop()?.expect_code(0)?;
    Ok(())
}

/// It looks like a zombie in a run as well as in `ps`, and is counted as one in neither.
fn main_thread_ended() -> Outcome {
    let dying = Dying::start("leader")?;
    let mut tracer = Tracer::json(["-P", &dying.parent(), "--alive-after", "1s"]).start()?;
    tracer.wait_line("an alive line", |line| line["type"] == "alive")?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let recorded = String::from_utf8_lossy(&run.output).into_owned();
    let written = lines(&recorded)?;
    let alive = written.iter().filter(|line| line["type"] == "alive");
    let alive: Vec<_> = alive.collect();
    ensure!(alive.len() >= 2, "{recorded}");
    for line in alive {
        let text = line["cause_text"].as_str().unwrap_or_default();
        ensure!(
            line["pid"] == dying.pid
                && line["cause"] == "leader-with-threads"
                && text.contains("(worker)"),
            "{line:#}"
        );
    }
    let summary = written.last().ok_or("no summary")?;
    ensure!(summary["alive"] == 0, "{summary:#}");
    let path = recording(&run.output)?;
    let report = zombie_trace(&["report", &path])?;
    ensure!(
        report.contains("its main thread has ended, but 1 thread lives on (worker)")
            && report.contains("complete: nothing was lost"),
        "{report}"
    );
    let mut text = Tracer::new(["-P", &dying.parent(), "--alive-after", "1s"])
        .into_file("out")
        .start()?;
    let says = "leader-with-threads: its main thread has ended";
    text.wait_output(says, |bytes| unwrapped(bytes).contains(says))?;
    text.stop()?.expect_code(0)?;
    Ok(())
}

/// A run and `ps` about others say nothing.
fn in_scope() -> Outcome {
    let dying = Dying::start("killed")?;
    let other = std::process::id().to_string();
    for scope in [
        ["-P", &other],
        ["-p", &other],
        ["--tree", &dying.pid.to_string()],
    ] {
        let ps = zombie_trace(&["ps", "--json", scope[0], scope[1]])?;
        ensure!(ps.is_empty(), "ps {scope:?}: {ps}");
        let run = Tracer::json(scope).args(["-d", "3s"]).start()?.finish()?;
        let recorded = String::from_utf8_lossy(&run.output).into_owned();
        ensure!(!recorded.contains(r#""type":"dying""#), "{recorded}");
    }
    let tree = ["--tree", &dying.parent()];
    let mut tracer = Tracer::json(tree).start()?;
    tracer.wait_line("a dying line", |line| line["type"] == "dying")?;
    let run = tracer.stop()?;
    let filtered = Tracer::json(["-n", "other", "-P", &dying.parent(), "-d", "3s"]);
    let filtered = filtered.start()?.finish()?;
    let recorded = String::from_utf8_lossy(&filtered.output).into_owned();
    ensure!(!recorded.contains(r#""type":"dying""#), "{recorded}");
    run.expect_code(0)?;
    Ok(())
}

/// `serve` has it as a gauge.
fn counted() -> Outcome {
    let dying = Dying::start("thread")?;
    let mut serve = Command::new(context::zombie_trace())
        .args(["serve", "--listen", "127.0.0.1:0", "-P", &dying.parent()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("serve: {error}"))?;
    let found = scrape_until(&mut serve, "zombie_trace_dying 1.0");
    let _ = serve.kill();
    let _ = serve.wait();
    found
}

fn scrape_until(serve: &mut Child, wanted: &str) -> Outcome {
    let stderr = serve.stderr.take().expect("piped");
    let mut address = None;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("http://") {
            address = rest.split('/').next().map(str::to_owned);
            break;
        }
    }
    let address = address.ok_or("serve does not say where it listens")?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut page = String::new();
        let read = std::net::TcpStream::connect(&address).and_then(|mut stream| {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut page)
        });
        if page.lines().any(|line| line == wanted) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{read:?}: {page}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn zombie_trace(args: &[&str]) -> Result<String, String> {
    let output = Command::new(context::zombie_trace())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{args:?}: {error}"))?;
    ensure!(output.status.success(), "{args:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Text in one line, whatever it was wrapped to.
fn unwrapped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A file with this content.
fn recording(bytes: &[u8]) -> Result<String, String> {
    let path = context::fresh_path("recording.jsonl");
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_string_lossy().into_owned())
}

fn lines(text: &str) -> Result<Vec<Value>, String> {
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
        .collect()
}
