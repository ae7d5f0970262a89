//! What the screen shows: keys and figures in, a table out. Pure.

mod choice;
mod column;
mod keys;
mod question;
mod row;
mod table;
mod tree;
mod ui;
mod view;

pub(crate) use choice::{Choice, DEFAULT_THRESHOLD};
pub(crate) use column::{Column, fitting};
pub(crate) use keys::{Action, Kind, SECTIONS, is_now};
pub(crate) use question::{Question, SIGNALS};
pub(crate) use row::{Content, Figures, Key, Row, phase, rate};
pub(crate) use table::{Table, seconds, table};
pub(crate) use ui::{Effect, Input, Mode, Purpose, Ui};
pub(crate) use view::{Grouping, View, Window};
