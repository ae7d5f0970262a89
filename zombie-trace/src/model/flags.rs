//! Flags as they are read from a recording.

use serde::{
    Deserialize, Deserializer,
    de::value::{Error, StrDeserializer},
};

use super::Flag;

/// Those of the flags that are known: a newer version may have written others.
pub(super) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Flag>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let flag = |name: &String| Flag::deserialize(StrDeserializer::<Error>::new(name)).ok();
    Ok(names.iter().filter_map(flag).collect())
}
