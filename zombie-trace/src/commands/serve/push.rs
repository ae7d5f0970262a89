//! Pushing figures by OTLP over HTTP.
//!
//! All figures are totals, so that nothing is kept for a collector that does not answer: the next
//! push reports what the last would have.

use std::{fmt, io, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{collector::Collector, resolver::Resolver};
use crate::{
    metrics,
    sink::Metrics,
    stderr::{say, warn},
    system::{monotonic_now, wall_clock},
    text::visible,
};

/// Before the first retry; doubled each time, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// No collector silences us for longer: it need not mean well.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// An answer is short: bytes of its status and headers, and of its body.
const HEADERS: usize = 16 * 1024;
const ANSWER: usize = 64 * 1024;

/// How many characters of a collector's own words are shown.
const SHOWN: usize = 200;

const PROTOBUF: &str = "application/x-protobuf";

/// Why a push failed.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// How long the collector asks to be left alone.
    retry_after: Option<Duration>,
    /// Another try with the same can't help.
    lasting: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            retry_after: None,
            lasting: false,
        }
    }
}

/// Pushes at the collector's interval for as long as the runtime's local tasks run.
pub(super) async fn push_forever(collector: &Collector, resolver: &Resolver, metrics: &Metrics) {
    let mut failures: u32 = 0;
    let mut wait = collector.interval;
    loop {
        sleep(wait).await;
        wait = match push(collector, resolver, metrics).await {
            Ok(()) => {
                if failures > 0 {
                    say(&format!(
                        "zombie-trace: {} takes figures again",
                        collector.url
                    ));
                }
                failures = 0;
                collector.interval
            }
            Err(failure) => {
                if failures == 0 {
                    warn(&format!("{}: {failure}; trying on", collector.url));
                }
                failures = failures.saturating_add(1);
                pause(&failure, failures, collector.interval, fastrand::f64())
            }
        };
    }
}

/// How long to wait after so many failures in a row.
///
/// By `chance`, from 0 to 1, it is up to half shorter, so that a fleet does not come back all at once.
fn pause(failure: &Failure, failures: u32, interval: Duration, chance: f64) -> Duration {
    if failure.lasting {
        return interval;
    }
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(interval).mul_f64(1.0 - chance / 2.0);
    pause.max(failure.retry_after.unwrap_or_default())
}

/// Pushes once.
async fn push(
    collector: &Collector,
    resolver: &Resolver,
    metrics: &Metrics,
) -> Result<(), Failure> {
    let now = wall_clock().timestamp(monotonic_now());
    let message = metrics::export_request(&metrics.figures(), &collector.resource, now);
    match timeout(collector.timeout, post(collector, resolver, message.into())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {:?}", collector.timeout).into()),
    }
}

/// The last push of a run, without a word if it fails.
pub(super) async fn push_last(collector: &Collector, resolver: &Resolver, metrics: &Metrics) {
    let _ = push(collector, resolver, metrics).await;
}

async fn post(collector: &Collector, resolver: &Resolver, body: Bytes) -> Result<(), Failure> {
    let failed = |what: &str, error: &dyn fmt::Display| Failure::from(format!("{what}: {error}"));
    let stream = connect(collector, resolver)
        .await
        .map_err(|error| failed("cannot connect", &error))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed("cannot connect", &error))?;
    // It ends with the sender.
    spawn_local(connection);
    let url = &collector.url;
    let mut request = Request::post(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(
            HOST,
            url.authority().map_or("", |authority| authority.as_str()),
        )
        .header(CONTENT_TYPE, PROTOBUF)
        .body(Full::new(body))
        .map_err(|error| failed("cannot ask", &error))?;
    request.headers_mut().extend(collector.headers.clone());
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| failed("cannot send", &error))?;
    if !response.status().is_success() {
        return Err(refusal(response.status(), retry_after(&response)));
    }
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let answer = Limited::new(response.into_body(), ANSWER).collect();
    let answer = answer.await.map_err(|error| failed("no answer", &error))?;
    let content_type = content_type
        .as_ref()
        .map(|kind| kind.to_str().unwrap_or("?"));
    accepted(content_type, &answer.to_bytes())
}

async fn connect(collector: &Collector, resolver: &Resolver) -> io::Result<TcpStream> {
    let url = &collector.url;
    // An IPv6 address is in brackets there.
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = resolver.lookup(host, collector.port()).await?;
    TcpStream::connect(&addresses[..]).await
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

/// The statuses that may pass are those of the protocol's specification.
fn refusal(status: StatusCode, retry_after: Option<Duration>) -> Failure {
    let passing = matches!(status.as_u16(), 429 | 502 | 503 | 504);
    Failure {
        reason: format!("it answers {status}"),
        retry_after: retry_after.map(|pause| pause.min(LONGEST_PAUSE)),
        lasting: !passing,
    }
}

/// Whether all was taken, by an answer of status 200 and its content type.
fn accepted(content_type: Option<&str>, answer: &[u8]) -> Result<(), Failure> {
    let lasting = |reason| Failure {
        lasting: true,
        ..Failure::from(reason)
    };
    let shown = |text: &str| visible(&text.chars().take(SHOWN).collect::<String>());
    let kind = content_type.and_then(|kind| kind.split(';').next());
    // Some say nothing at all, which is what a full success looks like.
    if let Some(kind) = kind
        && !answer.is_empty()
        && !kind.trim().eq_ignore_ascii_case(PROTOBUF)
    {
        return Err(lasting(format!(
            "it answers in {}, so it does not speak OTLP",
            shown(kind)
        )));
    }
    match metrics::rejection(answer) {
        Ok(None) => Ok(()),
        Ok(Some(rejection)) => Err(lasting(format!(
            "it rejects {} figures: {}",
            rejection.figures,
            shown(&rejection.reason)
        ))),
        Err(_) => Err(lasting("its answer is not OTLP".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    use prost::Message as _;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_double_up_to_the_interval() {
        let failure = Failure::from(String::new());
        let pause = |failures| pause(&failure, failures, INTERVAL, 0.0).as_secs();
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(pause), [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn chance_shortens_a_pause_by_half_at_the_most() {
        let failure = Failure::from(String::new());
        for (chance, ms) in [(0.0, 4000), (0.5, 3000), (1.0, 2000)] {
            let pause = pause(&failure, 3, INTERVAL, chance);
            assert_eq!(pause, Duration::from_millis(ms));
        }
    }

    #[test]
    fn the_collector_may_ask_for_more_time() {
        let busy = |seconds| {
            let wanted = Some(Duration::from_secs(seconds));
            let busy = refusal(StatusCode::SERVICE_UNAVAILABLE, wanted);
            pause(&busy, 1, INTERVAL, 0.3).as_secs()
        };
        // But not for a day.
        assert_eq!([90, 86_399, u64::MAX].map(busy), [90, 300, 300]);
        let wrong = refusal(StatusCode::BAD_REQUEST, None);
        assert_eq!(pause(&wrong, 1, INTERVAL, 0.3), INTERVAL);
    }

    #[test]
    fn a_part_that_is_rejected_is_reported() {
        assert!(accepted(None, &[]).is_ok());
        assert!(accepted(Some("text/plain"), &[]).is_ok());
        let answer = |error_message: String| {
            let partial_success = Some(ExportMetricsPartialSuccess {
                rejected_data_points: 3,
                error_message,
            });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        };
        let failure = |text: &str| {
            let answer = answer(text.to_owned());
            accepted(Some("application/x-protobuf"), &answer).unwrap_err()
        };
        let reason = failure("too\n\x1b[2Jold").reason;
        assert_eq!(reason, r"it rejects 3 figures: too\x0a\x1b[2Jold");
        assert!(failure(&"x".repeat(60_000)).reason.len() < 300);
    }

    #[test]
    fn what_does_not_speak_the_protocol_is_noticed() {
        for (content_type, answer) in [
            (
                Some("text/html; charset=utf-8"),
                "<html>sign in here</html>",
            ),
            (Some("text/\x1b"), "x"),
            (None, "<html>"),
            (Some("application/x-protobuf"), "\u{7f}\u{7f}"),
        ] {
            let failure = accepted(content_type, answer.as_bytes()).unwrap_err();
            assert!(failure.lasting, "{failure:?}");
            assert!(!failure.reason.contains('\x1b'), "{failure:?}");
        }
    }
}
