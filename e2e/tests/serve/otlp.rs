//! Pushing to what speaks OTLP.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{
    BY_LOAD, Held, REAPED, client,
    engine::{self, Engine},
    load, serve, start,
};
use crate::{Outcome, Test, ensure};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("serve::otlp-victoria", into_victoria)
            .long(engine::LONG)
            .unless(engine::no_victoria()),
        Test::new(
            "serve::otlp-victoria-exponential",
            exponential_into_victoria,
        )
        .long(engine::LONG)
        .unless(engine::no_victoria()),
        Test::new("serve::otlp-prometheus", into_prometheus)
            .long(engine::LONG)
            .unless(engine::no_prometheus_by_agent()),
        Test::new("serve::otlp-retries", retries),
        Test::new("serve::otlp-nobody-there", nobody_there),
        Test::new("serve::otlp-wrong-settings", wrong_settings),
    ]
}

fn into_victoria() -> Outcome {
    let engine = Engine::victoria()?;
    pushed(engine.address(), &engine)
}

/// It keeps buckets of its own for them, whose quantiles lie in the range of the durations.
fn exponential_into_victoria() -> Outcome {
    let engine = Engine::victoria()?;
    let url = format!("http://{}/opentelemetry", engine.address());
    let tracer = serve(&["--otlp", &url]).with(|command| {
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "300").env(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        );
    });
    let (tracer, address) = start(tracer)?;
    let held = Held::start(6)?;
    client::await_figures(address, "6 zombies of 1 s", |figures| {
        figures.sum("zombie_trace_zombie_seconds_total", BY_LOAD) > 6.0
    })?;
    drop(held);
    let count = "sum(zombie_trace_zombie_duration_seconds_count{parent=\"load\"})";
    engine.await_value(count, 6.0)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(!run.stderr.contains("warning"), "{}", run.stderr);
    let buckets = "sum(zombie_trace_zombie_duration_seconds_bucket{parent=\"load\"}) by (vmrange)";
    let ranges = engine.query(buckets)?;
    let all: f64 = ranges.iter().map(|(_, value)| value).sum();
    ensure!(all == 6.0, "buckets of 6 zombies: {ranges:?}");
    let median = "histogram_quantile(0.5, \
                  sum(zombie_trace_zombie_duration_seconds_bucket{parent=\"load\"}) by (vmrange))";
    let answer = engine.query(median)?;
    let [(_, median)] = answer[..] else {
        return Err(format!("the median is {answer:?}"));
    };
    let sum = "sum(zombie_trace_zombie_duration_seconds_sum{parent=\"load\"})";
    let answer = engine.query(sum)?;
    let [(_, sum)] = answer[..] else {
        return Err(format!("the sum is {answer:?}"));
    };
    // A bucket is 9 % wide, and all six were zombies at the same time.
    ensure!(
        (0.8..1.25).contains(&(median / (sum / 6.0))),
        "a median of {median} s, a mean of {} s",
        sum / 6.0
    );
    Ok(())
}

/// Debian builds Prometheus without the receiver of OTLP: an agent is before it, as is a collector
/// elsewhere.
fn into_prometheus() -> Outcome {
    let engine = Engine::written_prometheus()?;
    let agent = Engine::agent(&engine)?;
    pushed(agent.address(), &engine)
        .map_err(|error| format!("{error}\nthe agent: {}", agent.said()))?;
    ensure!(agent.said().is_empty(), "the agent: {}", agent.said());
    ensure!(engine.said().is_empty(), "Prometheus: {}", engine.said());
    Ok(())
}

/// A real engine has all of it after the end, by what a real receiver takes.
fn pushed(receiver: SocketAddr, engine: &Engine) -> Outcome {
    let url = format!("http://{receiver}/opentelemetry");
    let tracer = serve(&["--otlp", &url]).with(|command| {
        command
            .env("OTEL_METRIC_EXPORT_INTERVAL", "300")
            .env("OTEL_SERVICE_NAME", "zombies")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=here");
    });
    let (tracer, _) = start(tracer)?;
    let held = Held::start(6)?;
    let made = load(&[
        "serial",
        "--spawn",
        "vfork",
        "--seconds",
        "2",
        "--rate",
        "8000",
    ])? as f64;
    let of = |name: &str| {
        format!(
            "sum({name}{{parent=\"load\",service_name=\"zombies\",service_instance_id=\"here\"}})"
        )
    };
    engine.await_value(&of("zombie_trace_zombies"), 6.0)?;
    engine.await_value(&of("zombie_trace_reaped_total"), made)?;
    drop(held);
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(!run.stderr.contains("warning"), "{}", run.stderr);
    // The last push tells of what happened since the one before.
    for (promql, expected) in [
        (of("zombie_trace_reaped_total"), made + 6.0),
        (of("zombie_trace_zombie_duration_seconds_count"), made + 6.0),
        (of("zombie_trace_zombies"), 0.0),
        ("sum(zombie_trace_lost_total)".to_owned(), 0.0),
        ("count(zombie_trace_build_info)".to_owned(), 1.0),
    ] {
        engine.await_value(&promql, expected)?;
    }
    Ok(())
}

/// One that is busy at first is asked again soon, with what the environment says.
fn retries() -> Outcome {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let requests = thread::spawn(move || {
        let answers = ["503 Service Unavailable", "200 OK"];
        answers.map(|status| answer(&listener, status))
    });
    let tracer = serve(&["--otlp"]).with(|command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=a%20b")
            // Not the next regular one.
            .env("OTEL_METRIC_EXPORT_INTERVAL", "3000");
    });
    let (mut tracer, _) = start(tracer)?;
    let [first, second] = requests.join().map_err(|_| "the receiver panicked")?;
    let (first, second) = (first?, second?);
    let between = second.0.duration_since(first.0);
    // A second less up to a half.
    ensure!(
        between > Duration::from_millis(300),
        "retried after {between:?}"
    );
    for header in [
        "POST /v1/metrics ",
        "x-scope: a b",
        "content-type: application/x-protobuf",
    ] {
        ensure!(second.1.contains(header), "no {header:?}: {}", second.1);
    }
    tracer.wait_stderr_line("zombie-trace: http")?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(
        run.stderr.contains("503 Service Unavailable; trying on"),
        "{}",
        run.stderr
    );
    Ok(())
}

/// Takes a request; gives when it came and its head.
pub(super) fn answer(listener: &TcpListener, status: &str) -> Result<(Instant, String), String> {
    let said = |error: std::io::Error| error.to_string();
    listener.set_nonblocking(true).map_err(said)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut stream: TcpStream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(said(error)),
        }
    };
    let when = Instant::now();
    stream.set_nonblocking(false).map_err(said)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(said)?;
    let mut request = Vec::new();
    let mut piece = [0; 65536];
    let head = loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if request.len() >= head.len() + 4 + length {
                break head.to_owned();
            }
        }
        match stream.read(&mut piece).map_err(said)? {
            0 => return Err("the request ends early".to_owned()),
            len => request.extend_from_slice(&piece[..len]),
        }
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").map_err(said)?;
    Ok((when, head))
}

/// Tracing and serving go on, and one warning is enough.
fn nobody_there() -> Outcome {
    let url = format!("http://{}", engine::free_address()?);
    let tracer = serve(&["--otlp", &url]).with(|command| {
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "200");
    });
    let (mut tracer, address) = start(tracer)?;
    tracer.wait_stderr_line("zombie-trace: warning: ")?;
    let made = load(&["serial", "--count", "5000"])? as f64;
    client::await_figures(address, "all of them", |figures| {
        figures.sum(REAPED, BY_LOAD) == made
    })?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(run.stderr.matches("warning").count() == 1, "{}", run.stderr);
    Ok(())
}

fn wrong_settings() -> Outcome {
    let run = serve(&["--otlp", "https://localhost:4318"]).run()?;
    run.expect_code(2)?;
    ensure!(
        run.stderr.contains("--otlp") && run.stderr.contains("https"),
        "{}",
        run.stderr
    );
    let run = serve(&["--otlp"])
        .with(|command| {
            command.env("OTEL_METRIC_EXPORT_INTERVAL", "60s");
        })
        .run()?;
    run.expect_code(1)?;
    ensure!(
        run.stderr.contains("OTEL_METRIC_EXPORT_INTERVAL"),
        "{}",
        run.stderr
    );
    Ok(())
}
