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
pub(crate) use keys::{Action, BindingKind, SECTIONS, is_now};
pub(crate) use question::{Question, SIGNALS};
pub(crate) use row::{Content, Key, RowFigures, TopRow, phase, rate};
pub(crate) use table::{SortedRows, seconds, table};
pub(crate) use ui::{Effect, Input, Mode, PromptPurpose, Ui};
pub(crate) use view::{Grouping, View, Window};
