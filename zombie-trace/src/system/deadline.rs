//! When something has to be over, whatever happens.

use std::time::{Duration, Instant};

/// How long the end of a run may take, from the request to stop to the last record. With the time that
/// the output has after that it is 5 s.
pub const END: Duration = Duration::from_millis(4500);

/// An instant after which nothing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// This one, or so long from now if that is sooner.
    pub fn or_after(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The same, so much sooner.
    #[cfg(feature = "stacks")]
    pub fn sooner(self, by: Duration) -> Self {
        Self(self.0.checked_sub(by).unwrap_or(self.0))
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// How long it is until then; zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Waits until then.
    pub async fn passed(self) {
        tokio::time::sleep(self.left()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_one_counts() {
        let late = Deadline::after(Duration::from_secs(3600));
        assert!(!late.has_passed());
        assert!(late.left() <= Duration::from_secs(3600));
        let now = late.or_after(Duration::ZERO);
        assert!(now < late && now.has_passed() && now.left().is_zero());
        assert_eq!(now.or_after(Duration::from_secs(3600)), now);
    }
}
