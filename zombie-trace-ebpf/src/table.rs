//! The dying processes and zombies, by thread group id in the initial pid namespace.
//!
//! Nearly every one has a slot of an array: no lock, no free list, no hash. Where its slot is taken,
//! where more than one hook could put it in at once, and on kernels without compare-and-exchange
//! (before 5.12, on arm64 before 5.18), it goes to a hash map instead ("displaced").

use zombie_trace_common::TaskState;

use crate::{
    atomic, control,
    globals::{HAS_COMPARE_EXCHANGE, SLOTS_MASK},
    maps::{DISPLACED, DISPLACED_COUNT, SLOTS},
};

/// Marks the owner of a slot whose state is complete, so that no id looks like a free slot.
const LIVE: u64 = 1 << 32;

/// Marks the owner of a slot whose state is being written.
const WRITING: u64 = 1 << 33;

const BPF_NOEXIST: u64 = 1;

const EEXIST: i32 = -17;

/// The process of this id, whichever one that is.
#[inline(always)]
pub fn find(tgid: u32) -> Option<*mut TaskState> {
    find_in_slot(tgid).or_else(|| find_displaced(tgid))
}

/// The process of this id, if it has a slot.
#[inline(always)]
pub fn find_in_slot(tgid: u32) -> Option<*mut TaskState> {
    if HAS_COMPARE_EXCHANGE.load() == 0 {
        return None;
    }
    let slot = slot(tgid)?;
    // SAFETY: `slot` is a map value.
    let owner = unsafe { atomic::load(&raw mut (*slot).owner) };
    (owner == LIVE | u64::from(tgid)).then_some(slot)
}

/// The process of this id, if it has none.
#[inline(always)]
pub fn find_displaced(tgid: u32) -> Option<*mut TaskState> {
    if any_displaced() {
        DISPLACED.get_ptr_mut(tgid)
    } else {
        None
    }
}

#[inline(always)]
fn slot(tgid: u32) -> Option<*mut TaskState> {
    SLOTS.get_ptr_mut(tgid & SLOTS_MASK.load())
}

/// A process's slot, if nobody has it: it is claimed until [`fill`] or [`give_back`].
#[inline(always)]
pub fn claim(tgid: u32) -> Option<*mut TaskState> {
    if HAS_COMPARE_EXCHANGE.load() == 0 {
        return None;
    }
    let slot = slot(tgid)?;
    let owner = WRITING | u64::from(tgid);
    // SAFETY: `slot` is a map value.
    (unsafe { atomic::compare_exchange(&raw mut (*slot).owner, 0, owner) } == 0).then_some(slot)
}

/// Puts a state into the slot that was claimed for it.
///
/// # Safety
/// Both must be valid, and `state` fully written.
#[inline(always)]
pub unsafe fn fill(slot: *mut TaskState, state: *const TaskState) {
    const WORDS: usize = size_of::<TaskState>() / 8;
    // SAFETY: the caller vouches for both, which consist of WORDS words each and do not overlap:
    // one is a map value and the other is scratch.
    unsafe {
        let (to, from) = (slot.cast::<u64>(), state.cast::<u64>());
        // All but the owner, which is the first.
        core::ptr::copy_nonoverlapping(from.add(1), to.add(1), WORDS - 1);
        atomic::store(&raw mut (*slot).owner, LIVE | u64::from((*state).tgid));
    }
}

/// Gives a slot back that was claimed for nothing.
///
/// # Safety
/// It must be valid and claimed.
#[inline(always)]
pub unsafe fn give_back(slot: *mut TaskState) {
    // SAFETY: the caller vouches for `slot`.
    unsafe { atomic::store(&raw mut (*slot).owner, 0) }
}

/// Puts a state into the hash map.
///
/// # Errors
/// With the state that is there for that id already, if there is one; else there is no room.
///
/// # Safety
/// `state` must be valid and fully written, and have no owner.
#[inline(always)]
pub unsafe fn displace(state: *const TaskState) -> Result<(), Option<*mut TaskState>> {
    // Before it can be found: who finds none displaced does not look for it.
    add_displaced(1);
    // SAFETY: the caller vouches for `state`.
    let key = unsafe { (*state).tgid };
    // By reference: the stack has no room for a state.
    // SAFETY: the caller vouches for `state`, which is fully written.
    let state = unsafe { &*state };
    match DISPLACED.insert(key, state, BPF_NOEXIST) {
        Ok(()) => Ok(()),
        Err(error) => {
            add_displaced(-1);
            Err((error == EEXIST).then(|| find_displaced(key)).flatten())
        }
    }
}

/// Takes a process out of the hash map again if it has been given a slot meanwhile.
///
/// Who claims a slot, its exit or the snapshot, then looks here, and gives the slot back if it is
/// here. So one of both stays.
///
/// # Safety
/// `state` must be valid, and [`displace`]d.
#[inline(always)]
pub unsafe fn take_back(state: *const TaskState) -> bool {
    /// Far longer than it takes to fill a slot.
    const PATIENCE: u32 = 256;
    if HAS_COMPARE_EXCHANGE.load() == 0 {
        return false;
    }
    // SAFETY: the caller vouches for `state`.
    let key = unsafe { (*state).tgid };
    let Some(slot) = slot(key) else {
        return false;
    };
    for _ in 0..PATIENCE {
        // SAFETY: `slot` is a map value.
        let owner = unsafe { (&raw const (*slot).owner).read_volatile() };
        if owner != WRITING | u64::from(key) {
            let twice = owner == LIVE | u64::from(key);
            return twice && remove_displaced(key);
        }
    }
    false
}

/// Takes a process out, unless the run is [frozen](control::is_frozen). Of all that try to, one is
/// told `true`.
///
/// # Safety
/// `state` must be what [`find`] has given.
#[inline(always)]
pub unsafe fn remove(state: *mut TaskState) -> bool {
    if control::is_frozen() {
        return false;
    }
    // SAFETY: the caller vouches for `state`.
    let key = unsafe { (*state).tgid };
    // SAFETY: the caller vouches for `state`.
    if HAS_COMPARE_EXCHANGE.load() != 0 && unsafe { (*state).owner } != 0 {
        let owner = LIVE | u64::from(key);
        // SAFETY: the caller vouches for `state`, which has an owner and so is a slot.
        return unsafe { atomic::compare_exchange(&raw mut (*state).owner, owner, 0) } == owner;
    }
    remove_displaced(key)
}

#[inline(always)]
fn remove_displaced(tgid: u32) -> bool {
    let removed = DISPLACED.remove(tgid).is_ok();
    if removed {
        add_displaced(-1);
    }
    removed
}

#[inline(always)]
fn any_displaced() -> bool {
    match DISPLACED_COUNT.get_ptr(0) {
        // SAFETY: `count` is a map value.
        Some(count) => unsafe { count.read_volatile() != 0 },
        None => true,
    }
}

#[inline(always)]
fn add_displaced(number: i64) {
    if let Some(count) = DISPLACED_COUNT.get_ptr_mut(0) {
        // SAFETY: `count` is a map value.
        unsafe { atomic::add(count, number as u64) };
    }
}
