use foldhash::HashMap;

use crate::lifecycle::TaskId;

/// After so many looks without it, a zombie whose record has not come is taken for lost.
const MISSING_LOOKS: u64 = 60;

/// How much of each living zombie's time has been counted, so that each part of it counts once: as the
/// zombie ages, and the rest when it is reaped.
#[derive(Debug, Default)]
pub(super) struct Ageing {
    counted: HashMap<TaskId, Counted>,
    looks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    ns: u64,
    /// The look that saw it last.
    look: u64,
}

impl Ageing {
    /// A look at the living zombies begins.
    pub(super) fn begin_look(&mut self) {
        self.looks += 1;
        let looks = self.looks;
        self.counted
            .retain(|_, counted| counted.look + MISSING_LOOKS >= looks);
    }

    /// A living zombie has been one for `ns` by now. Gives what of that is new.
    pub(super) fn living(&mut self, id: TaskId, ns: u64) -> u64 {
        let look = self.looks;
        let counted = self.counted.entry(id).or_insert(Counted { ns: 0, look });
        counted.look = look;
        let new = ns.saturating_sub(counted.ns);
        counted.ns += new;
        new
    }

    /// A zombie was one for `ns` and is gone. Gives what of that is new: nothing, if a look has taken it
    /// for longer.
    pub(super) fn gone(&mut self, id: TaskId, ns: u64) -> u64 {
        let counted = self.counted.remove(&id);
        ns.saturating_sub(counted.map_or(0, |counted| counted.ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TaskId = (1, 10);
    const OTHER: TaskId = (2, 10);

    fn look(ageing: &mut Ageing, living: &[(TaskId, u64)]) -> u64 {
        ageing.begin_look();
        living.iter().map(|&(id, ns)| ageing.living(id, ns)).sum()
    }

    #[test]
    fn each_part_counts_once() {
        let mut ageing = Ageing::default();
        assert_eq!(look(&mut ageing, &[(ONE, 500)]), 500);
        assert_eq!(look(&mut ageing, &[(ONE, 1500), (OTHER, 300)]), 1300);
        assert_eq!(ageing.gone(ONE, 2100), 600);
        // A look has not seen it.
        assert_eq!(ageing.gone((3, 10), 40), 40);
        assert_eq!(look(&mut ageing, &[(OTHER, 1300)]), 1000);
        assert_eq!(ageing.gone(OTHER, 1300), 0);
        assert!(ageing.counted.is_empty());
    }

    #[test]
    fn nothing_is_taken_back() {
        let mut ageing = Ageing::default();
        look(&mut ageing, &[(ONE, 5000), (OTHER, 5000)]);
        // The clock of a look is not that of a hook.
        assert_eq!(look(&mut ageing, &[(ONE, 4900)]), 0);
        assert_eq!(look(&mut ageing, &[(ONE, 5100)]), 100);
        assert_eq!(ageing.gone(OTHER, 4900), 0);
    }

    #[test]
    fn a_record_may_be_late_but_a_lost_one_is_forgotten() {
        let mut ageing = Ageing::default();
        look(&mut ageing, &[(ONE, 1000), (OTHER, 1000)]);
        for _ in 0..MISSING_LOOKS {
            look(&mut ageing, &[]);
        }
        assert_eq!(ageing.gone(ONE, 1200), 200);
        look(&mut ageing, &[]);
        assert!(ageing.counted.is_empty());
    }
}
