use jiff::Timestamp;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};

use super::{BOUNDS_NS, DurationHistogram, Figures, Sample, Samples, duration_histogram::seconds};

/// The figures for the OpenTelemetry protocol, of the resource of these attributes.
///
/// All of them are totals since their beginning: a message that is lost takes nothing with it that
/// the next does not tell.
pub fn export_request(
    figures: &Figures,
    resource: &[KeyValue],
    now: Timestamp,
) -> ExportMetricsServiceRequest {
    let metrics = figures.families().into_iter().map(|family| {
        let (name, data) = match family.samples {
            Samples::Counters(samples) => {
                let point = |sample: &Sample<'_, u64>| {
                    let value = i64::try_from(sample.value).unwrap_or(i64::MAX);
                    number(sample, Value::AsInt(value), now)
                };
                let data = Data::Sum(Sum {
                    data_points: samples.iter().map(point).collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                });
                (family.name.to_owned(), data)
            }
            Samples::Gauges(samples) => {
                let point =
                    |sample: &Sample<'_, f64>| number(sample, Value::AsDouble(sample.value), now);
                (
                    family.name.to_owned(),
                    gauge(samples.iter().map(point).collect()),
                )
            }
            Samples::Histograms(samples) => {
                let data = Data::Histogram(Histogram {
                    data_points: samples
                        .iter()
                        .map(|sample| histogram(sample, now))
                        .collect(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                });
                (family.name.to_owned(), data)
            }
            // It has no such kind: as Prometheus has it.
            Samples::Info(labels) => {
                let sample = Sample {
                    labels,
                    since: figures.started,
                    value: 1,
                };
                let data = gauge(vec![number(&sample, Value::AsInt(1), now)]);
                (format!("{}_info", family.name), data)
            }
        };
        Metric {
            name,
            description: family.help.to_owned(),
            unit: if family.in_seconds { "s" } else { "" }.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    });
    let scope = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: resource.to_vec(),
                ..Resource::default()
            }),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        }],
    }
}

/// An attribute that is a string.
pub fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn attributes(labels: &[(&'static str, &str)]) -> Vec<KeyValue> {
    let labels = labels.iter();
    labels.map(|(key, value)| attribute(key, value)).collect()
}

fn gauge(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points })
}

fn number<T>(sample: &Sample<'_, T>, value: Value, now: Timestamp) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: nanoseconds(sample.since),
        time_unix_nano: nanoseconds(now),
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn histogram(sample: &Sample<'_, &DurationHistogram>, now: Timestamp) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: nanoseconds(sample.since),
        time_unix_nano: nanoseconds(now),
        count: sample.value.count(),
        sum: Some(sample.value.sum_seconds()),
        bucket_counts: sample.value.counts().to_vec(),
        explicit_bounds: BOUNDS_NS.map(seconds).to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn nanoseconds(ts: Timestamp) -> u64 {
    u64::try_from(ts.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::figures::tests::figures;

    fn metrics() -> Vec<Metric> {
        let now = Timestamp::from_second(5).unwrap();
        let mut request = export_request(&figures(), &[attribute("host.name", "h")], now);
        let mut resource = request.resource_metrics.remove(0);
        let attributes = resource.resource.unwrap().attributes;
        assert_eq!(attributes, [attribute("host.name", "h")]);
        resource.scope_metrics.remove(0).metrics
    }

    fn data(name: &str) -> Data {
        let metric = metrics().into_iter().find(|metric| metric.name == name);
        metric.and_then(|metric| metric.data).unwrap()
    }

    #[test]
    fn a_histogram_has_a_count_for_each_bound_and_one_more() {
        let Data::Histogram(histogram) = data("zombie_trace_zombie_duration") else {
            panic!("no histogram");
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert_eq!((point.count, point.sum), (3, Some(600.003_001_5)));
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (0, 5_000_000_000)
        );
        assert_eq!(point.attributes[0], attribute("parent", "a\"\\\n"));
    }

    #[test]
    fn counters_are_monotonic_totals() {
        let Data::Sum(sum) = data("zombie_trace_lost") else {
            panic!("no sum");
        };
        assert!(sum.is_monotonic);
        assert_eq!(
            sum.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let values: Vec<_> = sum.data_points.iter().map(|point| point.value).collect();
        assert_eq!(values, [1, 2, 3].map(|value| Some(Value::AsInt(value))));
    }

    #[test]
    fn names_and_units_become_those_of_prometheus() {
        let named = |name: &str| metrics().into_iter().find(|metric| metric.name == name);
        assert_eq!(named("zombie_trace_oldest_zombie").unwrap().unit, "s");
        assert_eq!(named("zombie_trace_zombies").unwrap().unit, "");
        assert!(named("zombie_trace_build_info").is_some());
    }
}
