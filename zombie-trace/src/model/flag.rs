use serde::{
    Deserialize, Deserializer, Serialize,
    de::value::{Error, StrDeserializer},
};

/// What is special about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Flag {
    /// The begin of the zombie time is not exact.
    ApproximateStart,
    /// The end of the zombie time is only known to lie in an interval.
    BoundedEnd,
    /// The thread group leader ended alone, before the rest of its group.
    LeaderExitedEarly,
    /// The real parent died while the process was a zombie.
    Reparented,
    /// A tracer was attached when it became a zombie.
    Traced,
    /// It was dying or a zombie before the tracer attached.
    PreExisting,
    /// Its parent is not told of its death (`exit_signal` 0).
    NoExitSignal,
}

impl Flag {
    /// As in the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApproximateStart => "approximate-start",
            Self::BoundedEnd => "bounded-end",
            Self::LeaderExitedEarly => "leader-exited-early",
            Self::Reparented => "reparented",
            Self::Traced => "traced",
            Self::PreExisting => "pre-existing",
            Self::NoExitSignal => "no-exit-signal",
        }
    }
}

/// Those of the flags that are known: a newer version may have written others.
pub(super) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Flag>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let flag = |name: &String| Flag::deserialize(StrDeserializer::<Error>::new(name)).ok();
    Ok(names.iter().filter_map(flag).collect())
}
