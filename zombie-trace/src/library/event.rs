use crate::{
    aggregate::Summary,
    model::{Alive, Dying, Loss, Zombie},
    run::warning::Warning,
};

/// What a run sees.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A zombie was reaped.
    Zombie(Zombie),
    /// A zombie has reached the [age](super::TraceBuilder::alive_after) at which it is reported, or a
    /// multiple of it; or it still exists at the end of the run.
    Alive(Alive),
    /// A process was killed or has begun to exit, and has not ended a second later.
    Dying(Dying),
    /// Something was lost since the last such event.
    Loss(Loss),
    /// Something that the user should know.
    Warning(Warning),
    /// The run has ended: the last event.
    Summary(Box<Summary>),
}
