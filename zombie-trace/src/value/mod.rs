//! Values as people write them.

mod pid;
mod time_span;

pub use pid::{PID_MAX_LIMIT, Pid, PidError};
pub use time_span::{TimeSpan, TimeSpanError};
