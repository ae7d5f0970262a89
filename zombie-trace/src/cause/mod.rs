//! Why a zombie is still there: a diagnosis from facts. Pure.
//!
//! Only what the facts prove is said; anything else is [`Cause::Unknown`](crate::model::Cause::Unknown), with the facts.

mod advice;
mod diagnose;
mod dying;
mod facts;
mod rivals;

pub use advice::{general_advice, thaw};
pub use diagnose::diagnose;
pub(crate) use dying::REFRIGERATOR;
pub use dying::dying;
pub(crate) use facts::WNOTHREAD;
pub use facts::{
    CpuLimit, Disposition, Facts, Frozen, HandlerHistory, History, OtherProcess, Pace, ParentFacts,
    PipeFacts, ReapHistory, State, ThreadFacts, TracerFacts, Unreadable, Wait, WaitTarget,
    ZombieFacts,
};
pub use rivals::{Rivals, rivals};
