//! What passes between this program and its process for symbols.

use serde::{Deserialize, Serialize};

/// What the process for symbols is called. A program that is started under this name is that.
pub(super) const NAME: &str = "zombie-trace: symbols";

/// Where it finds the module.
pub(super) const MODULE: i32 = 3;

/// A function that an address is in, and where. Several are inlined into each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Symbol {
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    /// Into the next one.
    pub(super) inlined: bool,
}

/// What is asked about a module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SymbolQuestion {
    /// It is the map of the names of code that is in no file.
    pub(super) is_perf_map: bool,
    /// Sorted.
    pub(super) addresses: Vec<u64>,
}

/// The symbols of one address, innermost first. One line of JSON each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) address: u64,
    pub(super) symbols: Vec<Symbol>,
}
