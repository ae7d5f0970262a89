use super::Value;

/// What becomes of a condition, with the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It holds: the gate has failed.
    Holds(Value),
    /// It does not.
    DoesNotHold(Value),
    /// There is nothing that the figure could be about: no zombie was reaped, or a change can't be told
    /// from noise. The gate passes.
    NoData,
    /// What the figure is about is there, but the figure is not known. The gate fails: nobody may take
    /// it for judged.
    Unknown,
}
