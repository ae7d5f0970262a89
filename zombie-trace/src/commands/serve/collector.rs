//! Where and how figures are pushed, from the command line and OpenTelemetry's environment
//! variables (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::{str::FromStr, time::Duration};

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use hyper::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use nix::unistd::gethostname;

use super::CollectorChoice;

/// If nothing else is said.
const DEFAULT: &str = "http://localhost:4318";
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// An OTLP endpoint, and what it needs to know.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    /// The whole URL, without user and password; its scheme is http and it has a host.
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// Between two pushes.
    pub(super) interval: Duration,
    /// For one push.
    pub(super) timeout: Duration,
    /// Histograms are exponential.
    pub(super) exponential: bool,
    /// Attributes that say whose figures they are.
    pub(super) resource: Vec<(String, String)>,
}

impl Collector {
    /// That of the option; what is left open comes from the environment, of which `variable` gives
    /// a variable that is set and not empty.
    ///
    /// # Errors
    /// A variable that makes no sense, by name.
    pub(super) fn new(
        option: &CollectorChoice,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        // What is about metrics alone wins.
        let of_exporter = |name: &str| {
            let names = ["METRICS_", ""].map(|kind| format!("OTEL_EXPORTER_OTLP_{kind}{name}"));
            names
                .into_iter()
                .find_map(|name| Some((variable(&name)?, name)))
        };
        let url = match option {
            CollectorChoice::At(base) => below(&base.to_string())?,
            CollectorChoice::FromEnvironment => match of_exporter("ENDPOINT") {
                // As it is.
                Some((url, name)) if name.contains("METRICS") => parse_url(&url, &name)?,
                Some((base, name)) => parse_url(&base, &name).and(below(&base))?,
                None => below(DEFAULT)?,
            },
        };
        let mut headers = HeaderMap::new();
        if let Some((list, name)) = of_exporter("HEADERS") {
            for header in list.split(',').filter(|header| !header.trim().is_empty()) {
                let (key, value) = parse_header(header)
                    // Not what it says instead, which may be a secret.
                    .with_context(|| format!("{name}: an entry is not KEY=VALUE"))?;
                headers.insert(key, value);
            }
        }
        let (url, credentials) = without_credentials(url)?;
        if let Some(credentials) = credentials {
            headers.entry(AUTHORIZATION).or_insert(credentials);
        }
        let time = |set: Option<(String, String)>, default| match set {
            Some((text, name)) => match text.trim().parse() {
                Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
                _ => bail!("{name}: {text:?} is not a number of milliseconds"),
            },
            None => Ok(default),
        };
        let interval = "OTEL_METRIC_EXPORT_INTERVAL";
        let interval = variable(interval).map(|text| (text, interval.to_owned()));
        Ok(Self {
            url,
            headers,
            interval: time(interval, INTERVAL)?,
            timeout: time(of_exporter("TIMEOUT"), TIMEOUT)?,
            exponential: exponential(&variable)?,
            resource: resource(variable)?,
        })
    }
}

impl Collector {
    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.url.port_u16().unwrap_or(80)
    }
}

/// Whether histograms are exponential. The protocol cannot ask a receiver what it takes.
fn exponential(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<bool> {
    const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    const EXPLICIT: &str = "explicit_bucket_histogram";
    const EXPONENTIAL: &str = "base2_exponential_bucket_histogram";
    match variable(AGGREGATION).map(|text| text.trim().to_ascii_lowercase()) {
        None => Ok(false),
        Some(text) if text == EXPLICIT => Ok(false),
        Some(text) if text == EXPONENTIAL => Ok(true),
        Some(text) => bail!("{AGGREGATION}: {text:?} is neither {EXPLICIT} nor {EXPONENTIAL}"),
    }
}

/// The attributes that the environment gives, and our own where it gives none.
fn resource(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Vec<(String, String)>> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes: Vec<(String, String)> = Vec::new();
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        attributes.push(("service.name".to_owned(), name));
    }
    let given = variable(ATTRIBUTES).unwrap_or_default();
    let host = gethostname().unwrap_or_default();
    let host = host.to_string_lossy().into_owned();
    let own = [
        ("service.name", env!("CARGO_PKG_NAME")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        // There is one on a host, and hosts must be told apart.
        ("service.instance.id", &host),
        ("host.name", &host),
    ];
    let mut add = |key: &str, value: String| {
        if attributes.iter().all(|(known, _)| known != key) {
            attributes.push((key.to_owned(), value));
        }
    };
    for entry in given.split(',').filter(|entry| !entry.trim().is_empty()) {
        let attribute = entry.split_once('=').and_then(|(key, value)| {
            let value = String::from_utf8(percent_decoded(value.trim())?).ok()?;
            Some((key.trim(), value)).filter(|(key, _)| !key.is_empty())
        });
        let (key, value) = attribute
            .with_context(|| format!("{ATTRIBUTES}: {:?} is not KEY=VALUE", entry.trim()))?;
        add(key, value);
    }
    for (key, value) in own {
        add(key, value.to_owned());
    }
    Ok(attributes)
}

/// Moves user and password out of a URL and into the header that is for them: a URL is printed, and
/// its authority is sent as the host's name.
fn without_credentials(url: Uri) -> anyhow::Result<(Uri, Option<HeaderValue>)> {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let Some((credentials, host)) = authority.rsplit_once('@') else {
        return Ok((url, None));
    };
    let decoded = percent_decoded(credentials)
        .context("the user or password in the OTLP URL is not percent-encoded")?;
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(&decoded)))?;
    header.set_sensitive(true);
    let host = host.parse()?;
    let mut parts = url.into_parts();
    parts.authority = Some(host);
    Ok((Uri::from_parts(parts)?, Some(header)))
}

/// The path that the protocol has for metrics.
fn below(base: &str) -> anyhow::Result<Uri> {
    Ok(format!("{}/v1/metrics", base.trim_end_matches('/')).parse()?)
}

fn parse_url(text: &str, name: &str) -> anyhow::Result<Uri> {
    match CollectorChoice::from_str(text) {
        Ok(CollectorChoice::At(url)) => Ok(url),
        Ok(CollectorChoice::FromEnvironment) => bail!("{name}: it is empty"),
        // Not its text: it may hold a password.
        Err(error) => Err(error).with_context(|| name.to_owned()),
    }
}

/// `key=value`; the value is percent-encoded.
fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (key, value) = text.split_once('=')?;
    let key = HeaderName::from_bytes(key.trim().as_bytes()).ok()?;
    let mut value = HeaderValue::from_bytes(&percent_decoded(value.trim())?).ok()?;
    // Often a secret.
    value.set_sensitive(true);
    Some((key, value))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(option: &str, environment: &[(&str, &str)]) -> anyhow::Result<Collector> {
        Collector::new(&option.parse().unwrap(), |wanted| {
            let mut all = environment.iter();
            let found = all.find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    #[test]
    fn the_option_wins_over_the_environment() {
        let url = |option, environment: &[_]| {
            let collector = collector(option, environment).unwrap();
            collector.url.to_string()
        };
        let set = [(ENDPOINT, "http://env:1/")];
        assert_eq!(url("http://opt:2", &set), "http://opt:2/v1/metrics");
        assert_eq!(url("", &set), "http://env:1/v1/metrics");
        assert_eq!(url("", &[]), "http://localhost:4318/v1/metrics");
        assert_eq!(
            url("http://p:9090/api/v1/otlp", &[]),
            "http://p:9090/api/v1/otlp/v1/metrics"
        );
        let whole = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:3/as/is");
        assert_eq!(url("", &[set[0], whole]), "http://m:3/as/is");
    }

    #[test]
    fn headers_are_percent_decoded() {
        let headers = (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Basic%20eA==, x-y = z ,",
        );
        let headers = collector("", &[headers]).unwrap().headers;
        assert_eq!(headers["authorization"], "Basic eA==");
        assert_eq!(headers["x-y"], "z");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn times_are_milliseconds() {
        let default = collector("", &[]).unwrap();
        assert_eq!((default.interval, default.timeout), (INTERVAL, TIMEOUT));
        let set = [
            ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ];
        let set = collector("", &set).unwrap();
        assert_eq!(set.interval, Duration::from_millis(500));
        assert_eq!(set.timeout, Duration::from_millis(1500));
    }

    const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";

    #[test]
    fn histograms_are_exponential_if_the_environment_says_so() {
        let exponential = |environment: &[_]| collector("", environment).unwrap().exponential;
        assert!(!exponential(&[]));
        assert!(!exponential(&[(AGGREGATION, "explicit_bucket_histogram")]));
        let set = (AGGREGATION, "base2_exponential_bucket_histogram");
        assert!(exponential(&[set]));
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value) in [
            (ENDPOINT, "localhost:4318"),
            (ENDPOINT, "https://x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "10s"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            (AGGREGATION, "exponential"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=a"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%ff"),
        ] {
            let error = collector("", &[(name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error:#}");
        }
    }

    #[test]
    fn the_environment_names_us_or_we_do() {
        let named = |environment: &[_], wanted: &str| {
            let attributes = collector("", environment).unwrap().resource;
            let mut values = attributes.into_iter().filter(|(key, _)| key == wanted);
            let value = values.next().map(|(_, value)| value);
            assert_eq!(values.next(), None, "{wanted} twice");
            value
        };
        assert_eq!(named(&[], "service.name").unwrap(), "zombie-trace");
        assert!(named(&[], "host.name").is_some());
        let list = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=list, host.name = a%2Cb ,,x=",
        );
        assert_eq!(named(&[list], "service.name").unwrap(), "list");
        assert_eq!(named(&[list], "host.name").unwrap(), "a,b");
        assert_eq!(named(&[list], "x").unwrap(), "");
        let service = ("OTEL_SERVICE_NAME", "service");
        assert_eq!(named(&[list, service], "service.name").unwrap(), "service");
    }

    #[test]
    fn a_password_goes_into_its_header_alone() {
        let url = "http://user:p%40ss@host:1/base";
        for collector in [collector(url, &[]), collector("", &[(ENDPOINT, url)])] {
            let collector = collector.unwrap();
            assert_eq!(collector.url, "http://host:1/base/v1/metrics");
            let header = &collector.headers["authorization"];
            assert_eq!(header, &format!("Basic {}", BASE64.encode(b"user:p@ss")));
            assert!(!format!("{collector:?}").contains("Basic"));
        }
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x");
        let headers = collector(url, &[headers]).unwrap().headers;
        assert_eq!(headers["authorization"], "Bearer x");
    }

    #[test]
    fn an_error_shows_no_secret() {
        for (name, value) in [
            (ENDPOINT, "https://user:secret@host"),
            (ENDPOINT, "user:secret@host"),
            (ENDPOINT, "http://user:secret%zz@host"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization:secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret%zz"),
        ] {
            let error = collector("", &[(name, value)]).unwrap_err();
            let error = format!("{error:#}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
