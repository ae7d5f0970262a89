//! What is drawn.

use jiff::tz::TimeZone;

use crate::commands::top::{
    data::{Model, ProcessText},
    state::{SortedRows, Ui},
};

/// How the run or the replay is going.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SceneProgress {
    #[default]
    Live,
    /// COMMAND has ended, or the run is being ended.
    Ending,
    /// A recording: how far it is, and whether it goes on by itself.
    Replay { at: u64, of: u64, is_playing: bool },
}

/// Everything that a screen shows.
pub(crate) struct Scene<'a> {
    pub(crate) model: &'a Model,
    pub(crate) ui: &'a Ui,
    pub(crate) table: &'a SortedRows,
    /// What /proc says about the row's process, if details are shown.
    pub(crate) process: Option<&'a ProcessText>,
    pub(crate) progress: SceneProgress,
    /// What the run is recorded to.
    pub(crate) recording: Option<&'a str>,
    /// What COMMAND has written.
    pub(crate) pane: Option<&'a vt100::Screen>,
    pub(crate) zone: &'a TimeZone,
    pub(crate) has_color: bool,
}
