use jiff::Timestamp;
use prost::{DecodeError, Message as _};

use super::{
    BOUNDS_NS, DurationHistogram, FamilySamples, MetricFigures, Sample,
    duration_histogram::seconds,
    exponential_histogram::{ExponentialHistogram, SCALE},
    otlp_messages::{
        self, AggregationTemporality, AnyValue, Buckets, Data, ExponentialHistogramDataPoint,
        ExportMetricsServiceRequest, ExportMetricsServiceResponse, Gauge, Histogram,
        HistogramDataPoint, InstrumentationScope, KeyValue, Metric, NumberDataPoint, Resource,
        ResourceMetrics, ScopeMetrics, Sum, Value,
    },
};

/// The figures as a message of the OpenTelemetry protocol, from a resource with these attributes.
///
/// All of them are totals since counting began: the next message makes up for one that is lost.
/// Histograms are exponential if the figures have them.
pub fn export_request(
    figures: &MetricFigures,
    resource: &[(String, String)],
    now: Timestamp,
) -> Vec<u8> {
    let metrics = figures.families().into_iter().map(|family| {
        let (name, data) = match family.samples {
            FamilySamples::Counters(samples) => {
                let point = |sample: &Sample<'_, u64>| {
                    let value = i64::try_from(sample.value).unwrap_or(i64::MAX);
                    number(sample, Value::AsInt(value), now)
                };
                let data = total(samples.iter().map(point).collect());
                (family.name.to_owned(), data)
            }
            FamilySamples::Times(samples) => {
                let point =
                    |sample: &Sample<'_, f64>| number(sample, Value::AsDouble(sample.value), now);
                let data = total(samples.iter().map(point).collect());
                (family.name.to_owned(), data)
            }
            FamilySamples::Gauges(samples) => {
                let point =
                    |sample: &Sample<'_, f64>| number(sample, Value::AsDouble(sample.value), now);
                (
                    family.name.to_owned(),
                    gauge(samples.iter().map(point).collect()),
                )
            }
            FamilySamples::Histograms(samples) => {
                (family.name.to_owned(), histograms(&samples, now))
            }
            // It has no such kind: as Prometheus has it.
            FamilySamples::Info(labels) => {
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
        }
    });
    let scope = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        metrics: metrics.collect(),
    };
    let resource = resource.iter();
    let resource = Resource {
        attributes: resource.map(|(key, value)| attribute(key, value)).collect(),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
        }],
    }
    .encode_to_vec()
}

/// A collector that did not take everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// How many figures it rejected.
    pub figures: i64,
    /// Its reason, which is not to be trusted.
    pub reason: String,
}

/// What a collector's answer says was rejected.
///
/// # Errors
/// The answer is not a message of the protocol.
pub fn rejection(answer: &[u8]) -> Result<Option<Rejection>, DecodeError> {
    let answer = ExportMetricsServiceResponse::decode(answer)?;
    let partial = answer.partial_success;
    Ok(partial
        .filter(|partial| partial.rejected_data_points > 0)
        .map(|partial| Rejection {
            figures: partial.rejected_data_points,
            reason: partial.error_message,
        }))
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            string_value: Some(value.to_owned()),
        }),
    }
}

fn attributes(labels: &[(&'static str, &str)]) -> Vec<KeyValue> {
    let labels = labels.iter();
    labels.map(|(key, value)| attribute(key, value)).collect()
}

fn total(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum {
        data_points,
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    })
}

fn histograms(samples: &[Sample<'_, &DurationHistogram>], now: Timestamp) -> Data {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let exponential = samples.iter().map(|sample| {
        let buckets = sample.value.exponential()?;
        Some(exponential_histogram(sample, buckets, now))
    });
    // All of them or none.
    match exponential.collect() {
        Some(data_points) if !samples.is_empty() => {
            Data::ExponentialHistogram(otlp_messages::ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }
        _ => Data::Histogram(Histogram {
            data_points: samples
                .iter()
                .map(|sample| histogram(sample, now))
                .collect(),
            aggregation_temporality,
        }),
    }
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
    }
}

fn exponential_histogram(
    sample: &Sample<'_, &DurationHistogram>,
    histogram: &ExponentialHistogram,
    now: Timestamp,
) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: nanoseconds(sample.since),
        time_unix_nano: nanoseconds(now),
        count: sample.value.count(),
        sum: Some(sample.value.sum_seconds()),
        scale: SCALE,
        zero_count: histogram.zeros(),
        positive: Some(Buckets {
            offset: histogram.offset(),
            bucket_counts: histogram.counts().to_vec(),
        }),
    }
}

fn nanoseconds(ts: Timestamp) -> u64 {
    u64::try_from(ts.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    // The published definition of the protocol, independent of ours.
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        },
        common::v1::{AnyValue, KeyValue, any_value},
        metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point::Value},
    };

    use super::*;
    use crate::metrics::figures::tests::figures;

    fn attribute(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(any_value::Value::StringValue(value.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    fn metrics() -> Vec<Metric> {
        exported(false)
    }

    fn exported(exponential: bool) -> Vec<Metric> {
        let now = Timestamp::from_second(5).unwrap();
        let resource = [("host.name".to_owned(), "h".to_owned())];
        let message = export_request(&figures(exponential), &resource, now);
        let mut request = ExportMetricsServiceRequest::decode(&message[..]).unwrap();
        // Nothing is lost on the way: neither side has fields that the other lacks.
        assert_eq!(request.encode_to_vec(), message);
        let mut resource = request.resource_metrics.remove(0);
        let attributes = resource.resource.unwrap().attributes;
        assert_eq!(attributes, [attribute("host.name", "h")]);
        let mut scope = resource.scope_metrics.remove(0);
        assert_eq!(scope.scope.take().unwrap().name, "zombie-trace");
        scope.metrics
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
        assert_eq!(
            histogram.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert_eq!((point.count, point.sum), (3, Some(600.003_001_5)));
        assert_eq!(
            (point.start_time_unix_nano, point.time_unix_nano),
            (0, 5_000_000_000)
        );
        assert_eq!(point.attributes[0], attribute("parent", r#"a"\\x0a"#));
        assert_eq!(point.attributes[1], attribute("container", ""));
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
    fn zombie_time_is_a_monotonic_total_in_seconds() {
        let named = |metric: &Metric| metric.name == "zombie_trace_zombie";
        let metric = metrics().into_iter().find(named).unwrap();
        let Some(Data::Sum(sum)) = metric.data else {
            panic!("no sum");
        };
        assert!(sum.is_monotonic);
        assert_eq!(metric.unit, "s");
        let values: Vec<_> = sum.data_points.iter().map(|point| point.value).collect();
        assert_eq!(
            values,
            [601.753_001_5, 7.0].map(|value| Some(Value::AsDouble(value)))
        );
    }

    #[test]
    fn histograms_are_exponential_if_that_is_asked_for() {
        let metrics = exported(true);
        let histogram = metrics.iter().find_map(|metric| match &metric.data {
            Some(Data::ExponentialHistogram(histogram)) => Some(histogram),
            _ => None,
        });
        let histogram = histogram.unwrap();
        assert_eq!(
            histogram.aggregation_temporality(),
            AggregationTemporality::Cumulative
        );
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(600.003_001_5)));
        assert_eq!((point.scale, point.zero_count), (3, 0));
        let buckets = point.positive.as_ref().unwrap();
        // Where each of them is: between base^index and base^(index + 1) s.
        let base = 2f64.powf(1.0 / 8.0);
        let mut found = Vec::new();
        for (place, count) in buckets.bucket_counts.iter().enumerate() {
            if *count > 0 {
                let lower = base.powi(buckets.offset + place as i32);
                found.push((lower, lower * base, *count));
            }
        }
        for ((lower, upper, count), seconds) in found.into_iter().zip([1.5e-6, 0.003, 600.0]) {
            assert!(lower < seconds && seconds <= upper, "{lower} {upper}");
            assert_eq!(count, 1);
        }
        assert!(
            !metrics
                .iter()
                .any(|metric| matches!(metric.data, Some(Data::Histogram(_))))
        );
    }

    #[test]
    fn gauges_are_numbers() {
        let Data::Gauge(gauge) = data("zombie_trace_zombies") else {
            panic!("no gauge");
        };
        let values: Vec<_> = gauge.data_points.iter().map(|point| point.value).collect();
        assert_eq!(values, [2.0, 1.0].map(|value| Some(Value::AsDouble(value))));
    }

    #[test]
    fn names_and_units_become_those_of_prometheus() {
        let named = |name: &str| metrics().into_iter().find(|metric| metric.name == name);
        assert_eq!(named("zombie_trace_oldest_zombie").unwrap().unit, "s");
        assert_eq!(named("zombie_trace_zombies").unwrap().unit, "");
        assert!(named("zombie_trace_build_info").is_some());
    }

    #[test]
    fn a_rejection_is_read() {
        assert_eq!(rejection(&[]), Ok(None));
        let answer = |rejected_data_points| {
            let partial_success = Some(ExportMetricsPartialSuccess {
                rejected_data_points,
                error_message: "too old".to_owned(),
            });
            ExportMetricsServiceResponse { partial_success }.encode_to_vec()
        };
        assert_eq!(rejection(&answer(0)), Ok(None));
        let rejected = rejection(&answer(3)).unwrap().unwrap();
        assert_eq!((rejected.figures, &*rejected.reason), (3, "too old"));
        assert!(rejection(b"<html>").is_err());
    }
}
