//! Pushing figures by OTLP over HTTP.
//!
//! All figures are totals, so that nothing is kept for a collector that does not answer: the next
//! push tells what the last would have told.

use std::{fmt, io, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use tokio::{
    net::TcpStream,
    task::spawn_local,
    time::{sleep, timeout},
};

use super::collector::Collector;
use crate::{
    metrics,
    notice::{say, warn},
    sink::Metrics,
    source::{monotonic_now, wall_clock},
};

/// Before the first retry; doubled each time, up to the usual interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// An answer is short.
const ANSWER: usize = 64 * 1024;

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

/// Pushes at the collector's interval for as long as the runtime's local tasks are run.
pub(super) async fn push_forever(collector: &Collector, metrics: &Metrics) {
    let mut failures: u32 = 0;
    let mut wait = collector.interval;
    loop {
        sleep(wait).await;
        wait = match push(collector, metrics).await {
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
                let chance = f64::from(monotonic_now() as u16) / f64::from(u16::MAX);
                pause(&failure, failures, collector.interval, chance)
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
async fn push(collector: &Collector, metrics: &Metrics) -> Result<(), Failure> {
    let now = wall_clock().timestamp(monotonic_now());
    let message = metrics::export_request(&metrics.figures(), &collector.resource, now);
    let body = Bytes::from(message.encode_to_vec());
    match timeout(collector.timeout, post(collector, body)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {:?}", collector.timeout).into()),
    }
}

/// The last push of a run, without a word if it fails.
pub(super) async fn push_last(collector: &Collector, metrics: &Metrics) {
    let _ = push(collector, metrics).await;
}

async fn post(collector: &Collector, body: Bytes) -> Result<(), Failure> {
    let failed = |what: &str, error: &dyn fmt::Display| Failure::from(format!("{what}: {error}"));
    let stream = connect(collector)
        .await
        .map_err(|error| failed("cannot connect", &error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
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
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(body))
        .map_err(|error| failed("cannot ask", &error))?;
    request.headers_mut().extend(collector.headers.clone());
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| failed("cannot send", &error))?;
    let status = response.status();
    if !status.is_success() {
        let seconds = response.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Err(refusal(status, seconds));
    }
    let answer = Limited::new(response.into_body(), ANSWER).collect();
    let answer = answer.await.map_err(|error| failed("no answer", &error))?;
    accepted(&answer.to_bytes())
}

async fn connect(collector: &Collector) -> io::Result<TcpStream> {
    let url = &collector.url;
    // An IPv6 address is in brackets there.
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    TcpStream::connect((host, url.port_u16().unwrap_or(80))).await
}

/// The statuses that may pass are those of the protocol's specification.
fn refusal(status: StatusCode, retry_after: Option<u64>) -> Failure {
    let passing = matches!(status.as_u16(), 429 | 502 | 503 | 504);
    Failure {
        reason: format!("it answers {status}"),
        // No longer than a day: it need not mean well.
        retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.min(86_400))),
        lasting: !passing,
    }
}

/// It may take a part only.
fn accepted(answer: &[u8]) -> Result<(), Failure> {
    let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
    match answer.partial_success {
        Some(part) if part.rejected_data_points > 0 => Err(Failure {
            lasting: true,
            ..Failure::from(format!(
                "it rejects {} figures: {}",
                part.rejected_data_points,
                part.error_message.escape_debug()
            ))
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

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
        let busy = refusal(StatusCode::SERVICE_UNAVAILABLE, Some(90));
        assert_eq!(pause(&busy, 1, INTERVAL, 0.3), Duration::from_secs(90));
        let wrong = refusal(StatusCode::BAD_REQUEST, None);
        assert_eq!(pause(&wrong, 1, INTERVAL, 0.3), INTERVAL);
    }

    #[test]
    fn a_part_that_is_rejected_is_told() {
        assert!(accepted(&[]).is_ok());
        let answer = ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: 3,
                error_message: "too\nold".to_owned(),
            }),
        };
        let failure = accepted(&answer.encode_to_vec()).unwrap_err();
        assert_eq!(failure.reason, "it rejects 3 figures: too\\nold");
    }
}
