use super::Value;

/// What becomes of a condition, with the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It holds: the gate has failed.
    Holds(Value),
    /// It does not.
    DoesNotHold(Value),
    /// The figure is not known. So it does not hold.
    NoData,
}
