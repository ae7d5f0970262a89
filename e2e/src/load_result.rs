use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

/// What `load` did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LoadResult {
    /// Processes made and reaped, itself not counted.
    pub processes: u64,
    /// How long that took.
    pub elapsed_ns: u64,
}

impl LoadResult {
    /// Writes it to standard output as a line of JSON.
    pub fn print(&self) {
        let line = serde_json::to_string(self).expect("valid JSON");
        writeln!(io::stdout(), "{line}").expect("somebody reads");
    }

    /// The result among what `load` wrote.
    pub fn parse(output: &str) -> Option<Self> {
        serde_json::from_str(output.lines().last()?).ok()
    }
}
