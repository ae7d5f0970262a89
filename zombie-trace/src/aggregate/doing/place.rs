//! Stacks put together by the place in the program's own code that they have in common.

use std::{borrow::Cow, cmp::Reverse};

use foldhash::HashMap;

use super::{
    names::{call, qualified, qualified_name},
    runtime_code::{is_runtime_code, is_static},
    stacks::{ParentDid, Weight, WeightedStack, WhatParentsDid},
};
use crate::{
    aggregate::Summary,
    model::{Frame, ThreadState},
};

/// A place in a program, where it was while zombies waited.
#[derive(Clone, Debug)]
pub(crate) struct CodePlace<'a> {
    /// The function, or where it is.
    function: Cow<'a, str>,
    /// The source file, without its directory.
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
    pub(crate) state: ThreadState,
    /// The library function that it has called, such as `fsync`.
    pub(crate) call: Option<&'a str>,
    pub(crate) weight: Weight,
    /// The heaviest of its stacks.
    stack: &'a WeightedStack<'a>,
}

impl CodePlace<'_> {
    /// `write_journal`.
    pub(crate) fn function(&self) -> &str {
        &self.function
    }

    /// `sup.c:14`, if it is known.
    pub(crate) fn source(&self) -> Option<String> {
        let file = self.file?.to_owned();
        Some(
            self.line
                .map_or(file.clone(), |line| format!("{file}:{line}")),
        )
    }

    /// `write_journal (sup.c:14)`.
    pub(crate) fn name(&self) -> String {
        match self.source() {
            Some(source) => format!("{} ({source})", self.function),
            None => self.function.clone().into_owned(),
        }
    }

    /// What it did there: `blocked in fsync`.
    pub(crate) fn action(&self) -> String {
        match self.call {
            Some(call) => format!("{} in {call}", self.state.as_str()),
            None => self.state.as_str().to_owned(),
        }
    }

    /// The functions that have called it, innermost first, without those of libraries that every program
    /// has. Those of the heaviest stack: at most `most`, and whether there are more.
    pub(crate) fn callers(&self, most: usize) -> (Vec<Cow<'_, str>>, bool) {
        let own = Own::of(self.stack);
        let mut callers: Vec<Cow<'_, str>> = Vec::new();
        for frame in own.callers() {
            let name = short_name(frame);
            // Recursion is shown once.
            if callers.last().unwrap_or(&self.function) == &name {
                continue;
            }
            if callers.len() == most {
                return (callers, true);
            }
            callers.push(name);
        }
        (callers, self.stack.is_truncated)
    }
}

/// The places in which a parent was, most zombie time first.
pub(crate) fn places<'a>(did: &'a ParentDid<'_>) -> Vec<CodePlace<'a>> {
    let mut places: Vec<CodePlace<'_>> = Vec::new();
    let mut numbers = HashMap::default();
    // The heaviest comes first, and gives the callers.
    for stack in &did.stacks {
        let place = place(stack);
        let key = (
            place.function.clone(),
            place.file,
            place.line,
            place.state,
            place.call,
        );
        let number = *numbers.entry(key).or_insert(places.len());
        match places.get_mut(number) {
            Some(place) => place.weight.add(stack.weight),
            None => places.push(place),
        }
    }
    places.sort_by_key(|place| Reverse(place.weight.zombie_ns));
    places
}

/// Writes into the rows of parents where most of their sampled zombie time went.
pub fn name_places(did: &WhatParentsDid, summary: &mut Summary) {
    for row in &mut summary.by_parent {
        let did = did.of_parent(&(row.ppid, row.comm));
        row.place = did.and_then(|did| main_place(&did)).map(Into::into);
    }
}

/// `97 % blocked in fsync at write_journal (sup.c:14)`; `None` if no place has half of the time.
fn main_place(did: &ParentDid<'_>) -> Option<String> {
    let places = places(did);
    let place = places.first()?;
    let (part, all) = (place.weight.zombie_ns, did.weight.zombie_ns);
    let is_most = u128::from(part) * 2 >= u128::from(all);
    let share = share(part, all);
    (is_most && place.function != UNKNOWN)
        .then(|| format!("{share} % {} at {}", place.action(), place.name()))
}

/// In percent, rounded; what is not 0 is not shown as 0.
pub(crate) fn share(part: u64, all: u64) -> String {
    let (part, all) = (u128::from(part), u128::from(all.max(1)));
    match (part * 200 + all) / (all * 2) {
        0 if part > 0 => "<1".to_owned(),
        share => share.min(100).to_string(),
    }
}

/// The frames of a stack, and which of them is the innermost in the program's own code.
struct Own<'a> {
    frames: &'a [&'a Frame],
    is_static: bool,
    innermost: Option<usize>,
}

impl<'a> Own<'a> {
    fn of(stack: &'a WeightedStack<'_>) -> Self {
        let frames = &*stack.frames;
        let is_static = is_static(frames);
        // What a runtime has compiled is the program's own; all of its engine is not.
        let compiled = frames.iter().position(|frame| is_compiled_script(frame));
        let own = || {
            let mut all = frames.iter();
            all.position(|frame| !is_runtime_code(frame, is_static))
        };
        Self {
            frames,
            is_static,
            innermost: compiled.or_else(own),
        }
    }

    fn callers(&self) -> impl Iterator<Item = &'a Frame> {
        let outer = self.frames.iter().skip(self.innermost.unwrap_or(0) + 1);
        let is_static = self.is_static;
        outer
            .copied()
            .filter(move |frame| !is_runtime_code(frame, is_static))
    }

    /// The function that the program itself has called; a stripped library may lack its name.
    fn call(&self) -> Option<&'a str> {
        let inner = self.frames[..self.innermost.unwrap_or(0)].iter().rev();
        let inner = inner.filter(|frame| is_runtime_code(frame, self.is_static));
        let mut names = inner.filter_map(|frame| function_name(frame));
        names.next().map(|name| call(qualified_name(name)))
    }
}

/// A function of a script, by the map of its runtime: it has a source, and is in no file.
fn is_compiled_script(frame: &Frame) -> bool {
    frame.module.is_none() && frame.function.is_some() && frame.file.is_some()
}

fn place<'a>(stack: &'a WeightedStack<'_>) -> CodePlace<'a> {
    let own = Own::of(stack);
    let frame = own.frames.get(own.innermost.unwrap_or(0)).copied();
    CodePlace {
        function: frame.map_or(Cow::Borrowed(UNKNOWN), short_name),
        file: frame.and_then(|frame| frame.file.as_deref().map(file_name)),
        line: frame.and_then(|frame| frame.line),
        state: stack.state,
        call: own.call(),
        weight: stack.weight,
        stack,
    }
}

const UNKNOWN: &str = "[unknown]";

/// The function, or where it is: `sup+0x1234` without a symbol.
pub(crate) fn frame_name(frame: &Frame) -> String {
    function_name(frame).map_or_else(|| nameless(frame), str::to_owned)
}

/// The function, if its name is known.
fn function_name(frame: &Frame) -> Option<&str> {
    frame.function.as_deref().filter(|name| !name.is_empty())
}

fn nameless(frame: &Frame) -> String {
    match (frame.module.as_deref().map(file_name), frame.offset) {
        (Some(module), Some(offset)) => format!("{module}+{offset:#x}"),
        (Some(module), None) => module.to_owned(),
        (None, Some(offset)) => format!("[unknown]+{offset:#x}"),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// The same without the types of its arguments and what it returns.
fn short_name(frame: &Frame) -> Cow<'_, str> {
    match function_name(frame) {
        Some(name) => Cow::Borrowed(qualified(name)),
        None => Cow::Owned(nameless(frame)),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/')
        .find(|name| !name.is_empty())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        aggregate::WhatParentsDid,
        model::{Doing, Stack},
    };

    const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

    fn own(name: &str) -> Frame {
        Frame::of(Some("/usr/bin/sup"), None, Some(0x1234)).with_function(name)
    }

    fn libc(name: &str) -> Frame {
        Frame::of(Some(LIBC), None, Some(0x10)).with_function(name)
    }

    /// Its name, what it did, and its callers.
    fn only_place(frames: Vec<Frame>) -> (String, String, Vec<String>) {
        let ts = Timestamp::UNIX_EPOCH;
        let doing = Doing {
            ts,
            ppid: 7,
            parent_comm: None,
            tid: 7,
            state: ThreadState::Blocked,
            stack: 1,
            zombie_ns: 10,
            samples: 1,
        };
        let did = WhatParentsDid::of(&[Stack::new(ts, 1, frames, false)], &[doing]);
        let parents = did.parents();
        let places = places(&parents[0]);
        let [place] = &*places else {
            panic!("{places:?}");
        };
        let (callers, more) = place.callers(10);
        assert!(!more);
        let callers = callers.into_iter().map(Cow::into_owned);
        (place.name(), place.action(), callers.collect())
    }

    #[test]
    fn the_innermost_frame_of_the_program_is_the_place() {
        let (name, action, callers) = only_place(vec![
            libc("fsync"),
            own("write_journal").with_source("/home/me/src/sup.c", Some(14)),
            own("flush_state"),
            own("run_job"),
            own("main"),
            libc("__libc_start_call_main"),
            libc("__libc_start_main@@GLIBC_2.34"),
            own("_start"),
        ]);
        assert_eq!(name, "write_journal (sup.c:14)");
        assert_eq!(callers, ["flush_state", "run_job", "main"]);
        assert_eq!(action, "blocked in fsync");
    }

    #[test]
    fn the_call_is_the_one_that_the_program_made() {
        let (_, action, _) = only_place(vec![
            libc("__futex_abstimed_wait_common64"),
            Frame::of(Some(LIBC), None, Some(7)),
            libc("pthread_cond_wait@@GLIBC_2.3.2"),
            own("wait_for_work"),
        ]);
        assert_eq!(action, "blocked in pthread_cond_wait");
        let (name, action, _) = only_place(vec![
            libc("syscall"),
            own("std::sys::pal::unix::futex::futex_wait"),
            own("std::thread::park"),
            own("<sup::Queue as sup::Take>::take"),
        ]);
        assert_eq!(action, "blocked in std::thread::park");
        assert_eq!(name, "<sup::Queue as sup::Take>::take");
    }

    #[test]
    fn a_script_is_the_program_and_its_engine_is_not() {
        let script = |name: &str, line| {
            Frame::default()
                .with_function(name)
                .with_source("/srv/sup.js", Some(line))
        };
        let (name, action, callers) = only_place(vec![
            libc("pthread_cond_timedwait"),
            own("v8::internal::FutexEmulation::WaitJs32"),
            own("Builtins_CEntry"),
            script("writeJournal", 12),
            script("supervise", 39),
            own("node::Start"),
        ]);
        assert_eq!(name, "writeJournal (sup.js:12)");
        assert_eq!(action, "blocked in pthread_cond_timedwait");
        assert_eq!(callers, ["supervise", "node::Start"]);
    }

    #[test]
    fn a_stack_of_libraries_alone_has_its_innermost_frame() {
        let (name, action, _) =
            only_place(vec![own("runtime.futex.abi0"), own("runtime.notesleep")]);
        assert_eq!((&*name, &*action), ("runtime.futex.abi0", "blocked"));
    }

    #[test]
    fn code_without_symbols_is_named_by_its_module() {
        let (name, _, callers) = only_place(vec![
            libc("read"),
            Frame::of(Some("/opt/app/bin/sup"), Some("8f3c"), Some(0x1a2b)),
            Frame::default(),
        ]);
        assert_eq!(name, "sup+0x1a2b");
        assert_eq!(callers, ["[unknown]"]);
    }

    #[test]
    fn recursion_is_shown_once() {
        let frames = std::iter::repeat_n(own("fib"), 200);
        let (name, _, callers) = only_place(frames.chain([own("main")]).collect());
        assert_eq!((&*name, callers), ("fib", vec!["main".to_owned()]));
    }

    #[test]
    fn stacks_with_the_same_place_are_added_up() {
        let ts = Timestamp::UNIX_EPOCH;
        let stack = |id, caller| {
            Stack::new(
                ts,
                id,
                vec![libc("fsync"), own("write_journal"), own(caller)],
                false,
            )
        };
        let doing = |stack, zombie_ns| Doing {
            ts,
            ppid: 7,
            parent_comm: None,
            tid: 7,
            state: ThreadState::Blocked,
            stack,
            zombie_ns,
            samples: 1,
        };
        let did = WhatParentsDid::of(
            &[stack(1, "rotate"), stack(2, "append")],
            &[doing(1, 10), doing(2, 30)],
        );
        let parents = did.parents();
        let places = places(&parents[0]);
        assert_eq!(places.len(), 1);
        assert_eq!(
            places[0].weight,
            Weight {
                zombie_ns: 40,
                samples: 2
            }
        );
        assert_eq!(places[0].callers(5), (vec!["append".into()], false));
    }

    #[test]
    fn a_parent_has_a_place_if_most_of_its_time_went_there() {
        let ts = Timestamp::UNIX_EPOCH;
        let stack = |id, name| Stack::new(ts, id, vec![own(name)], false);
        let stacks = [stack(1, "zip"), stack(2, "write"), stack(3, "wait")];
        let doing = |ppid, stack, zombie_ns| Doing {
            ts,
            ppid,
            parent_comm: Some("sup".into()),
            tid: ppid,
            state: ThreadState::Blocked,
            stack,
            zombie_ns,
            samples: 1,
        };
        let did = WhatParentsDid::of(
            &stacks,
            &[
                doing(7, 1, 80),
                doing(7, 2, 20),
                doing(8, 1, 49),
                doing(8, 2, 31),
                doing(8, 3, 20),
            ],
        );
        let mut summary = crate::aggregate::Aggregate::default().summary(
            crate::model::Counts::default(),
            Timestamp::UNIX_EPOCH,
            std::time::Duration::from_secs(1),
        );
        summary.by_parent = [7, 8, 9]
            .map(|ppid| crate::aggregate::ParentSummary {
                ppid: Some(ppid),
                comm: Some("sup".into()),
                ..Default::default()
            })
            .to_vec();
        name_places(&did, &mut summary);
        let places = summary.by_parent.iter().map(|row| row.place.as_deref());
        let places: Vec<_> = places.collect();
        assert_eq!(places, [Some("80 % blocked at zip"), None, None]);
    }

    #[test]
    fn shares_are_rounded_and_something_is_never_nothing() {
        for (part, all, expected) in [
            (0, 10, "0"),
            (1, 1000, "<1"),
            (1, 100, "1"),
            (995, 1000, "100"),
            (994, 1000, "99"),
            (10, 10, "100"),
            (20, 10, "100"),
            (0, 0, "0"),
            (u64::MAX, u64::MAX, "100"),
        ] {
            assert_eq!(share(part, all), expected, "{part} of {all}");
        }
    }

    #[test]
    fn a_stack_that_is_not_known_is_said_to_be() {
        let doing = Doing {
            ts: Timestamp::UNIX_EPOCH,
            ppid: 7,
            parent_comm: None,
            tid: 7,
            state: ThreadState::Running,
            stack: 1,
            zombie_ns: 10,
            samples: 1,
        };
        let did = WhatParentsDid::of(&[], &[doing]);
        let parents = did.parents();
        let place = &places(&parents[0])[0];
        assert_eq!((&*place.name(), &*place.action()), ("[unknown]", "running"));
        assert_eq!(place.callers(5), (Vec::new(), true));
    }

    #[test]
    fn callers_end_where_there_is_no_room() {
        let frames = ["a", "b", "c", "d"].map(own).to_vec();
        let stack = WeightedStack {
            state: ThreadState::Running,
            weight: Weight::default(),
            frames: frames.iter().collect(),
            is_truncated: false,
        };
        assert_eq!(
            place(&stack).callers(2),
            (vec!["b".into(), "c".into()], true)
        );
        assert!(!place(&stack).callers(3).1);
    }
}
