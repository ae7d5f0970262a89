/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The number of columns that no line exceeds; `None` where nothing is to be cut.
    pub width: Option<usize>,
    /// With colours.
    pub color: bool,
}
