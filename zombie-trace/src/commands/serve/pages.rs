//! What is answered to which request.

use std::{
    cell::RefCell,
    net::IpAddr,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use super::accept;
use crate::{
    metrics::{self, Exposition},
    sink::Metrics,
};

/// However many ask, the figures are written no more often than this for each format, which bounds
/// the work, and the memory that slow readers hold. What exists now is looked for as often.
const FRESH: Duration = Duration::from_secs(1);

/// Longer than this without a look at the zombies, and tracing is at a standstill: it is every
/// second.
const STUCK: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "\
<!doctype html>
<title>zombie-trace</title>
<h1>zombie-trace</h1>
<p><a href=\"metrics\">metrics</a>, <a href=\"healthz\">health</a>
";

/// The pages, one thread's.
pub(super) struct Pages {
    metrics: Metrics,
    /// Served at a loopback address, for this machine alone.
    local: bool,
    /// The figures as they were written last, and when.
    written: RefCell<[Option<(Instant, Bytes)>; 2]>,
}

impl Pages {
    /// Pages with these figures, served at this address.
    pub(super) fn new(metrics: Metrics, address: IpAddr) -> Self {
        Self {
            metrics,
            local: address.to_canonical().is_loopback(),
            written: RefCell::default(),
        }
    }

    /// The answer to a request; the body is left out for HEAD by who sends it.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let methods = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, methods);
            return refusal;
        }
        if self.local && !is_local(request) {
            return text(
                StatusCode::FORBIDDEN,
                "only for this machine: ask for localhost, 127.0.0.1 or [::1]\n",
            );
        }
        match request.uri().path() {
            "/metrics" => {
                let accept = request.headers().get_all(ACCEPT).into_iter();
                let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
                self.figures(accept::format(Some(&accept.join(","))))
            }
            "/healthz" => health(self.metrics.seen().elapsed()),
            "/" => page(StatusCode::OK, "text/html; charset=utf-8", INDEX),
            _ => text(StatusCode::NOT_FOUND, "no such page: /metrics, /healthz\n"),
        }
    }

    fn figures(&self, format: Exposition) -> Response<Full<Bytes>> {
        let written = &mut self.written.borrow_mut()[format as usize];
        if let Some((when, text)) = written
            && when.elapsed() < FRESH
        {
            return page(StatusCode::OK, format.content_type(), text.clone());
        }
        match metrics::render(self.metrics.figures(), format) {
            Ok(text) => {
                let text = Bytes::from(text);
                *written = Some((Instant::now(), text.clone()));
                page(StatusCode::OK, format.content_type(), text)
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

/// Whether the client asks for this machine by a name that nobody else can give it.
///
/// A page of another site can make a browser send a request to a loopback address under that
/// site's name, and then read the answer (DNS rebinding). A browser always sends a name.
fn is_local<B>(request: &Request<B>) -> bool {
    let named = request.headers().get_all(HOST).into_iter();
    let named = named.map(|host| {
        let uri = Uri::try_from(host.as_bytes()).ok()?;
        let authority = uri.authority()?;
        // Nothing but a port may follow, and no user go before.
        let rest = authority.as_str().strip_prefix(authority.host())?;
        let is_port = |rest: &str| {
            rest.strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok())
        };
        (rest.is_empty() || is_port(rest)).then(|| authority.host().to_owned())
    });
    let target = request.uri().host().map(|host| Some(host.to_owned()));
    named.chain(target).all(|host| {
        host.is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
                || address
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.to_canonical().is_loopback())
        })
    })
}

/// Whether tracing goes on, by the time since its last look at the zombies.
fn health(age: Duration) -> Response<Full<Bytes>> {
    if age < STUCK {
        return text(StatusCode::OK, "ok\n");
    }
    let problem = format!("tracing has been at a standstill for {} s\n", age.as_secs());
    text(StatusCode::SERVICE_UNAVAILABLE, &problem)
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    page(status, TEXT, text.to_owned())
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    // Anybody names processes: a browser must not take what is no page for one.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        metrics::{Settings, Totals},
        model::fixtures::zombie,
        sink::Sink as _,
    };

    fn pages() -> Pages {
        at("127.0.0.1")
    }

    fn at(address: &str) -> Pages {
        let totals = Totals::new(Settings {
            max_series: 10,
            exponential: false,
            backend: "fentry",
            started: Timestamp::UNIX_EPOCH,
        });
        Pages::new(Metrics::new(totals), address.parse().unwrap())
    }

    fn status(pages: &Pages, method: Method, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path);
        let answer = pages.answer(&request.body(()).unwrap());
        answer.status().as_u16()
    }

    #[test]
    fn only_what_is_there_is_served() {
        let pages = pages();
        for path in ["/", "/metrics", "/metrics?x=y", "/healthz"] {
            assert_eq!(status(&pages, Method::GET, path), 200, "{path}");
            assert_eq!(status(&pages, Method::HEAD, path), 200, "{path}");
            assert_eq!(status(&pages, Method::POST, path), 405, "{path}");
        }
        for path in ["/metrics/", "/../etc/passwd", "//metrics", "*"] {
            assert_eq!(status(&pages, Method::GET, path), 404, "{path}");
        }
    }

    fn named(pages: &Pages, host: &str, target: &str) -> u16 {
        let request = Request::builder().uri(target).header(HOST, host);
        pages.answer(&request.body(()).unwrap()).status().as_u16()
    }

    #[test]
    fn a_foreign_name_of_a_loopback_address_is_refused() {
        let pages = pages();
        for host in [
            "localhost",
            "LOCALHOST.:9816",
            "127.0.0.1:9816",
            "127.9.9.9",
            "[::1]:9816",
        ] {
            assert_eq!(named(&pages, host, "/metrics"), 200, "{host}");
        }
        for host in [
            "",
            "rebound.example:9816",
            "localhost.example",
            "127.0.0.1.example",
            "10.0.0.1:9816",
            "a b",
            "[::1].rebound.example",
            "rebound.example@localhost",
            "localhost:port",
        ] {
            assert_eq!(named(&pages, host, "/metrics"), 403, "{host}");
            assert_eq!(named(&pages, host, "/healthz"), 403, "{host}");
        }
        let target = "http://rebound.example/metrics";
        assert_eq!(named(&pages, "localhost", target), 403);
        // Elsewhere names are the network's affair.
        for address in ["0.0.0.0", "10.0.0.1", "::"] {
            assert_eq!(named(&at(address), "node-1:9816", "/metrics"), 200);
        }
    }

    #[test]
    fn browsers_do_not_guess_what_an_answer_is() {
        for path in ["/", "/metrics", "/healthz", "/nothing"] {
            let request = Request::builder().uri(path).body(()).unwrap();
            let answer = pages().answer(&request);
            assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[test]
    fn a_standstill_is_told() {
        for (seconds, status) in [(0, 200), (9, 200), (10, 503)] {
            let answer = health(Duration::from_secs(seconds));
            assert_eq!(answer.status().as_u16(), status, "{seconds} s");
        }
    }

    #[test]
    fn a_storm_of_scrapes_writes_the_figures_once() {
        let mut pages = pages();
        let length = |pages: &Pages| {
            let page = pages.written.borrow()[Exposition::Prometheus as usize].clone();
            page.map(|(_, text)| text.len())
        };
        status(&pages, Method::GET, "/metrics");
        let first = length(&pages);
        pages.metrics.identified((1, 1), &zombie()).unwrap();
        status(&pages, Method::GET, "/metrics");
        assert_eq!(length(&pages), first);
        for written in pages.written.borrow_mut().iter_mut().flatten() {
            written.0 -= FRESH;
        }
        status(&pages, Method::GET, "/metrics");
        assert!(length(&pages) > first);
    }
}
