//! OTLP collectors that are broken, or mean no good.

use std::{
    fs, io,
    io::{Read as _, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, IntoRawFd as _},
    thread,
    time::Duration,
};

use super::{BY_LOAD, REAPED, client, load, serve, start};
use crate::{Outcome, Test, command::before_exec, context, ensure};

/// What a collector does once it has read a request's head. It may run for as long as it likes.
type Conduct = fn(TcpStream) -> io::Result<()>;

/// What is said of a collector that takes too long.
const NO_ANSWER: &str = "no answer within";

pub(super) fn tests() -> Vec<Test> {
    let collectors: [(&str, Conduct, &str); 14] = [
        ("never-answers", never_answers, NO_ANSWER),
        ("resets", resets, ""),
        ("slow-drip", slow_drip, NO_ANSWER),
        ("huge-headers", huge_headers, "cannot send"),
        ("huge-body", huge_body, "no answer"),
        ("redirects", redirects, "307"),
        ("busy-for-a-day", busy_for_a_day, "503"),
        ("wrong-type", wrong_type, "it answers in text/html"),
        ("partial-success", partial_success, r"9 figures: \x1b[2J"),
        ("tls", tls, "cannot send"),
        ("broken-chunks", broken_chunks, "no answer"),
        ("closes-early", closes_early, ""),
        ("continues", continues, NO_ANSWER),
        ("not-otlp", not_otlp, "its answer is not OTLP"),
    ];
    let mut tests: Vec<_> = collectors
        .into_iter()
        .map(|(name, conduct, said)| {
            let name = format!("serve::otlp-collector-{name}");
            Test::new(name, move || hostile(conduct, said))
        })
        .collect();
    tests.extend([
        Test::new("serve::otlp-hanging-resolver", hanging_resolver),
        Test::new("serve::otlp-password", password),
    ]);
    tests
}

/// One warning, and tracing, serving and the end are as without it.
fn hostile(conduct: Conduct, said: &str) -> Outcome {
    let address = collector(conduct)?;
    let url = format!("http://{address}");
    // Who answers at all has the time for it.
    let timeout = if said == NO_ANSWER { "1000" } else { "60000" };
    let tracer = serve(&["--otlp", &url]).with(move |command| {
        command
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", timeout);
    });
    let (mut tracer, address) = start(tracer)?;
    let warning = tracer.wait_stderr_line("zombie-trace: warning: ")?;
    ensure!(warning.contains(said), "no {said:?}: {warning}");
    ensure!(!warning.contains('\x1b'), "{warning:?}");
    let made = load(&["serial", "--count", "200"])? as f64;
    client::await_figures(address, "all of them", |figures| {
        figures.sum(REAPED, BY_LOAD) == made
    })?;
    takes_little_memory(tracer.pid())?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(
        run.stderr.matches("warning").count() == 1 && !run.stderr.contains("panic"),
        "{}",
        run.stderr
    );
    Ok(())
}

/// Takes connections for as long as the tests run.
fn collector(conduct: Conduct) -> Result<SocketAddr, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = [0; 1024];
                let read = stream.read(&mut head)?;
                if read > 0 { conduct(stream) } else { Ok(()) }
            });
        }
    });
    Ok(address)
}

/// The most that it has had resident at any time is below 64 MiB.
pub(super) fn takes_little_memory(pid: u32) -> Outcome {
    const LIMIT_KIB: u64 = 64 << 10;
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    let kib: u64 = number.ok_or_else(|| format!("{path}: {status}"))?;
    println!("    {kib} KiB of memory");
    ensure!(kib < LIMIT_KIB, "{kib} KiB of memory");
    Ok(())
}

/// Keeps reading, so that the other side never blocks in its write.
fn read_all(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn never_answers(stream: TcpStream) -> io::Result<()> {
    read_all(stream)
}

fn resets(stream: TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let length = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the kernel reads as many bytes as there are.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length,
        );
    }
    Ok(())
}

fn slow_drip(mut stream: TcpStream) -> io::Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        .iter()
        .cycle()
    {
        stream.write_all(&[*byte])?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Writes the same again and again, up to a gibibyte.
fn flood(mut stream: TcpStream, begin: &str, piece: &[u8]) -> io::Result<()> {
    const LIMIT: usize = 1 << 30;
    stream.write_all(begin.as_bytes())?;
    let pieces = piece.repeat(65_536 / piece.len());
    for _ in 0..LIMIT / pieces.len() {
        stream.write_all(&pieces)?;
    }
    Ok(())
}

fn huge_headers(stream: TcpStream) -> io::Result<()> {
    flood(
        stream,
        "HTTP/1.1 200 OK\r\n",
        b"X-Header: xxxxxxxxxxxxxxxxxx\r\n",
    )
}

fn huge_body(stream: TcpStream) -> io::Result<()> {
    flood(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"x",
    )
}

/// An answer that ends with the connection, once the request is read.
fn respond(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    read_all(stream)
}

fn redirects(stream: TcpStream) -> io::Result<()> {
    let address = stream.local_addr()?;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{address}/v1/metrics\r\n\
         Content-Length: 0\r\n\r\n"
    );
    respond(stream, answer.as_bytes())
}

fn busy_for_a_day(stream: TcpStream) -> io::Result<()> {
    respond(
        stream,
        b"HTTP/1.1 503 Busy\r\nRetry-After: 86399\r\nContent-Length: 0\r\n\r\n",
    )
}

fn wrong_type(stream: TcpStream) -> io::Result<()> {
    respond(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>sign in</html>",
    )
}

fn partial_success(stream: TcpStream) -> io::Result<()> {
    // `partial_success { rejected_data_points: 9, error_message: "\e[2J…" }`
    respond(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n\
          \x0a\x08\x08\x09\x12\x04\x1b[2J",
    )
}

fn tls(stream: TcpStream) -> io::Result<()> {
    respond(stream, b"\x15\x03\x01\x00\x02\x02\x16\x16\x03\x03\xff\xff")
}

fn broken_chunks(stream: TcpStream) -> io::Result<()> {
    respond(
        stream,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          ffffffffffffffffff\r\nx\r\nzz\r\n",
    )
}

fn closes_early(stream: TcpStream) -> io::Result<()> {
    respond(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
}

fn continues(stream: TcpStream) -> io::Result<()> {
    flood(stream, "", b"HTTP/1.1 100 Continue\r\n\r\n")
}

fn not_otlp(stream: TcpStream) -> io::Result<()> {
    respond(stream, b"HTTP/1.1 200 OK\r\n\r\n\xff\xff\xff")
}

/// A name server that never answers holds up neither the figures nor the end.
fn hanging_resolver() -> Outcome {
    let settings = context::fresh_path("resolv.conf");
    // Ten minutes in all.
    fs::write(
        &settings,
        "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n",
    )
    .map_err(|error| format!("{}: {error}", settings.display()))?;
    let source = std::ffi::CString::new(settings.into_os_string().into_encoded_bytes())
        .map_err(|error| error.to_string())?;
    let tracer = serve(&["--otlp", "http://collector.example:4318"]).with(|command| {
        command
            .env("OTEL_METRIC_EXPORT_INTERVAL", "50")
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
        before_exec(command, move || isolate(&source));
    });
    let (mut tracer, _) = start(tracer)?;
    tracer.wait_stderr_line("zombie-trace: warning: ")?;
    // Time for further pushes: they wait for the same answer.
    thread::sleep(Duration::from_secs(3));
    let tasks = format!("/proc/{}/task", tracer.pid());
    let threads = fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
    let threads = threads.count();
    ensure!(threads <= 5, "{threads} threads");
    // Waits for a minute.
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(run.stderr.contains(NO_ANSWER), "{}", run.stderr);
    Ok(())
}

/// Enters a network of its own, where a name server's socket is bound and never read.
fn isolate(settings: &std::ffi::CStr) -> io::Result<()> {
    let succeeded = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: no pointers but to valid C strings and a structure, and null ones where they are allowed.
    unsafe {
        let none = std::ptr::null();
        let private = libc::MS_REC | libc::MS_PRIVATE;
        succeeded(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET))?;
        succeeded(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
        let target = c"/etc/resolv.conf".as_ptr();
        let bind = libc::MS_BIND;
        succeeded(libc::mount(
            settings.as_ptr(),
            target,
            none,
            bind,
            none.cast(),
        ))?;
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut interface: libc::ifreq = std::mem::zeroed();
        interface.ifr_name[0] = b'l' as libc::c_char;
        interface.ifr_name[1] = b'o' as libc::c_char;
        interface.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        succeeded(libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut interface))?;
        libc::close(socket);
    }
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?.into_raw_fd();
    // SAFETY: no pointers. It outlives exec.
    succeeded(unsafe { libc::fcntl(server, libc::F_SETFD, 0) })
}

/// It goes into the header that is for it, and nowhere else.
fn password() -> Outcome {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let request = thread::spawn(move || super::otlp::answer(&listener, "500 Oops"));
    let url = format!("http://user:hunter2@{address}");
    let tracer = serve(&["--otlp", &url]).with(|command| {
        command.env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    });
    let (mut tracer, _) = start(tracer)?;
    tracer.wait_stderr_line("zombie-trace: warning: ")?;
    let (_, head) = request.join().map_err(|_| "the receiver panicked")??;
    // "user:hunter2"
    let header = "authorization: Basic dXNlcjpodW50ZXIy";
    ensure!(
        head.contains(header) && head.contains(&format!("host: {address}")),
        "{head}"
    );
    ensure!(!head.contains("hunter2"), "{head}");
    let run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    for wrong in [
        "https://user:hunter2@x",
        "user:hunter2@x",
        "ftp://hunter2@x",
    ] {
        let run = serve(&["--otlp", wrong]).run()?;
        run.expect_code(2)?;
        ensure!(
            run.stderr.contains("--otlp") && !run.stderr.contains("hunter2"),
            "{}",
            run.stderr
        );
    }
    Ok(())
}
