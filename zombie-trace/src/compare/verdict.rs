use serde::Serialize;

/// A change by less than this factor, up or down, is no difference, however sure it is.
pub const LEAST_CHANGE: f64 = 1.1;

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// Zombies last longer.
    Worse,
    /// They last less long.
    Better,
    /// Some last longer, others less long.
    Mixed,
    /// None that counts.
    NoDifference,
    /// It can't be told.
    NotEnoughData,
}

impl Meaning {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Mixed => "mixed",
            Self::NoDifference => "no difference",
            Self::NotEnoughData => "not enough data",
        }
    }

    /// There is a difference.
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Worse | Self::Better | Self::Mixed)
    }

    /// Of several figures.
    pub(super) fn of(verdicts: impl Iterator<Item = Self>) -> Self {
        verdicts.fold(Self::NotEnoughData, |all, one| match (all, one) {
            (Self::NotEnoughData, other) | (other, Self::NotEnoughData) => other,
            (Self::NoDifference, other) | (other, Self::NoDifference) => other,
            (all, one) if all == one => all,
            _ => Self::Mixed,
        })
    }
}
