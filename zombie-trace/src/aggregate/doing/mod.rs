//! What parents did while zombies waited for them, as call stacks that weigh zombie time. Pure.

mod names;
mod place;
mod runtime_code;
mod stacks;

pub use self::{place::name_places, stacks::WhatParentsDid};
pub(crate) use self::{
    place::{CodePlace, frame_name, places, share},
    stacks::{ParentDid, Weight},
};
