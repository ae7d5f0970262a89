/// What the rows of a summary's table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum By {
    /// Parents
    #[default]
    Pid,
    /// Command names of the zombies
    Comm,
    /// Containers
    Container,
    /// Causes
    Cause,
}
