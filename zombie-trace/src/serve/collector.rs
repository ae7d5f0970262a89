//! Where and how figures are pushed, from the command line and OpenTelemetry's environment
//! variables (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::{str::FromStr, time::Duration};

use anyhow::{Context as _, bail};
use hyper::{
    HeaderMap, Uri,
    header::{HeaderName, HeaderValue},
};
use nix::unistd::gethostname;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_sdk::Resource;

use crate::{cli, metrics::attribute};

/// If nothing else is said.
const DEFAULT: &str = "http://localhost:4318";
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(10);

/// An OTLP endpoint, and what it is told of us.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    /// The whole URL; its scheme is http and it has a host.
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// Between two pushes.
    pub(super) interval: Duration,
    /// For one push.
    pub(super) timeout: Duration,
    /// Who we are.
    pub(super) resource: Vec<KeyValue>,
}

impl Collector {
    /// That of the option; what is left open comes from the environment, of which `variable` gives
    /// a variable that is set and not empty.
    ///
    /// # Errors
    /// A variable that makes no sense, by name.
    pub(super) fn new(
        option: &cli::Collector,
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
            cli::Collector::At(base) => below(&base.to_string())?,
            cli::Collector::FromEnvironment => match of_exporter("ENDPOINT") {
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
                    .with_context(|| format!("{name}: {:?} is not KEY=VALUE", header.trim()))?;
                headers.insert(key, value);
            }
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
            resource: resource(&Resource::builder().build()),
        })
    }
}

/// The attributes that the environment gives, and who we are if it does not say.
fn resource(resource: &Resource) -> Vec<KeyValue> {
    let given = resource.iter().filter(|(key, value)| {
        // What the SDK calls a program that says nothing.
        key.as_str() != "service.name" || !value.as_str().starts_with("unknown_service")
    });
    let mut attributes: Vec<_> = given
        .map(|(key, value)| KeyValue {
            key: key.to_string(),
            value: Some(AnyValue::from(value.clone())),
            ..KeyValue::default()
        })
        .collect();
    let host = gethostname().unwrap_or_default();
    let host = host.to_string_lossy();
    for (key, value) in [
        ("service.name", env!("CARGO_PKG_NAME")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        // There is one on a host, and hosts must be told apart.
        ("service.instance.id", &host),
        ("host.name", &host),
    ] {
        if attributes.iter().all(|known| known.key != key) {
            attributes.push(attribute(key, value));
        }
    }
    attributes
}

/// The path that the protocol has for metrics.
fn below(base: &str) -> anyhow::Result<Uri> {
    Ok(format!("{}/v1/metrics", base.trim_end_matches('/')).parse()?)
}

fn parse_url(text: &str, name: &str) -> anyhow::Result<Uri> {
    match cli::Collector::from_str(text) {
        Ok(cli::Collector::At(url)) => Ok(url),
        Ok(cli::Collector::FromEnvironment) => bail!("{name}: it is empty"),
        Err(error) => Err(error).with_context(|| format!("{name}: {text}")),
    }
}

/// `key=value`, of which the value is percent-encoded.
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
        ] {
            let error = collector("", &[(name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error:#}");
        }
    }

    #[test]
    fn the_environment_names_us_or_we_do() {
        let named = |resource: &Resource, key: &str| {
            let mut attributes = super::resource(resource).into_iter();
            attributes.find(|attribute| attribute.key == key)
        };
        let silent = Resource::builder_empty()
            .with_service_name("unknown_service:x")
            .build();
        assert_eq!(
            named(&silent, "service.name"),
            Some(attribute("service.name", "zombie-trace"))
        );
        assert!(named(&silent, "host.name").is_some());
        let said = Resource::builder_empty().with_service_name("mine").build();
        assert_eq!(
            named(&said, "service.name"),
            Some(attribute("service.name", "mine"))
        );
    }
}
