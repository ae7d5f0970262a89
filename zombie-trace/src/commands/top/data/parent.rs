//! What is known of one parent.

use std::{collections::VecDeque, sync::Arc};

use super::{rolling::Rolling, time::nanos};
use crate::{
    container::Container,
    model::{Alive, Cause, LanguageRuntime, Zombie},
};

/// Over how many seconds growth is judged.
const GROWTH: i64 = 10;
/// A command line is kept up to this many characters.
const LONGEST_CMDLINE: usize = 1024;

/// Why a zombie is or was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) cause: Cause,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) advice: Option<Arc<str>>,
    pub(crate) runtime: Option<LanguageRuntime>,
    /// When the parent was looked at, ns since the epoch.
    pub(crate) looked_at: Option<i64>,
}

impl Explanation {
    /// `None` if it was not looked at.
    pub(crate) fn of_alive(alive: &Alive) -> Option<Self> {
        Some(Self {
            cause: alive.cause?,
            text: alive.cause_text.clone(),
            advice: alive.advice.clone(),
            runtime: alive.runtime,
            looked_at: alive.looked_at.map(nanos),
        })
    }

    /// `None` if it was not looked at.
    pub(crate) fn of_zombie(zombie: &Zombie) -> Option<Self> {
        Some(Self {
            cause: zombie.cause?,
            text: zombie.cause_text.clone(),
            advice: None,
            runtime: None,
            looked_at: zombie.looked_at.map(nanos),
        })
    }
}

/// A parent, by pid and command name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parent {
    pub(crate) rolling: Rolling,
    /// Its living zombies.
    pub(crate) alive: u64,
    /// The second, and the number of its living zombies in it.
    counts: VecDeque<(i64, u64)>,
    found: Option<Explanation>,
    cmdline: CommandLine,
    /// Where its children ran that were seen last.
    pub(crate) cgroup: Option<Arc<str>>,
    pub(crate) container: Option<Container>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum CommandLine {
    #[default]
    Unread,
    Unknown,
    Known(Arc<str>),
}

impl Parent {
    /// The same parent, with nothing counted.
    pub(crate) fn without_counts(self) -> Self {
        Self {
            rolling: Rolling::default(),
            ..self
        }
    }

    /// It has that many living zombies in this second.
    pub(crate) fn lives(&mut self, second: i64, alive: u64) {
        self.alive = alive;
        if alive == 0 && self.counts.is_empty() {
            return;
        }
        match self.counts.back_mut() {
            Some((last, count)) if *last == second => *count = alive,
            _ => self.counts.push_back((second, alive)),
        }
        while self
            .counts
            .front()
            .is_some_and(|(first, _)| *first < second - GROWTH)
        {
            self.counts.pop_front();
        }
        if self.counts.iter().all(|(_, count)| *count == 0) {
            self.counts.clear();
        }
    }

    /// It has had ever more living zombies for some seconds.
    pub(crate) fn is_growing(&self) -> bool {
        let (Some((first, before)), Some((last, now))) = (self.counts.front(), self.counts.back())
        else {
            return false;
        };
        let middle = self.counts[self.counts.len() / 2].1;
        last - first >= GROWTH / 2 && *before < middle && middle < *now
    }

    /// Where its children run.
    pub(crate) fn place(&mut self, cgroup: Option<&Arc<str>>, container: Option<&Container>) {
        if let Some(cgroup) = cgroup
            && self.cgroup.as_ref() != Some(cgroup)
        {
            self.cgroup = Some(Arc::clone(cgroup));
        }
        if let Some(container) = container
            && self.container.as_ref() != Some(container)
        {
            self.container = Some(container.clone());
        }
    }

    /// Takes in why one of its zombies is there. A cause stays until another one is found.
    pub(crate) fn found(&mut self, found: Explanation) {
        let known = self.found.take();
        self.found = match known {
            Some(known) if found.cause == Cause::Unknown => Some(known),
            Some(known) if known.cause == found.cause => Some(Explanation {
                advice: found.advice.or(known.advice),
                runtime: found.runtime.or(known.runtime),
                ..found
            }),
            _ => Some(found),
        };
    }

    /// Why its zombies linger.
    pub(crate) fn cause(&self) -> Option<&Explanation> {
        self.found.as_ref()
    }

    /// Its command line, or that it is not known.
    pub(crate) fn named(&mut self, cmdline: Option<&str>) {
        self.cmdline = match cmdline {
            Some(cmdline) => CommandLine::Known(
                cmdline
                    .chars()
                    .take(LONGEST_CMDLINE)
                    .collect::<String>()
                    .into(),
            ),
            None => CommandLine::Unknown,
        };
    }

    /// Nobody has looked for its command line.
    pub(crate) fn is_unread(&self) -> bool {
        self.cmdline == CommandLine::Unread
    }

    pub(crate) fn cmdline(&self) -> Option<&str> {
        match &self.cmdline {
            CommandLine::Known(cmdline) => Some(cmdline),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cause: Cause, advice: Option<&str>) -> Explanation {
        Explanation {
            cause,
            text: None,
            advice: advice.map(Into::into),
            runtime: None,
            looked_at: None,
        }
    }

    #[test]
    fn a_cause_outlives_a_look_that_finds_none() {
        let mut parent = Parent::default();
        parent.found(found(Cause::BlocksSigchld, Some("unblock it")));
        parent.found(found(Cause::Unknown, None));
        parent.found(found(Cause::BlocksSigchld, None));
        let kept = parent.cause().unwrap();
        assert_eq!(
            (kept.cause, kept.advice.as_deref()),
            (Cause::BlocksSigchld, Some("unblock it"))
        );
        parent.found(found(Cause::NeverWaits, None));
        assert_eq!(parent.cause().unwrap().advice, None);
    }

    #[test]
    fn growth_is_an_increase_over_seconds() {
        let growing = |counts: &[u64]| {
            let mut parent = Parent::default();
            for (second, count) in (0..).zip(counts) {
                parent.lives(second, *count);
            }
            parent.is_growing()
        };
        assert!(growing(&[1, 2, 3, 4, 5, 6, 7]));
        assert!(growing(&[0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]));
        for steady in [
            &[5; 12][..],
            &[1, 2, 3],
            &[7, 6, 5, 4, 3, 2, 1],
            &[1, 9, 1, 9, 1, 9, 1],
        ] {
            assert!(!growing(steady), "{steady:?}");
        }
    }
}
