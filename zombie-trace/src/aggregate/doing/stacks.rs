//! Stacks of parents, each with its weight.

use std::{cmp::Reverse, sync::Arc};

use foldhash::HashMap;

use crate::{
    aggregate::{OTHERS, ParentKey},
    model::{Doing, Frame, Stack, ThreadState},
};

/// Bounds on memory, of some 25 MiB: a recording can hold any number of stacks. A run writes those with
/// most zombie time first.
const MOST_STACKS: usize = 20_000;
const MOST_FRAMES_IN_STACKS: usize = 1 << 20;
const MOST_BYTES_OF_FRAMES: usize = 8 << 20;
const MOST_PARENTS: usize = 4096;
const MOST_WEIGHTS: usize = 32_768;

/// Stacks of parents, each with the zombie time in which it was seen.
#[derive(Clone, Debug, Default)]
pub struct WhatParentsDid {
    /// Each distinct frame once.
    frames: Vec<Frame>,
    frame_numbers: HashMap<Frame, u32>,
    bytes_of_frames: usize,
    /// Each distinct stack once.
    stacks: Vec<KnownStack>,
    stack_numbers: HashMap<KnownStack, u32>,
    frames_in_stacks: usize,
    /// The stacks of the present run, by the number that the run gave them.
    by_id: HashMap<u64, u32>,
    parents: HashMap<ParentKey, HashMap<(ThreadState, Option<u32>), Weight>>,
    weights: usize,
}

/// The numbers of its frames, innermost first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct KnownStack {
    frames: Arc<[u32]>,
    is_truncated: bool,
}

/// How much zombie time, in how many samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) zombie_ns: u64,
    pub(crate) samples: u64,
}

impl Weight {
    pub(crate) fn add(&mut self, other: Self) {
        self.zombie_ns = self.zombie_ns.saturating_add(other.zombie_ns);
        self.samples = self.samples.saturating_add(other.samples);
    }
}

/// What one parent did.
#[derive(Clone, Debug)]
pub(crate) struct ParentDid<'a> {
    pub(crate) parent: ParentKey,
    pub(crate) weight: Weight,
    /// Most zombie time first.
    pub(crate) stacks: Vec<WeightedStack<'a>>,
}

/// A stack in which a thread of a parent was seen.
#[derive(Clone, Debug)]
pub(crate) struct WeightedStack<'a> {
    pub(crate) state: ThreadState,
    pub(crate) weight: Weight,
    /// Innermost first; empty if the stack is not known.
    pub(crate) frames: Vec<&'a Frame>,
    /// The outermost frames are missing.
    pub(crate) is_truncated: bool,
}

impl WhatParentsDid {
    /// What a run has to say at its end.
    pub fn of(stacks: &[Stack], doing: &[Doing]) -> Self {
        let mut did = Self::default();
        stacks.iter().for_each(|stack| did.stack(stack));
        doing.iter().for_each(|doing| did.doing(doing));
        did
    }

    /// What follows is of another run, with other numbers for its stacks.
    pub fn next_run(&mut self) {
        self.by_id.clear();
    }

    /// Takes in a stack. Beyond the bounds it is not kept: samples with it have no stack.
    pub fn stack(&mut self, stack: &Stack) {
        if self.by_id.len() >= MOST_STACKS
            || self.frames_in_stacks + stack.frames.len() > MOST_FRAMES_IN_STACKS
        {
            return;
        }
        let frames: Option<Arc<[u32]>> =
            stack.frames.iter().map(|frame| self.frame(frame)).collect();
        let Some(frames) = frames else { return };
        let known = KnownStack {
            frames,
            is_truncated: stack.truncated,
        };
        let number = match self.stack_numbers.get(&known) {
            Some(&number) => number,
            None if self.stacks.len() >= MOST_STACKS => return,
            None => {
                let number = self.stacks.len() as u32;
                self.frames_in_stacks += known.frames.len();
                self.stacks.push(known.clone());
                self.stack_numbers.insert(known, number);
                number
            }
        };
        self.by_id.insert(stack.id, number);
    }

    /// The number of a frame; `None` if there is no room for another.
    fn frame(&mut self, frame: &Frame) -> Option<u32> {
        if let Some(&number) = self.frame_numbers.get(frame) {
            return Some(number);
        }
        let texts = [&frame.function, &frame.file, &frame.module, &frame.build_id];
        let text = texts.into_iter().flatten().map(|text| text.len());
        let bytes = 2 * size_of::<Frame>() + text.sum::<usize>();
        if self.bytes_of_frames + bytes > MOST_BYTES_OF_FRAMES {
            return None;
        }
        self.bytes_of_frames += bytes;
        let number = self.frames.len() as u32;
        self.frames.push(frame.clone());
        self.frame_numbers.insert(frame.clone(), number);
        Some(number)
    }

    /// Takes in what a thread did.
    pub fn doing(&mut self, doing: &Doing) {
        let mut parent = (Some(doing.ppid), doing.parent_comm);
        if self.parents.len() >= MOST_PARENTS && !self.parents.contains_key(&parent) {
            parent = OTHERS;
        }
        let did = self.parents.entry(parent).or_default();
        let mut key = (doing.state, self.by_id.get(&doing.stack).copied());
        if self.weights >= MOST_WEIGHTS && !did.contains_key(&key) {
            key.1 = None;
        }
        let weight = did.entry(key).or_insert_with(|| {
            self.weights += 1;
            Weight::default()
        });
        weight.add(Weight {
            zombie_ns: doing.zombie_ns,
            samples: doing.samples,
        });
    }

    /// There are no samples.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Parents, most zombie time first.
    pub(crate) fn parents(&self) -> Vec<ParentDid<'_>> {
        let parents = self
            .parents
            .keys()
            .filter_map(|parent| self.of_parent(parent));
        let mut parents: Vec<_> = parents.collect();
        parents.sort_by_key(|did| (Reverse(did.weight.zombie_ns), did.parent));
        parents
    }

    /// One of them; `None` if it was not sampled.
    pub(crate) fn of_parent(&self, parent: &ParentKey) -> Option<ParentDid<'_>> {
        let mut all = Weight::default();
        let stacks = self.parents.get(parent)?.iter();
        let mut stacks: Vec<_> = stacks
            .map(|(&(state, number), &weight)| {
                all.add(weight);
                (number, self.weighted(state, number, weight))
            })
            .collect();
        stacks.sort_by_key(|(number, one)| (Reverse(one.weight.zombie_ns), *number, one.state));
        Some(ParentDid {
            parent: *parent,
            weight: all,
            stacks: stacks.into_iter().map(|(_, stack)| stack).collect(),
        })
    }

    fn weighted(
        &self,
        state: ThreadState,
        number: Option<u32>,
        weight: Weight,
    ) -> WeightedStack<'_> {
        let stack = number.map(|number| &self.stacks[number as usize]);
        let frames = stack.map_or(&[][..], |stack| &stack.frames);
        WeightedStack {
            state,
            weight,
            frames: frames
                .iter()
                .map(|&frame| &self.frames[frame as usize])
                .collect(),
            is_truncated: stack.is_none_or(|stack| stack.is_truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn stack(id: u64, functions: &[&str]) -> Stack {
        let frames = functions
            .iter()
            .map(|name| Frame::default().with_function(name));
        Stack::new(Timestamp::UNIX_EPOCH, id, frames.collect(), false)
    }

    fn doing(ppid: u32, stack: u64, zombie_ns: u64) -> Doing {
        Doing {
            ts: Timestamp::UNIX_EPOCH,
            ppid,
            parent_comm: Some("sup".into()),
            tid: ppid,
            state: ThreadState::Blocked,
            stack,
            zombie_ns,
            samples: 1,
        }
    }

    fn names(stack: &WeightedStack<'_>) -> Vec<String> {
        stack
            .frames
            .iter()
            .map(|frame| frame.function.as_deref().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn threads_of_a_parent_are_added_up() {
        let stacks = [stack(3, &["fsync", "main"]), stack(9, &["zip", "main"])];
        let threads = [7, 8].map(|tid| Doing {
            tid,
            ..doing(7, 3, 100)
        });
        let did = WhatParentsDid::of(
            &stacks,
            &[&threads[..], &[doing(7, 9, 150), doing(5, 9, 500)]].concat(),
        );
        let parents = did.parents();
        let ppids: Vec<_> = parents.iter().map(|did| did.parent.0.unwrap()).collect();
        assert_eq!(ppids, [5, 7]);
        let [first, second] = &*parents[1].stacks else {
            panic!("{parents:?}")
        };
        assert_eq!(
            first.weight,
            Weight {
                zombie_ns: 200,
                samples: 2
            }
        );
        assert_eq!(names(first), ["fsync", "main"]);
        assert_eq!(second.weight.zombie_ns, 150);
        assert_eq!(parents[1].weight.zombie_ns, 350);
    }

    #[test]
    fn numbers_of_stacks_belong_to_their_run() {
        let mut did = WhatParentsDid::of(&[stack(1, &["a"])], &[doing(7, 1, 10)]);
        did.next_run();
        did.stack(&stack(2, &["a"]));
        did.doing(&doing(7, 2, 5));
        did.doing(&doing(7, 1, 3));
        let parents = did.parents();
        let stacks = &parents[0].stacks;
        assert_eq!(names(&stacks[0]), ["a"]);
        assert_eq!(stacks[0].weight.zombie_ns, 15);
        // Number 1 was another run's.
        assert!(stacks[1].frames.is_empty() && stacks[1].is_truncated);
        assert_eq!(did.stacks.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_no_weight_is_lost() {
        let mut did = WhatParentsDid::default();
        let long = "x".repeat(900);
        for id in 0..40_000 {
            did.stack(&stack(id, &[&format!("{long}{id}"), "main"]));
            did.doing(&doing(id as u32 % 6000 + 1, id, 1));
        }
        for id in 0..200_000 {
            did.doing(&doing(id as u32 % 6000 + 1, id, 1));
        }
        assert!(did.bytes_of_frames <= MOST_BYTES_OF_FRAMES);
        assert!(did.stacks.len() <= MOST_STACKS && did.parents.len() <= MOST_PARENTS + 1);
        assert!(did.weights <= MOST_WEIGHTS + 2 * (MOST_PARENTS + 1));
        let parents = did.parents();
        let sum: u64 = parents.iter().map(|did| did.weight.zombie_ns).sum();
        assert_eq!(sum, 240_000);
    }

    #[test]
    fn deep_stacks_are_bounded_together() {
        let mut did = WhatParentsDid::default();
        for id in 0..2000 {
            let last = id.to_string();
            let mut names = vec!["fib"; 1000];
            names.push(&last);
            did.stack(&stack(id, &names));
        }
        assert!(did.frames_in_stacks <= MOST_FRAMES_IN_STACKS);
        assert!(did.stacks.len() > 1000);
    }
}
