/// What becomes of a record in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is listed.
    Listed,
    /// It would be, had autoreaped processes been asked for.
    Autoreaped,
    /// It is not what was asked for.
    Filtered,
}

impl Listing {
    /// Whether a record is counted as `filtered`.
    pub fn is_filtered(self) -> bool {
        self != Self::Listed
    }
}
