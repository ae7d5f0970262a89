use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{BOUNDS_NS, FamilySamples, MetricFigures, duration_histogram::seconds};

/// A text format for Prometheus, and for what reads the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, 0.0.4.
    Prometheus,
}

impl Exposition {
    /// What HTTP calls it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// The figures as text.
///
/// # Errors
/// None that a string gives cause for.
pub fn render(figures: MetricFigures, format: Exposition) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Registered(figures)));
    let mut out = String::new();
    match format {
        Exposition::OpenMetrics => text::encode(&mut out, &registry)?,
        Exposition::Prometheus => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Registered(MetricFigures);

impl Collector for Registered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.families() {
            let kind = match family.samples {
                FamilySamples::Counters(_) | FamilySamples::Times(_) => MetricType::Counter,
                FamilySamples::Gauges(_) => MetricType::Gauge,
                FamilySamples::Histograms(_) => MetricType::Histogram,
                FamilySamples::Info(_) => MetricType::Info,
            };
            let unit = family.in_seconds.then_some(&Unit::Seconds);
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
            match family.samples {
                FamilySamples::Counters(samples) => {
                    for sample in samples {
                        metric
                            .encode_family(&sample.labels)?
                            .encode_counter::<NoLabelSet, _, f64>(&sample.value, None)?;
                    }
                }
                FamilySamples::Times(samples) => {
                    for sample in samples {
                        metric
                            .encode_family(&sample.labels)?
                            .encode_counter::<NoLabelSet, _, f64>(&sample.value, None)?;
                    }
                }
                FamilySamples::Gauges(samples) => {
                    for sample in samples {
                        let mut metric = metric.encode_family(&sample.labels)?;
                        metric.encode_gauge(&sample.value)?;
                    }
                }
                FamilySamples::Histograms(samples) => {
                    for sample in samples {
                        let times = sample.value;
                        let bounds = BOUNDS_NS.map(seconds).into_iter().chain([f64::INFINITY]);
                        let buckets: Vec<_> = bounds.zip(times.counts().iter().copied()).collect();
                        let mut metric = metric.encode_family(&sample.labels)?;
                        let (sum, count) = (times.sum_seconds(), times.count());
                        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                    }
                }
                FamilySamples::Info(labels) => metric.encode_info(&labels)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::figures::tests::figures;

    #[test]
    fn each_figure_is_written() {
        let text = render(figures(false), Exposition::OpenMetrics).unwrap();
        let parent = r#"{parent="a\"\\\\x0a",container=""}"#;
        for line in [
            "# TYPE zombie_trace_zombie_duration_seconds histogram",
            "# UNIT zombie_trace_zombie_duration_seconds seconds",
            r#"zombie_trace_zombie_duration_seconds_bucket{le="0.000001",parent="a\"\\\\x0a",container=""} 0"#,
            r#"zombie_trace_zombie_duration_seconds_bucket{le="0.000002",parent="a\"\\\\x0a",container=""} 1"#,
            r#"zombie_trace_zombie_duration_seconds_bucket{le="500.0",parent="a\"\\\\x0a",container=""} 2"#,
            r#"zombie_trace_zombie_duration_seconds_bucket{le="+Inf",parent="a\"\\\\x0a",container=""} 3"#,
            &format!("zombie_trace_zombie_duration_seconds_count{parent} 3"),
            &format!("zombie_trace_zombie_duration_seconds_sum{parent} 600.0030015"),
            "# TYPE zombie_trace_zombie_seconds counter",
            "# UNIT zombie_trace_zombie_seconds seconds",
            &format!("zombie_trace_zombie_seconds_total{parent} 601.7530015"),
            r#"zombie_trace_zombie_seconds_total{parent="",container=""} 7.0"#,
            &format!("zombie_trace_reaped_total{parent} 3"),
            &format!("zombie_trace_zombies{parent} 2.0"),
            r#"zombie_trace_zombies{parent="",container=""} 1.0"#,
            &format!("zombie_trace_oldest_zombie_seconds{parent} 1.5"),
            "zombie_trace_autoreaped_total 4",
            r#"zombie_trace_lost_total{kind="ring_full"} 1"#,
            r#"zombie_trace_lost_total{kind="map_full"} 2"#,
            r#"zombie_trace_lost_total{kind="missed"} 3"#,
            "zombie_trace_series_overflow_total 0",
            "zombie_trace_pids 200.0",
            "zombie_trace_pids_max 32768.0",
            concat!(
                r#"zombie_trace_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#"",backend="fentry"} 1"#
            ),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn both_formats_have_the_same_samples() {
        let samples = |format| {
            let text = render(figures(false), format).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).count()
        };
        assert_eq!(
            samples(Exposition::OpenMetrics),
            samples(Exposition::Prometheus)
        );
        let text = render(figures(false), Exposition::Prometheus).unwrap();
        assert!(
            text.contains("# TYPE zombie_trace_reaped_total counter\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE zombie_trace_zombie_seconds_total counter\n"),
            "{text}"
        );
        assert!(!text.contains("# EOF"), "{text}");
    }
}
