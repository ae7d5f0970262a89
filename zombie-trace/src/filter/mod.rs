//! Which processes a run lists. Each value that can be asked for is a parsed type. Pure.

mod expression;
mod listing;
mod name_glob;

pub use expression::{Expression, Subject};
pub use listing::Listing;
pub use name_glob::NameGlob;

use crate::{
    model::{Alive, Comm, Dying, FilterLine, Zombie},
    value::TimeSpan,
};

/// Decides which of the processes in scope are listed.
///
/// The globs of one field are alternatives; what is asked by different fields must hold together.
/// The default lists every process that was not autoreaped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Names of the process; empty for any.
    pub comm: Vec<NameGlob>,
    /// Names of its parent; empty for any. An unknown parent matches none.
    pub parent_comm: Vec<NameGlob>,
    /// Only processes that exited with a code other than 0 or were killed.
    pub failed: bool,
    /// Only zombies that lasted at least this long.
    pub min: Option<TimeSpan>,
    /// Autoreaped processes too.
    pub autoreaped: bool,
    /// Only processes that meet these conditions.
    pub conditions: Expression,
}

impl Filter {
    /// As in the first line of JSON.
    pub fn line(&self) -> FilterLine {
        let globs = |globs: &[NameGlob]| globs.iter().map(ToString::to_string).collect();
        FilterLine {
            min_ns: self.min.map_or(0, TimeSpan::as_nanos),
            comm: globs(&self.comm),
            parent_comm: globs(&self.parent_comm),
            failed: self.failed,
            all: self.autoreaped,
            conditions: (!self.conditions.is_empty()).then(|| self.conditions.to_string()),
        }
    }

    /// What becomes of a process that is gone.
    pub fn listing(&self, zombie: &Zombie) -> Listing {
        let asked_for = self.matches(
            &zombie.comm,
            zombie.parent_comm.as_ref(),
            zombie.failed(),
            zombie.zombie_ns,
        ) && self.meets(|| zombie.into());
        match (asked_for, zombie.autoreaped() && !self.autoreaped) {
            (true, false) => Listing::Listed,
            (true, true) => Listing::Autoreaped,
            (false, _) => Listing::Filtered,
        }
    }

    /// Whether a process that is gone is listed.
    pub fn passes(&self, zombie: &Zombie) -> bool {
        self.listing(zombie) == Listing::Listed
    }

    /// Whether a zombie that still exists is listed; its age so far counts as its time.
    pub fn passes_alive(&self, alive: &Alive) -> bool {
        let failed = alive.signal.is_some() || alive.exit_code.is_some_and(|code| code != 0);
        self.matches(
            &alive.comm,
            alive.parent_comm.as_ref(),
            failed,
            alive.age_ns,
        ) && self.meets(|| alive.into())
    }

    /// Whether a dying process is listed; `parent_comm` is its parent's name. It has no zombie time, and
    /// no exit status yet.
    pub fn passes_dying(&self, dying: &Dying, parent_comm: Option<&Comm>) -> bool {
        let any = u64::MAX;
        self.matches(&dying.comm, parent_comm, dying.signal.is_some(), any)
            && self.meets(|| Subject::dying(dying, parent_comm))
    }

    /// Whether the conditions hold. Without any, nothing is looked at.
    fn meets<'a>(&self, subject: impl FnOnce() -> Subject<'a>) -> bool {
        self.conditions.is_empty() || self.conditions.matches(&subject())
    }

    fn matches(&self, comm: &Comm, parent: Option<&Comm>, failed: bool, zombie_ns: u64) -> bool {
        (!self.failed || failed)
            && self.min.is_none_or(|min| zombie_ns >= min.as_nanos())
            && (self.comm.is_empty() || self.comm.iter().any(|glob| glob.matches(comm)))
            && (self.parent_comm.is_empty()
                || parent
                    .is_some_and(|name| self.parent_comm.iter().any(|glob| glob.matches(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::How;
    use crate::model::fixtures::{alive, zombie};

    fn globs(patterns: &[&str]) -> Vec<NameGlob> {
        patterns.iter().map(|glob| glob.parse().unwrap()).collect()
    }

    #[test]
    fn default_lists_all_but_the_autoreaped() {
        let filter = Filter::default();
        assert!(filter.passes(&zombie()));
        assert!(filter.passes_alive(&alive()));

        let mut autoreaped = zombie();
        autoreaped.how = How::Autoreap;
        autoreaped.zombie_ns = 0;
        assert_eq!(filter.listing(&autoreaped), Listing::Autoreaped);
        let all = Filter {
            autoreaped: true,
            ..Filter::default()
        };
        assert_eq!(all.listing(&autoreaped), Listing::Listed);
    }

    #[test]
    fn autoreap_on_reparent_is_a_zombie() {
        let mut zombie = zombie();
        zombie.how = How::AutoreapOnReparent;
        assert!(Filter::default().passes(&zombie));
    }

    #[test]
    fn what_is_not_asked_for_is_filtered_even_if_autoreaped() {
        let filter = Filter {
            min: Some("10ms".parse().unwrap()),
            ..Filter::default()
        };
        let mut autoreaped = zombie();
        autoreaped.how = How::Autoreap;
        autoreaped.zombie_ns = 0;
        assert_eq!(filter.listing(&autoreaped), Listing::Filtered);
    }

    #[test]
    fn globs_of_one_field_are_alternatives() {
        let filter = Filter {
            comm: globs(&["zzz", "sle*"]),
            ..Filter::default()
        };
        assert!(filter.passes(&zombie()));
        assert!(filter.passes_alive(&alive()));
    }

    #[test]
    fn fields_must_hold_together() {
        let filter = Filter {
            comm: globs(&["sleep"]),
            parent_comm: globs(&["nobody"]),
            ..Filter::default()
        };
        assert!(!filter.passes(&zombie()));
        assert!(!filter.passes_alive(&alive()));
    }

    #[test]
    fn unknown_parent_matches_no_glob() {
        let filter = Filter {
            parent_comm: globs(&["*"]),
            ..Filter::default()
        };
        let mut orphan = zombie();
        assert!(filter.passes(&orphan));
        orphan.parent_comm = None;
        assert!(!filter.passes(&orphan));
    }

    #[test]
    fn minimum_is_inclusive_and_compares_the_age_of_the_living() {
        let filter = Filter {
            min: Some("10ms".parse().unwrap()),
            ..Filter::default()
        };
        let mut reaped = zombie();
        let mut living = alive();
        for (ns, expected) in [(9_999_999, false), (10_000_000, true)] {
            reaped.zombie_ns = ns;
            living.age_ns = ns;
            assert_eq!(filter.passes(&reaped), expected);
            assert_eq!(filter.passes_alive(&living), expected);
        }
    }

    #[test]
    fn failed_is_a_code_or_a_signal() {
        let filter = Filter {
            failed: true,
            ..Filter::default()
        };
        let statuses = [
            (Some(0), None, false),
            (Some(1), None, true),
            (None, Some(9), true),
            (None, None, false),
        ];
        for (exit_code, signal, expected) in statuses {
            let reaped = Zombie {
                exit_code,
                signal,
                ..zombie()
            };
            let living = Alive {
                exit_code,
                signal,
                ..alive()
            };
            assert_eq!(filter.passes(&reaped), expected);
            assert_eq!(filter.passes_alive(&living), expected);
        }
    }

    #[test]
    fn names_that_are_not_utf8_match_as_shown() {
        let mut name = [0; 16];
        name[..3].copy_from_slice(b"a\xffb");
        let filter = Filter {
            comm: globs(&["a?b"]),
            ..Filter::default()
        };
        assert!(filter.passes(&Zombie {
            comm: Comm::new(name),
            ..zombie()
        }));
    }
}
