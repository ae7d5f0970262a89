//! Text for people: units, escapes, colours, encoding.

mod charset;
mod color_when;
mod command;
mod duration;
pub(crate) mod escape;
mod quoted;
mod status;
pub(crate) mod style;
mod time_of_day;
mod wrap;

pub(crate) use charset::encode;
pub use charset::use_locale;
pub use color_when::ColorWhen;
pub(crate) use command::command;
pub(crate) use duration::human;
pub(crate) use quoted::quoted;
pub(crate) use status::status;
pub(crate) use style::{BAD, GOOD, HEADING, paint};
pub(crate) use time_of_day::time_of_day;
pub(crate) use wrap::wrap;

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
