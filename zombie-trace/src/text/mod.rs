//! Text for people: units, escapes, colours, encoding.

mod charset;
#[cfg(feature = "cli")]
mod color_when;
mod command;
mod duration;
pub(crate) mod escape;
#[cfg(feature = "cli")]
pub(crate) mod lifetime;
mod quoted;
mod status;
#[cfg(feature = "cli")]
pub(crate) mod style;
#[cfg(feature = "cli")]
mod time_of_day;
#[cfg(feature = "cli")]
mod wrap;

#[cfg(feature = "cli")]
pub(crate) use self::{
    charset::encode,
    style::{BAD, GOOD, HEADING, paint},
    time_of_day::time_of_day,
    wrap::wrap,
};
#[cfg(feature = "cli")]
pub use self::{charset::use_locale, color_when::ColorWhen};
pub(crate) use command::command;
pub(crate) use duration::human;
pub(crate) use quoted::quoted;
pub(crate) use status::status;

use crate::model::Comm;

/// A command name with all that could fool a terminal made visible.
pub(crate) fn printable(comm: &Comm) -> String {
    visible(&comm.to_str())
}

/// Any text with all that could fool a terminal made visible.
pub(crate) fn visible(text: &str) -> String {
    escape::escape(text).into_owned()
}

/// A path likewise.
pub(crate) fn path(path: &std::path::Path) -> String {
    visible(&path.to_string_lossy())
}
