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
pub use family::{CAUSE_AFTER, FamilySamples, Sample};
pub use figures::{MetricFigures, Settings, Totals};
pub use openmetrics::{Exposition, render};
pub use otlp::{export_request, rejection};
pub use series::{Labels, Series, SeriesTable, Slot};
