//! Clients that are slow, or mean no good.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{BY_LOAD, REAPED, client, load, scrape, serve, start};
use crate::{Outcome, Test, ensure};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("serve::hostile-clients", hostile_clients),
        Test::new("serve::slow-clients-in-a-storm", slow_clients_in_a_storm),
    ]
}

/// As many connections as are served at a time, and some.
const CONNECTIONS: usize = 80;

/// Each is refused or cut off, and the next client served.
fn hostile_clients() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let padding = "x".repeat(9000);
    for (request, status) in [
        (
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {padding}\r\n\r\n"),
            431,
        ),
        (format!("GET /{padding} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nxxx"
                .to_owned(),
            405,
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
            405,
        ),
        ("\u{16}\u{3}\u{1} no HTTP at all\r\n\r\n".to_owned(), 400),
    ] {
        let answer = client::send(address, request.as_bytes())?;
        let line = request.get(..20).unwrap_or_default();
        // Whether a line is too long or its header is up to the parser.
        let refused = answer.status() == status || (status == 414 && answer.status() == 431);
        ensure!(refused, "{line:?}: {}", answer.head);
    }
    let before = descriptors(tracer.pid())?;
    let begin = Instant::now();
    let mut slow = Vec::new();
    for half in [&b""[..], b"G", b"GET /metrics HTTP/1.1\r\nHost:"] {
        for _ in 0..CONNECTIONS / 3 {
            slow.push(open(address, half)?);
        }
    }
    // Behind all of them in the queue.
    scrape(address)?;
    let waited = begin.elapsed();
    ensure!(waited < Duration::from_secs(12), "a scrape took {waited:?}");
    let open = descriptors(tracer.pid())?;
    ensure!(open <= before + 65, "{open} descriptors, {before} before");
    drop(slow);
    tracer.stop()?.expect_code(0).map(drop)
}

/// They ask and do not read, or drop by drop: nothing of a storm is lost for them.
fn slow_clients_in_a_storm() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut slow = Vec::new();
    for _ in 0..50 {
        // Many answers, of which none is read: its buffer fills up.
        slow.push(open(address, &request.repeat(20))?);
    }
    let made = load(&[
        "serial",
        "--spawn",
        "vfork",
        "--workers",
        "2",
        "--seconds",
        "4",
    ])? as f64;
    let figures = client::await_figures(address, "all of the storm", |figures| {
        // The workers are children of `load` too.
        figures.sum(REAPED, BY_LOAD) == made
    })?;
    ensure!(figures.lost() == 0.0, "{}", figures.0);
    let rate = made / 4.0;
    println!("    {rate:.0} processes a second");
    drop(slow);
    tracer.stop()?.expect_code(0).map(drop)
}

fn open(address: SocketAddr, bytes: &[u8]) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
    stream
        .write_all(bytes)
        .map_err(|error| format!("{address}: {error}"))?;
    Ok(stream)
}

fn descriptors(pid: u32) -> Result<usize, String> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(entries.count())
}
