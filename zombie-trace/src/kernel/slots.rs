use aya::maps::MapData;
use zombie_trace_common::{MAX_SLOTS, TaskState};

use super::{KernelError, mapping::MappedArray};

/// How many slots dying processes and zombies have, given how many there can be at once: a power of
/// two.
pub(super) fn number(max_zombies: u32) -> u32 {
    let slots = max_zombies.clamp(1, MAX_SLOTS);
    1 << slots.ilog2()
}

/// The states of the slots that are in use, of so many.
pub(super) fn occupied(map: &MapData, number: u32) -> Result<Vec<TaskState>, KernelError> {
    // For a moment only: as long as it is mapped it counts as ours.
    let slots = MappedArray::<TaskState>::new(map.fd(), number as usize)
        .map_err(|error| KernelError::io("map SLOTS", error.into()))?;
    Ok(slots.values().filter(|state| state.owner != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_slots_as_zombies_but_not_too_many() {
        assert_eq!(number(0), 1);
        assert_eq!(number(1), 1);
        assert_eq!(number(50), 32);
        assert_eq!(number(MAX_SLOTS), MAX_SLOTS);
        assert_eq!(number(u32::MAX), MAX_SLOTS);
    }
}
