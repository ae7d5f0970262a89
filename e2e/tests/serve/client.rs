//! A client of what is served.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// No answer takes longer, whatever else is going on.
const LIMIT: Duration = Duration::from_secs(60);

/// What is asked for if only the figures matter.
pub(crate) const PLAIN: &str = "text/plain";

/// An answer.
pub(crate) struct Answer {
    /// Status and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// Sends these bytes on a connection of their own, and reads until its end.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> Result<Answer, String> {
    let said = |error| format!("{address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(said)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(said)?;
    stream.write_all(bytes).map_err(said)?;
    let mut answer = Vec::new();
    // Whoever has not read all that was sent resets the connection after the answer.
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    match (answer.split_once("\r\n\r\n"), read) {
        (Some((head, body)), _) => Ok(Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }),
        (None, Err(error)) => Err(said(error)),
        (None, Ok(_)) => Err(format!("{address}: no answer but {answer:?}")),
    }
}

/// GET.
pub(crate) fn get(address: SocketAddr, path: &str, accept: &str) -> Result<Answer, String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    send(address, request.as_bytes())
}

/// The figures as they are now.
pub(crate) fn scrape(address: SocketAddr) -> Result<Scrape, String> {
    let answer = get(address, "/metrics", PLAIN)?;
    match answer.status() {
        200 => Ok(Scrape(answer.body)),
        _ => Err(answer.head),
    }
}

/// Scrapes until the figures are as they should be.
pub(crate) fn await_figures(
    address: SocketAddr,
    expected: &str,
    holds: impl Fn(&Scrape) -> bool,
) -> Result<Scrape, String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let figures = scrape(address)?;
        if holds(&figures) {
            return Ok(figures);
        }
        if Instant::now() > deadline {
            return Err(format!("not {expected}:\n{}", figures.0));
        }
        thread::sleep(Duration::from_millis(150));
    }
}

/// Figures as text.
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    /// The sum of the figures of this name that have this text among their labels.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let figures = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            labels.contains(label).then_some(value)
        });
        figures.filter_map(|value| value.parse::<f64>().ok()).sum()
    }

    /// All that could not be told of.
    pub(crate) fn lost(&self) -> f64 {
        self.sum("zombie_trace_lost_total", "kind=")
    }
}
