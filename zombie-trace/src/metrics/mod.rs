//! Figures for monitoring systems: a bounded number of series, and how they are written. Pure.

mod ageing;
mod duration_histogram;
mod exponential_histogram;
mod family;
mod figures;
mod openmetrics;
mod otlp;
mod otlp_messages;
mod series;

pub use duration_histogram::{BOUNDS_NS, DurationHistogram};
pub use exponential_histogram::ExponentialHistogram;
pub use family::{Family, LabelSet, Sample, Samples};
pub use figures::{MetricFigures, Pids, Settings, Standing, Totals};
pub use openmetrics::{Exposition, render};
pub use otlp::{Rejection, export_request, rejection};
pub use series::{Labels, OTHER, Series, SeriesTable, Slot};
