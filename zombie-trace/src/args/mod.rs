//! Options that several commands have.

mod backend_choice;
mod buffer_size;
mod color;
mod files;
mod filter;
mod gate;
mod scope;
#[cfg(feature = "stacks")]
mod stacks;
mod table;
mod tuning;
pub(crate) mod user;

pub use backend_choice::BackendChoice;
pub use buffer_size::BufferSize;
pub use color::ColorArgs;
pub(crate) use files::Files;
pub use filter::FilterArgs;
pub use gate::{Conditions, GateArgs, OfARun, OfNow, OfRecordings, OfTwoRuns};
pub use scope::ScopeArgs;
#[cfg(feature = "stacks")]
pub use stacks::StackArgs;
pub use table::TableArgs;
pub use tuning::TuningArgs;
