//! What can be chosen: the view, the window of time, and the grouping.

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum View {
    #[default]
    Parents,
    Alive,
    Reaps,
    Commands,
    Containers,
    Timeline,
}

impl View {
    /// Every view, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Parents,
        Self::Alive,
        Self::Reaps,
        Self::Commands,
        Self::Containers,
        Self::Timeline,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parents => "Parents",
            Self::Alive => "Alive",
            Self::Reaps => "Reaps",
            Self::Commands => "Commands",
            Self::Containers => "Containers",
            Self::Timeline => "Timeline",
        }
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or(0)
    }

    /// The view that many further on, around the end.
    pub(crate) fn step(self, by: isize) -> Self {
        let index = (self.index() as isize + by).rem_euclid(Self::ALL.len() as isize);
        Self::ALL[index as usize]
    }
}

/// The stretch of time that rates and percentiles are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Window {
    TenSeconds,
    #[default]
    Minute,
    All,
}

impl Window {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TenSeconds => "10 s",
            Self::Minute => "1 min",
            Self::All => "all",
        }
    }

    /// `None` for the whole run.
    pub(crate) fn seconds(self) -> Option<i64> {
        match self {
            Self::TenSeconds => Some(10),
            Self::Minute => Some(60),
            Self::All => None,
        }
    }

    pub(crate) fn longer(self) -> Self {
        match self {
            Self::TenSeconds => Self::Minute,
            Self::Minute | Self::All => Self::All,
        }
    }

    pub(crate) fn shorter(self) -> Self {
        match self {
            Self::All => Self::Minute,
            Self::Minute | Self::TenSeconds => Self::TenSeconds,
        }
    }
}

/// What the rows of the parents view stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Grouping {
    #[default]
    Pid,
    Command,
    Unit,
    Container,
}

impl Grouping {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Command => "command",
            Self::Unit => "unit",
            Self::Container => "container",
        }
    }

    pub(crate) fn next(self) -> Self {
        match self {
            Self::Pid => Self::Command,
            Self::Command => Self::Unit,
            Self::Unit => Self::Container,
            Self::Container => Self::Pid,
        }
    }
}
