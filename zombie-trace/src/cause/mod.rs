//! Why a zombie is still there: a diagnosis from facts. Pure.
//!
//! Only what the facts prove is said; anything else is [`Cause::Unknown`](crate::model::Cause::Unknown), with the facts.

mod advice;
mod diagnose;
mod dying;
mod facts;

pub use advice::general_advice;
pub use diagnose::diagnose;
pub use dying::dying;
pub(crate) use facts::WNOTHREAD;
pub use facts::{
    Disposition, Facts, HandlerHistory, History, OtherProcess, Pace, ParentFacts, PipeFacts,
    ReapHistory, State, ThreadFacts, Tracer, Unreadable, Wait, WaitTarget, ZombieFacts,
};
