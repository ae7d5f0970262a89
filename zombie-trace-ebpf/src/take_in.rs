//! Processes that are found when they become zombies.

use zombie_trace_common::TaskState;

use crate::{
    control,
    entry::{self, Insertion},
    globals::EXIT_CAN_BE_SKIPPED,
    maps::{SCRATCH, scratch},
    record, scope, table,
    task::{Access, Task},
    zombie::{recovered, seldom},
};
/// Takes in a process of which nothing is known though it has ended: the program that sees exits
/// was skipped.
#[inline(always)]
pub fn take_in<A: Access>(leader: Task<A>) -> Option<*mut TaskState> {
    if EXIT_CAN_BE_SKIPPED.load() == 0
        || control::is_closing()
        || leader.is_kthread()
        || leader.live_threads() != 0
        || !scope::contains(leader, leader, scratch::NOTIFY)
    {
        return None;
    }
    let leader = seldom(leader);
    let state = SCRATCH.get_ptr_mut(scratch::NOTIFY)?;
    // SAFETY: `state` is this CPU's scratch, which no other program uses; the leader is not
    // released while it notifies its parent.
    unsafe {
        record::describe(state, leader);
        // Without room its exit may have been seen and counted as lost for that.
        let Insertion::Done = entry::insert(state, false) else {
            return None;
        };
        if table::take_back(state) {
            // The snapshot has it.
            return entry::find(leader);
        }
    }
    let state = entry::find(leader)?;
    // SAFETY: `state` is a map value.
    unsafe { recovered(state) };
    Some(state)
}
