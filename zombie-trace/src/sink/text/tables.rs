use crate::aggregate::By;

/// Which tables a summary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The number of rows that a table has at most.
    pub top: u32,
    /// What the rows are.
    pub by: By,
}

impl Tables {
    /// The usual number of rows.
    pub const TOP: u32 = 10;

    /// As many rows as a table has at most.
    pub(super) fn rows(self) -> usize {
        self.top as usize
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            top: Self::TOP,
            by: By::default(),
        }
    }
}
