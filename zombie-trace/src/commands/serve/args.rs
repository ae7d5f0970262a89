use std::{convert::Infallible, fmt, net::SocketAddr, str::FromStr};

use clap::Args;
use hyper::Uri;
use nix::unistd::User;
use thiserror::Error;

use crate::args::{ScopeArgs, TuningArgs, user};

/// What `--otlp` without a value stands for.
const FROM_ENVIRONMENT: &str = "";

const NOTES: &str = "\
Examples:
  zombie-trace serve                      at http://127.0.0.1:9816/metrics
  zombie-trace serve --listen 0.0.0.0:9816
  zombie-trace serve --otlp http://localhost:4318

Paths:
  /metrics   the figures, in OpenMetrics if the client accepts it
  /healthz   200 while tracing works

At a loopback address only requests for localhost, 127.0.0.1 or [::1] are
answered: a reverse proxy must ask for one of them. A connection carries one
request; 64 can be open, 16 of them from one address.

A user and password in the OTLP URL are sent as basic authentication. Other
users can read a command line: OTEL_EXPORTER_OTLP_HEADERS is the place for a
secret. A collector can ask for a pause of 5 minutes at most.

OpenTelemetry's environment variables are honoured: OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_METRIC_EXPORT_INTERVAL, and, also with METRICS_
after OTLP_, OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS and _TIMEOUT. Histograms are
exponential if OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION is
base2_exponential_bucket_histogram.

Exit status:
  0  all went well, after Ctrl-C or SIGTERM
  1  something failed, such as a --listen address that is in use
  2  invalid command line";

/// Options of `serve`.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(max_term_width = 80, after_help = NOTES)]
pub struct ServeArgs {
    /// Where to serve; any address but a loopback one opens it to the network
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t)]
    #[arg(help_heading = "Figures")]
    pub listen: Listen,

    /// Also push the figures to this OTLP endpoint, such as http://localhost:4318
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = FROM_ENVIRONMENT)]
    #[arg(help_heading = "Figures")]
    pub otlp: Option<CollectorChoice>,

    /// Keep up to N pairs of parent and container apart; sum up the others
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    #[arg(allow_hyphen_values = true, help_heading = "Figures")]
    pub max_series: u32,

    /// Once attached, become this user; root only [default: a user ID that no one else has]
    #[arg(short, long, value_parser = user::resolve, help_heading = "Privileges")]
    pub user: Option<User>,

    /// Which processes the figures are about.
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Options of a run that `serve` refuses.
    #[command(flatten)]
    pub refused: RefusedFilters,

    /// Print only warnings and errors on stderr
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,

    /// How the kernel side is set up.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// The filters of a run: `serve` lists nothing, so an error that says what helps is all they get.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct RefusedFilters {
    #[arg(short = 'n', long, value_name = "GLOB", hide = true, value_parser = refuse)]
    comm: Vec<Infallible>,
    #[arg(long, value_name = "GLOB", hide = true, value_parser = refuse)]
    parent_comm: Vec<Infallible>,
    #[arg(short, long, value_name = "DURATION", hide = true, value_parser = refuse)]
    min: Option<Infallible>,
    #[arg(short = 'x', long, hide = true, value_parser = refuse)]
    #[arg(num_args = 0, default_missing_value = "on")]
    failed: Option<Infallible>,
    #[arg(long, value_name = "CONDITIONS", hide = true, value_parser = refuse)]
    filter: Option<Infallible>,
    #[arg(short, long, hide = true, value_parser = refuse)]
    #[arg(num_args = 0, default_missing_value = "on")]
    all: Option<Infallible>,
}

fn refuse(_: &str) -> Result<Infallible, FilterError> {
    Err(FilterError)
}

/// A filter was given to `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a filter only decides which zombies a run lists, and the figures cover all in scope; narrow the \
     scope instead, with -p, -P, --tree, -c or --container"
)]
struct FilterError;

/// Where the figures are served. The default is port 9816 of this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(SocketAddr);

impl Listen {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 9816)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        text.parse().map(Self).map_err(|_| ListenError)
    }
}

/// A text is no [`Listen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an IP address and a port, such as 127.0.0.1:9816, 0.0.0.0:9816 or [::]:9816")]
pub struct ListenError;

/// Where figures are pushed to: what speaks OTLP over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub enum CollectorChoice {
    /// As the environment says, or at port 4318 of this machine.
    FromEnvironment,
    /// There.
    At(Uri),
}

/// Without the URL, which may hold a password.
impl fmt::Debug for CollectorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromEnvironment => "FromEnvironment",
            Self::At(_) => "At(..)",
        })
    }
}

impl FromStr for CollectorChoice {
    type Err = CollectorError;

    fn from_str(text: &str) -> Result<Self, CollectorError> {
        if text == FROM_ENVIRONMENT {
            return Ok(Self::FromEnvironment);
        }
        let uri: Uri = text.parse().map_err(|_| CollectorError::Unreadable)?;
        // A password with a `/` or `#` in it makes its first part look like a port.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let name = uri.host().unwrap_or_default();
        let port = host
            .strip_prefix(name)
            .and_then(|rest| match rest.strip_prefix(':') {
                Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0),
                None => rest.is_empty().then_some(80),
            });
        if name.is_empty() || port.is_none() || uri.path().contains('@') {
            return Err(CollectorError::Authority);
        }
        match uri.scheme_str() {
            Some("http") if uri.query().is_none() => Ok(Self::At(uri)),
            Some("https") => Err(CollectorError::Encrypted),
            _ => Err(CollectorError::Unreadable),
        }
    }
}

/// Why a text is no [`CollectorChoice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CollectorError {
    /// Not a URL of that kind.
    #[error("not a URL such as http://localhost:4318")]
    Unreadable,
    /// Host, port, user or password.
    #[error(
        "its host or its port (1 to 65535) is not valid; in a user or password, write `/` as %2F, `#` \
         as %23, `?` as %3F and `@` as %40"
    )]
    Authority,
    /// TLS.
    #[error(
        "https is not supported: push by http to an OpenTelemetry Collector on this machine, \
         which forwards it"
    )]
    Encrypted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_taken_for_a_port() {
        for text in [
            "http://user:S3cr/3t@127.0.0.1:1",
            "http://user:S3cr#3t@127.0.0.1:1",
            "http://user:S3cr3t/",
            "http://user:S3cr3t@127.0.0.1:99999",
            "http://user:S3cr3t@:1",
            "http://127.0.0.1:0",
        ] {
            let error = text.parse::<CollectorChoice>().unwrap_err();
            assert_eq!(error, CollectorError::Authority, "{text}");
            assert!(!error.to_string().contains("S3cr"));
        }
        for text in [
            "http://user:S3cr%2F3t@127.0.0.1:1",
            "http://[::1]:4318/otlp",
            "http://collector",
        ] {
            assert!(text.parse::<CollectorChoice>().is_ok(), "{text}");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[test]
    fn a_filter_is_refused_and_the_scope_named() {
        use clap::Parser as _;

        let parse = |args: &[&str]| Command::try_parse_from([&["serve"], args].concat());
        assert_eq!(parse(&[]).unwrap().args.refused, RefusedFilters::default());
        for filter in [
            &["-m", "1ms"][..],
            &["--min=1ms"],
            &["-n", "sh"],
            &["--comm", "sh"],
            &["--parent-comm", "sh"],
            &["-x"],
            &["--failed"],
            &["--filter", "comm=sh"],
            &["-a"],
            &["--all"],
        ] {
            let error = parse(filter).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let error = error.to_string();
            assert!(
                error.contains(&FilterError.to_string()),
                "{filter:?}: {error}"
            );
        }
    }

    #[test]
    fn addresses() {
        let listen: Listen = "[::1]:80".parse().unwrap();
        assert_eq!(listen.address().port(), 80);
        assert_eq!(Listen::default().to_string(), "127.0.0.1:9816");
        for wrong in [
            "",
            "9816",
            ":9816",
            "localhost:9816",
            "127.0.0.1",
            "1.2.3.4:65536",
        ] {
            assert_eq!(wrong.parse::<Listen>(), Err(ListenError), "{wrong}");
        }
    }

    #[test]
    fn collectors() {
        assert!(matches!(
            "http://[::1]:9090/api/v1/otlp".parse(),
            Ok(CollectorChoice::At(_))
        ));
        assert_eq!("".parse(), Ok(CollectorChoice::FromEnvironment));
        assert_eq!(
            "https://x".parse::<CollectorChoice>(),
            Err(CollectorError::Encrypted)
        );
        for wrong in ["localhost:4318", "x", "http://", "ftp://x", "http://x/?a=b"] {
            let error = wrong.parse::<CollectorChoice>();
            assert_eq!(error, Err(CollectorError::Unreadable), "{wrong}");
        }
    }
}
