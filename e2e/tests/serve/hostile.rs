//! Clients that are slow, or mean no good.

use std::{
    fs,
    io::{self, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{BY_LOAD, REAPED, client, collectors::takes_little_memory, load, scrape, serve, start};
use crate::{Outcome, Test, context, ensure, puppet::Puppet, scope::remove_cgroups};

pub(super) fn tests() -> Vec<Test> {
    let emulated = context::is_emulated().then(|| "an emulator is too slow for it".to_owned());
    let no_cgroup = context::cgroup2_mount().map_or(Some("no cgroup v2 mount".into()), |_| None);
    vec![
        Test::new("serve::hostile-clients", hostile_clients),
        Test::new("serve::mutated-requests", mutated_requests),
        Test::new("serve::keep-alive-clients", keep_alive_clients),
        Test::new("serve::foreign-host-names", foreign_host_names),
        Test::new("serve::hostile-names", hostile_names),
        Test::new("serve::slow-clients-in-a-storm", slow_clients_in_a_storm),
        Test::new("serve::flood-of-cgroups", flood_of_cgroups)
            .unless(no_cgroup)
            .unless(emulated),
    ]
}

/// More connections than are served at a time.
fn connections() -> usize {
    if context::is_long() { 900 } else { 80 }
}

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
    let mut slow = Vec::new();
    for half in [&b""[..], b"G", b"GET /metrics HTTP/1.1\r\nHost:"] {
        for _ in 0..connections() / 3 {
            slow.push(open(address, half)?);
        }
    }
    // Behind all of them in the queue, and answered within the client's limit.
    scrape(address)?;
    // Those that were refused are closed as soon as they have been told.
    let patience = Instant::now() + Duration::from_secs(60);
    let mut open = descriptors(tracer.pid())?;
    while open > before + 65 && Instant::now() < patience {
        thread::sleep(Duration::from_millis(50));
        open = descriptors(tracer.pid())?;
    }
    ensure!(open <= before + 65, "{open} descriptors, {before} before");
    drop(slow);
    takes_little_memory(tracer.pid())?;
    tracer.stop()?.expect_code(0).map(drop)
}

/// What the requests of the next test are made of.
const REQUESTS: [&str; 4] = [
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;q=0.5, */*;q=0.1\r\n\r\n",
    "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    "POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nabcde\r\n0\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
];

/// Whatever bytes a client sends: it gets an answer or an end, and the next client the figures.
fn mutated_requests() -> Outcome {
    let count = if context::is_long() { 10_000 } else { 300 };
    let (tracer, address) = start(serve(&[]))?;
    for seed in 0..count {
        let bytes = mutated(&mut fastrand::Rng::with_seed(seed));
        let said = |error: io::Error| format!("seed {seed}: {error}");
        let mut stream = TcpStream::connect(address).map_err(said)?;
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).map_err(said)?;
        // It may have closed the connection by now.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        match io::copy(&mut stream, &mut io::sink()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(format!("seed {seed}: no answer to {bytes:?}"));
            }
            _ => {}
        }
        if seed % 100 == 0 {
            scrape(address)?;
        }
    }
    scrape(address)?;
    takes_little_memory(tracer.pid())?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    match run.stderr.contains("panicked") {
        true => run.fail("a thread panicked"),
        false => Ok(()),
    }
}

fn mutated(random: &mut fastrand::Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 10] = [
        b"\r\n",
        b"\r\n\r\n",
        b": ",
        b"\0",
        b"\xff\xfe",
        b"18446744073709551616",
        b"-1",
        b"HTTP/1.1",
        b"Host: [::1]:99999999\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ];
    let mut bytes = Vec::new();
    // Some clients send several at once.
    for _ in 0..random.usize(1..4) {
        let request = random.choice(REQUESTS).expect("there are some");
        bytes.extend(request.as_bytes());
    }
    for _ in 0..random.usize(1..12) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            2 => {
                let to = (at + random.usize(1..20)).min(bytes.len());
                bytes.drain(at..to);
            }
            3 => {
                let piece = random.choice(PIECES).expect("there are some");
                let times = if random.u8(..8) == 0 { 2000 } else { 1 };
                bytes.splice(at..at, piece.repeat(times));
            }
            _ => {
                let new: Vec<u8> = (0..random.usize(1..20)).map(|_| random.u8(..)).collect();
                bytes.splice(at..at, new);
            }
        }
    }
    bytes
}

/// As many as there are places ask again and again, and keep their connections: others are answered.
fn keep_alive_clients() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..connections() {
        clients.push(open(address, request)?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let keeping = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for client in &mut clients {
                    let _ = client.write_all(request);
                }
                thread::sleep(Duration::from_millis(500));
            }
        })
    };
    let scraped = (0..5).try_for_each(|_| scrape(address).map(drop));
    stop.store(true, Ordering::Relaxed);
    keeping.join().map_err(|_| "the clients panicked")?;
    scraped?;
    takes_little_memory(tracer.pid())?;
    tracer.stop()?.expect_code(0).map(drop)
}

/// A page of another site cannot read what is served to this machine alone (DNS rebinding).
fn foreign_host_names() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let port = address.port();
    for (host, status) in [
        (format!("rebound.example:{port}"), 403),
        ("rebound.example".to_owned(), 403),
        (format!("10.0.0.1:{port}"), 403),
        (format!("localhost:{port}"), 200),
        (address.to_string(), 200),
    ] {
        for path in ["/", "/metrics", "/healthz"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let answer = client::send(address, request.as_bytes())?;
            ensure!(answer.status() == status, "{host}{path}: {}", answer.head);
            ensure!(
                answer.head.contains("x-content-type-options: nosniff"),
                "{}",
                answer.head
            );
        }
    }
    tracer.stop()?.expect_code(0).map(drop)
}

/// Whatever a process is called, nobody's terminal obeys it.
fn hostile_names() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let directory = context::fresh_path("hostile");
    let program = directory.join("\x1b]0;pwn\x07\"\n\\");
    fs::create_dir(&directory)
        .and_then(|()| fs::copy(context::load(), &program).map(drop))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let status = Command::new(&program)
        .args(["serial", "--count", "10"])
        .stdout(Stdio::null())
        .status();
    ensure!(status.is_ok_and(|status| status.success()), "no load");
    // Once for the terminal, and once for the format.
    let label = r#"parent="\\x1b]0;pwn\\x07\"\\x0a\\""#;
    let figures = client::await_figures(address, "10 reaped", |figures| {
        figures.sum(REAPED, label) == 10.0
    })?;
    let control = |char: char| char.is_control() && char != '\n';
    ensure!(!figures.0.contains(control), "{:?}", figures.0);
    tracer.stop()?.expect_code(0).map(drop)
}

/// They ask and do not read, or drop by drop: nothing of a storm is lost for them.
fn slow_clients_in_a_storm() -> Outcome {
    let (tracer, address) = start(serve(&[]))?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
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
        // The ring buffer has room for all of them, even if nobody reads meanwhile.
        "--rate",
        "3500",
    ])? as f64;
    let figures = client::await_figures(address, "all of the storm", |figures| {
        // The workers are children of `load` too.
        figures.sum(REAPED, BY_LOAD) == made
    })?;
    ensure!(figures.lost() == 0.0, "{}", figures.0);
    let rate = made / 4.0;
    println!("    {rate:.0} processes a second");
    drop(slow);
    takes_little_memory(tracer.pid())?;
    tracer.stop()?.expect_code(0).map(drop)
}

/// A container that runs keeps its name, however many cgroups somebody else makes. By then `serve` may
/// not look cgroups up any more.
fn flood_of_cgroups() -> Outcome {
    let mount = context::cgroup2_mount().expect("probed");
    let top = mount.join(format!("zt-flood-{}", std::process::id()));
    let container = top.join(format!("docker-{CONTAINER}.scope"));
    let flood = top.join("flood");
    let outcome = flood_cgroups(&container, &flood);
    remove_cgroups(&[&container, &flood, &top]);
    outcome
}

const CONTAINER: &str = "c0ffee854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";

fn flood_cgroups(container: &Path, flood: &Path) -> Outcome {
    /// More than are remembered.
    const FLOOD: usize = 20_000;
    for directory in [container, flood] {
        fs::create_dir_all(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey(&format!("cgroup {}", container.display()))?;
    let (tracer, address) = start(serve(&[]))?;
    let label = format!("container=\"{}", &CONTAINER[..12]);
    for (name, count) in [("early", 1.0), ("late", 2.0)] {
        puppet.obey(&format!("zombie {name} 0"))?;
        puppet.obey(&format!("reap {name}"))?;
        client::await_figures(address, name, |figures| {
            figures.sum(REAPED, &label) == count
        })?;
        if name == "early" {
            for number in 0..FLOOD {
                let directory = flood.join(number.to_string());
                fs::create_dir(&directory)
                    .and_then(|()| fs::remove_dir(&directory))
                    .map_err(|error| format!("{}: {error}", directory.display()))?;
            }
        }
    }
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
