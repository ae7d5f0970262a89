//! Which of the text formats a client likes best.

use crate::metrics::Exposition;

/// OpenMetrics for those that name it and do not like plain text better; the others may be people.
pub(super) fn format(accept: Option<&str>) -> Exposition {
    let accept = accept.unwrap_or_default();
    let open = quality(accept, "application/openmetrics-text");
    if open > 0.0 && open >= quality(accept, "text/plain") {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    }
}

/// How much a media type is liked, from 0 to 1 (RFC 9110, 12.4.2); 0 if it is not named.
fn quality(accept: &str, media_type: &str) -> f32 {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media_type) {
            return None;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        quality.map_or(Some(1.0), |quality| quality.parse().ok())
    });
    ranges.fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_openmetrics() {
        // What 2.42 and 3.5 send.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;\
             escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            assert_eq!(format(Some(accept)), Exposition::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn others_get_plain_text() {
        for accept in [
            None,
            Some("*/*"),
            Some("text/html,*/*;q=0.8"),
            Some("text/plain"),
            Some("application/openmetrics-text;q=0"),
            Some("text/plain;version=0.0.4, application/openmetrics-text;q=0.5"),
            Some(";;,q=,\u{fffd}"),
        ] {
            assert_eq!(format(accept), Exposition::Prometheus, "{accept:?}");
        }
    }
}
