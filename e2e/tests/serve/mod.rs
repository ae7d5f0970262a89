//! Figures for monitoring systems.

mod client;
mod collectors;
mod confinement;
mod deploy;
mod engine;
mod fleet;
mod hostile;
mod image;
mod otlp;
mod systemd;

use std::{
    cell::RefCell,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use zombie_trace_e2e::LoadResult;

use crate::{
    Outcome, Test, backend, context, ensure, privilege, time_namespace,
    tracer::{Running, Tracer},
};
use client::{Scrape, await_figures, get, scrape};
use engine::Engine;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("serve::figures", || figures(serve(&[])).map(drop)),
        Test::new("serve::pages", pages),
        Test::new("serve::gives-privileges-up", gives_privileges_up),
        Test::new("serve::gives-capabilities-up", gives_capabilities_up),
        Test::new("serve::max-series", max_series),
        Test::new("serve::zombie-seconds", zombie_seconds),
        Test::new("serve::time-namespace", in_time_namespace)
            .unless(time_namespace::cannot_unshare()),
        Test::new("serve::filters-are-refused", filters_are_refused),
        Test::new("serve::wrong-addresses", wrong_addresses),
        Test::new("serve::prometheus", prometheus)
            .long(engine::LONG)
            .unless(engine::no_prometheus()),
    ];
    tests.extend(collectors::tests());
    tests.extend(confinement::tests());
    tests.extend(deploy::tests());
    tests.extend(fleet::tests());
    tests.extend(hostile::tests());
    tests.extend(image::tests());
    tests.extend(otlp::tests());
    tests.extend(systemd::tests());
    tests
        .into_iter()
        .map(|test| test.unless(backend::forced()))
        .collect()
}

/// A tracer of all that these tests start, which serves on a port of its own.
fn serve(options: &[&str]) -> Tracer {
    let ourselves = std::process::id().to_string();
    Tracer::new(["serve", "--listen", "127.0.0.1:0", "--tree", &ourselves]).args(options)
}

/// Starts it, and gives where it serves.
fn start(tracer: Tracer) -> Result<(Running, SocketAddr), String> {
    let mut running = tracer.start()?;
    let line = running.wait_stderr_line("serving http://")?;
    let address = line
        .strip_suffix("/metrics")
        .and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| format!("no address: {line}"))?;
    Ok((running, address))
}

/// Runs the load generator; gives how many processes it made.
fn load(args: &[&str]) -> Result<u64, String> {
    let output = Command::new(context::load())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("load: {error}"))?;
    let result = LoadResult::parse(&String::from_utf8_lossy(&output.stdout));
    result
        .map(|result| result.processes)
        .ok_or_else(|| format!("load: {output:?}"))
}

/// Zombies that are kept until this is dropped.
pub(crate) struct Held(Child);

impl Held {
    pub(crate) fn start(count: u64) -> Result<Self, String> {
        let mut command = Command::new(context::load());
        command.args(["held", "--count", &count.to_string()]);
        Self::by(command)
    }

    /// By what runs `load held`.
    fn by(mut command: Command) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("load: {error}"))?;
        let mut said = [0; 5];
        let stdout = child.stdout.as_mut().expect("piped");
        stdout
            .read_exact(&mut said)
            .map_err(|error| format!("load held: {error}"))?;
        Ok(Self(child))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

const REAPED: &str = "zombie_trace_reaped_total";
const ZOMBIES: &str = "zombie_trace_zombies";
const BY_LOAD: &str = "parent=\"load\"";

/// The same figures, whichever way the kernel tells of them.
pub(crate) fn figures_by(backend: &'static str) -> Outcome {
    let figures = figures(serve(&["--backend", backend]))?;
    let label = format!("backend=\"{backend}\"");
    let told = figures.sum("zombie_trace_build_info", &label);
    ensure!(told == 1.0, "not by {backend}: {}", figures.0);
    Ok(())
}

/// What is, what was there before, and what has been.
fn figures(tracer: Tracer) -> Result<Scrape, String> {
    let begun = Instant::now();
    let before = Held::start(3)?;
    let (mut tracer, address) = start(tracer)?;
    let made = load(&["burst", "--size", "50", "--count", "500"])?;
    let held = Held::start(4)?;
    let figures = await_figures(address, "500 reaped and 7 zombies", |figures| {
        figures.sum(REAPED, BY_LOAD) == made as f64 && figures.sum(ZOMBIES, BY_LOAD) == 7.0
    })?;
    let histogram = "zombie_trace_zombie_duration_seconds";
    let count = figures.sum(&format!("{histogram}_count"), BY_LOAD);
    let infinite = figures.sum(&format!("{histogram}_bucket"), "le=\"+Inf\"");
    let all = figures.sum(&format!("{histogram}_count"), "");
    ensure!(count == made as f64 && infinite == all, "{}", figures.0);
    let sum = figures.sum(&format!("{histogram}_sum"), BY_LOAD);
    ensure!(sum > 0.0 && sum < made as f64, "{sum} s in all");
    let oldest = figures.sum("zombie_trace_oldest_zombie_seconds", BY_LOAD);
    let passed = begun.elapsed().as_secs_f64();
    ensure!(
        oldest > 0.0 && oldest <= passed,
        "the oldest has {oldest} s after {passed} s"
    );
    ensure!(figures.lost() == 0.0, "{}", figures.0);
    let pids = figures.sum("zombie_trace_pids", "");
    let max = figures.sum("zombie_trace_pids_max", "");
    ensure!(pids > 7.0 && pids < max, "{pids} of {max} pids");
    // No right to read what they wait for is left, but the kernel side knows that they don't.
    const NEVER_WAITS: &str = r#"parent="load",container="",cause="never-waits""#;
    await_figures(address, "7 zombies with a cause", |figures| {
        figures.sum("zombie_trace_zombies_by_cause", NEVER_WAITS) == 7.0
    })?;
    drop((before, held));
    await_figures(address, "no zombie any more", |figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 0.0
            && figures.sum(REAPED, BY_LOAD) == (made + 7) as f64
            && figures.sum("zombie_trace_oldest_zombie_seconds", BY_LOAD) == 0.0
    })?;
    tracer.signal(libc::SIGTERM);
    let run = tracer.finish()?;
    run.expect_code(0)?;
    ensure!(run.stdout.is_empty(), "{:?}", run.stdout);
    Ok(figures)
}

/// Formats, health, and what the linter of Prometheus says.
fn pages() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    load(&["serial", "--count", "20"])?;
    let figures = await_figures(address, "20 reaped", |figures| {
        figures.sum(REAPED, BY_LOAD) == 20.0
    })?;
    let open = get(
        address,
        "/metrics",
        "application/openmetrics-text;version=1.0.0",
    )?;
    ensure!(
        open.head
            .contains("content-type: application/openmetrics-text; version=1.0.0")
            && open.body.ends_with("\n# EOF\n"),
        "no OpenMetrics: {}",
        open.head
    );
    let plain = get(address, "/metrics", "*/*")?;
    ensure!(
        plain
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        plain.head
    );
    for (path, status) in [("/healthz", 200), ("/", 200), ("/nothing", 404)] {
        let answer = get(address, path, "*/*")?;
        ensure!(answer.status() == status, "{path}: {}", answer.head);
    }
    tracer.stop()?.expect_code(0)?;
    let Some(promtool) = engine::promtool() else {
        return Ok(());
    };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("promtool: {error}"))?;
    let mut stdin = check.stdin.take().expect("piped");
    stdin
        .write_all(figures.0.as_bytes())
        .map_err(|error| format!("promtool: {error}"))?;
    drop(stdin);
    let output = check
        .wait_with_output()
        .map_err(|error| format!("promtool: {error}"))?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "promtool check metrics: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Root becomes a user that nobody else is.
fn gives_privileges_up() -> Outcome {
    let own = confinement::own_user();
    traces_without_privileges(serve(&[]), |id| own.contains(&id))
}

/// A service's user has nothing but what the hooks need, and not even that afterwards.
fn gives_capabilities_up() -> Outcome {
    let mut set = 1 << privilege::BPF | 1 << privilege::PERFMON | 1 << privilege::DAC_READ_SEARCH;
    if !context::kernel_is_at_least(5, 11) {
        set |= 1 << privilege::SYS_RESOURCE;
    }
    let tracer = serve(&[]).with(|command| privilege::only(command, set));
    traces_without_privileges(tracer, |id| id == privilege::NOBODY)
}

/// The capabilities that it keeps, as in /proc/PID/status: of kernels that can't do without.
fn capabilities_kept() -> String {
    let bpf = u64::from(!context::kernel_is_at_least(5, 19)) << privilege::BPF;
    format!("{bpf:016x}")
}

/// Threads of root's have become another user, those of a user are still its; none has a capability,
/// and yet it traces.
fn traces_without_privileges(tracer: Tracer, is_right: impl Fn(u32) -> bool) -> Outcome {
    let (tracer, address) = start(tracer)?;
    let tasks = format!("/proc/{}/task", tracer.pid());
    // A thread that loaded programs can take a moment to end after all its work is done.
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = without_privileges(&tasks, &is_right) {
        ensure!(Instant::now() < deadline, "{error}");
        thread::sleep(Duration::from_millis(50));
    }
    let held = Held::start(2)?;
    await_figures(address, "2 zombies", |figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 2.0
    })?;
    drop(held);
    await_figures(address, "2 reaped", |figures| {
        figures.sum(REAPED, BY_LOAD) == 2.0
    })?;
    tracer.stop()?.expect_code(0).map(drop)
}

/// Each of these threads has the right user and no capability.
fn without_privileges(tasks: &str, is_right: &impl Fn(u32) -> bool) -> Outcome {
    let tasks = fs::read_dir(tasks).map_err(|error| format!("{tasks}: {error}"))?;
    let kept = capabilities_kept();
    let none = format!("{:016x}", 0);
    let mut threads = 0;
    for task in tasks.flatten() {
        let status = fs::read_to_string(task.path().join("status"));
        let status = status.map_err(|error| format!("{}: {error}", task.path().display()))?;
        for (field, expected) in [
            ("Groups:", String::new()),
            ("CapInh:", none.clone()),
            ("CapPrm:", kept.clone()),
            ("CapEff:", kept.clone()),
            ("CapAmb:", none.clone()),
            ("NoNewPrivs:", "1".to_owned()),
            // SECCOMP_MODE_FILTER
            ("Seccomp:", "2".to_owned()),
        ] {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
            ensure!(words.join(" ") == expected, "{field} {words:?}");
        }
        for field in ["Uid:", "Gid:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let mut ids = line.unwrap_or_default().split_whitespace();
            ensure!(
                ids.all(|id| id.parse().is_ok_and(is_right)),
                "{field} {line:?}"
            );
        }
        threads += 1;
    }
    // The main thread, that of the signals and the exporter.
    ensure!(threads >= 3, "only {threads} threads");
    Ok(())
}

const OTHER: &str = "parent=\"other (";
const SECONDS: &str = "zombie_trace_zombie_seconds_total";

/// Zombie time grows while zombies live, does not shrink when they are reaped, and is the sum of all
/// durations once none is left. What was before the start is no part of it.
fn zombie_seconds() -> Outcome {
    let early = Held::start(3)?;
    thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    let (tracer, address) = start(serve(&[]))?;
    let held = Held::start(4)?;
    let seen = RefCell::new(vec![0.0]);
    let see = |expected: &str, holds: &dyn Fn(&Scrape) -> bool| {
        let figures = await_figures(address, expected, |figures| {
            seen.borrow_mut().push(figures.sum(SECONDS, BY_LOAD));
            holds(figures)
        })?;
        let seen = seen.borrow();
        ensure!(seen.is_sorted(), "it shrinks: {seen:?}");
        Ok(figures)
    };
    // 7 zombies of 1 s are 7 s.
    let figures = see("7 living for 3 s in all", &|figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 7.0 && figures.sum(SECONDS, BY_LOAD) > 3.0
    })?;
    let least = figures.sum(SECONDS, BY_LOAD);
    see("it grows without a reap", &|figures| {
        figures.sum(SECONDS, BY_LOAD) > least + 3.0
    })?;
    drop(held);
    see("4 reaped", &|figures| {
        figures.sum(REAPED, BY_LOAD) == 4.0 && figures.sum(ZOMBIES, BY_LOAD) == 3.0
    })?;
    drop(early);
    let figures = see("no zombie", &|figures| {
        figures.sum(REAPED, BY_LOAD) == 7.0 && figures.sum(ZOMBIES, BY_LOAD) == 0.0
    })?;
    let (seconds, passed) = (
        figures.sum(SECONDS, BY_LOAD),
        started.elapsed().as_secs_f64(),
    );
    let lasted = figures.sum("zombie_trace_zombie_duration_seconds_sum", BY_LOAD);
    // The pre-existing ones were zombies for 2 s before: that is in their durations only.
    ensure!(
        seconds < 7.0 * passed && seconds < lasted - 5.0,
        "{seconds} s of zombie time, {lasted} s of durations, after {passed} s"
    );
    tracer.stop()?.expect_code(0).map(drop)
}

/// Its clocks are not those of the kernel's own times.
fn in_time_namespace() -> Outcome {
    let held = Held::start(2)?;
    let tracer = serve(&[]).wrapped(time_namespace::wrapper());
    let (tracer, address) = start(tracer)?;
    let figures = await_figures(address, "2 zombies", |figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 2.0
            && figures.sum("zombie_trace_oldest_zombie_seconds", BY_LOAD) > 0.0
    })?;
    drop(held);
    let last = await_figures(address, "2 reaped", |figures| {
        figures.sum(REAPED, BY_LOAD) == 2.0
    })?;
    for (figures, name) in [
        (&figures, "zombie_trace_oldest_zombie_seconds"),
        (&last, SECONDS),
        (&last, "zombie_trace_zombie_duration_seconds_sum"),
    ] {
        let seconds = figures.sum(name, BY_LOAD);
        // The namespace's clocks are ahead by 50,000 s.
        ensure!((0.0..1000.0).contains(&seconds), "{name}: {seconds} s");
    }
    // unshare(1) ignores it, and waits for its child.
    let path = format!("/proc/{0}/task/{0}/children", tracer.pid());
    let child = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let child = child
        .trim()
        .parse()
        .map_err(|_| format!("{path}: {child}"))?;
    // SAFETY: no pointers; nobody but unshare reaps it, once it has ended.
    unsafe { libc::kill(child, libc::SIGTERM) };
    tracer.finish()?.expect_code(0).map(drop)
}

/// They would change nothing.
fn filters_are_refused() -> Outcome {
    for filter in [&["-m", "1ms"][..], &["--parent-comm", "sh"], &["-x"]] {
        let run = serve(filter).run()?;
        run.expect_code(2)?;
        ensure!(
            run.stderr.contains("narrow the scope"),
            "{filter:?}: {}",
            run.stderr
        );
    }
    Ok(())
}

/// Three parents and this test itself, which is the parent of all three, and three series.
fn max_series() -> Outcome {
    let (tracer, address) = start(serve(&["--max-series", "3"]))?;
    for name in ["load-a", "load-b", "load-c"] {
        let program = context::fresh_path("renamed");
        fs::create_dir(&program)
            .and_then(|()| fs::copy(context::load(), program.join(name)).map(drop))
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let status = Command::new(program.join(name))
            .args(["serial", "--count", "10"])
            .stdout(Stdio::null())
            .status();
        ensure!(status.is_ok_and(|status| status.success()), "{name} failed");
    }
    let figures = await_figures(address, "30 reaped", |figures| {
        figures.sum(REAPED, "load-") + figures.sum(REAPED, OTHER) == 30.0
    })?;
    for (parent, reaped) in [
        ("load-a", 10.0),
        ("load-b", 10.0),
        ("load-c", 0.0),
        ("other (--max-series)", 10.0),
    ] {
        let label = format!("parent=\"{parent}\"");
        ensure!(
            figures.sum(REAPED, &label) == reaped,
            "{parent}: {}",
            figures.0
        );
    }
    let overflow = figures.sum("zombie_trace_series_overflow_total", "");
    ensure!(overflow == 10.0, "an overflow of {overflow}");
    tracer.stop()?.expect_code(0).map(drop)
}

fn wrong_addresses() -> Outcome {
    let run = Tracer::new(["serve", "--listen", "localhost:9816"]).run()?;
    run.expect_code(2)?;
    ensure!(
        run.stderr.contains("--listen") && run.stderr.contains("127.0.0.1:9816"),
        "{}",
        run.stderr
    );
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let taken_at = taken
        .local_addr()
        .map_err(|error| error.to_string())?
        .to_string();
    let run = Tracer::new(["serve", "--listen", &taken_at]).run()?;
    run.expect_code(1)?;
    ensure!(run.stderr.contains(&taken_at), "{}", run.stderr);
    Ok(())
}

/// A real Prometheus scrapes during a storm, and what it answers is the storm's own truth.
fn prometheus() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let engine = Engine::prometheus(address)?;
    engine.await_value("up{job=\"zombies\"}", 1.0)?;
    let held = Held::start(5)?;
    let made = load(&[
        "serial",
        "--spawn",
        "vfork",
        "--seconds",
        "3",
        "--rate",
        "8000",
    ])? as f64;
    for (promql, expected) in [
        ("sum(zombie_trace_reaped_total{parent=\"load\"})", made),
        (
            "sum(zombie_trace_zombie_duration_seconds_count{parent=\"load\"})",
            made,
        ),
        (
            "sum(zombie_trace_zombie_duration_seconds_bucket{parent=\"load\",le=\"+Inf\"})",
            made,
        ),
        ("sum(zombie_trace_zombies{parent=\"load\"})", 5.0),
        (
            "sum(zombie_trace_zombie_seconds_total{parent=\"load\"}) > bool 5",
            1.0,
        ),
        ("sum(zombie_trace_lost_total)", 0.0),
        ("count(zombie_trace_build_info)", 1.0),
    ] {
        engine.await_value(promql, expected)?;
    }
    let p99 = "histogram_quantile(0.99, sum by (le) \
               (rate(zombie_trace_zombie_duration_seconds_bucket{parent=\"load\"}[30s])))";
    let answer = engine.query(p99)?;
    let [(_, p99)] = answer[..] else {
        return Err(format!("p99 is {answer:?}"));
    };
    ensure!(p99 > 0.0 && p99 < 1.0, "p99 is {p99} s");
    deploy::dashboard(&engine)?;
    let failed = engine.query("sum(count_over_time((up == 0)[1m:250ms]))")?;
    ensure!(failed.is_empty(), "scrapes failed: {failed:?}");
    drop(held);
    engine.await_value("sum(zombie_trace_zombies{parent=\"load\"})", 0.0)?;
    let figures = scrape(address)?;
    ensure!(figures.lost() == 0.0, "{}", figures.0);
    tracer.stop()?.expect_code(0).map(drop)
}
