use zombie_trace_common::Counters;

/// Adds up the CPUs' shares.
pub(super) fn sum(shares: impl Iterator<Item = Counters>) -> Counters {
    shares.fold(Counters::default(), |sum, share| Counters {
        exits: sum.exits + share.exits,
        recovered: sum.recovered + share.recovered,
        reaped: sum.reaped + share.reaped,
        autoreaped: sum.autoreaped + share.autoreaped,
        ring_full: sum.ring_full + share.ring_full,
        map_full: sum.map_full + share.map_full,
        tree_full: sum.tree_full + share.tree_full,
        adopted: sum.adopted + share.adopted,
        pre_existing_reaped: sum.pre_existing_reaped + share.pre_existing_reaped,
        pre_existing_lost: sum.pre_existing_lost + share.pre_existing_lost,
        suspicious: sum.suspicious + share.suspicious,
        tree_adopted: sum.tree_adopted + share.tree_adopted,
        reserved: sum.reserved,
    })
}
