//! From a frame to its caller by the frame pointer, where no table says more: in code that was compiled at
//! run time, and in a program's functions that visibly set one up. A function without a frame of its own is
//! missing from what is found so, which the stack says.

use super::{
    registers::{Architecture, Registers},
    unwind::Memory,
};

/// What a function has done with its frame at some point in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameState {
    /// It has set up a frame: the frame pointer points to that of its caller, and the return address is
    /// above it.
    Made,
    /// It has given it back: the next instruction returns.
    Returns,
}

/// The registers of the caller. `is_code`: whether the process has code at an address.
pub(super) fn caller(
    machine: &Architecture,
    frame: FrameState,
    registers: &Registers,
    memory: Memory<'_>,
    is_code: impl Fn(u64) -> bool,
) -> Option<Registers> {
    let stack_pointer = registers.stack_pointer(machine)?;
    let pointer = registers.get(machine.fp)?;
    let (return_address, end, outer) = match frame {
        FrameState::Made => {
            // The stack shrinks towards the caller.
            if !pointer.is_multiple_of(8) || pointer < stack_pointer {
                return None;
            }
            let above = pointer.checked_add(8)?;
            (memory(above)?, above.checked_add(8)?, memory(pointer)?)
        }
        FrameState::Returns => (
            memory(stack_pointer)?,
            stack_pointer.checked_add(8)?,
            pointer,
        ),
    };
    let ip = machine.plain(return_address);
    if !is_code(ip.checked_sub(1)?) {
        return None;
    }
    let mut caller = Registers::at(machine, ip, end);
    caller.set(machine.fp, Some(outer));
    Some(caller)
}

/// By a function's code: up to where it is, and from there on.
pub(super) fn frame(machine: &Architecture, before: &[u8], from: &[u8]) -> Option<FrameState> {
    match machine.has_link_register {
        true => makes_frame_on_arm64(before).then_some(FrameState::Made),
        false => {
            let is_made = makes_frame_on_x86(before);
            // ret
            match from.first() {
                Some(0xc3) if is_made => Some(FrameState::Returns),
                _ => is_made.then_some(FrameState::Made),
            }
        }
    }
}

/// push %rbp, and soon mov %rsp,%rbp, which has two encodings
fn makes_frame_on_x86(before: &[u8]) -> bool {
    const NEAR: usize = 64;
    const POINTS: [&[u8]; 2] = [b"\x48\x89\xe5", b"\x48\x8b\xec"];
    let mut codes = before.windows(3).enumerate();
    codes.any(|(at, code)| {
        let near = before.get(at.saturating_sub(NEAR)..at).unwrap_or_default();
        POINTS.contains(&code) && near.contains(&0x55)
    })
}

/// stp x29, x30, [sp, #…]!, and soon mov x29, sp
fn makes_frame_on_arm64(before: &[u8]) -> bool {
    const NEAR: usize = 8;
    let words = before
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word));
    let words: Vec<u32> = words.collect();
    let saves = |word: &u32| word & 0xffc0_7fff == 0xa980_7bfd;
    let points = |word: &u32| word & 0xffc0_03ff == 0x9100_03fd;
    words
        .iter()
        .enumerate()
        .any(|(index, word)| saves(word) && words.iter().skip(index + 1).take(NEAR).any(points))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zombie_trace_common::REGISTERS_LEN;

    use super::*;
    use crate::stacks::registers::{ARM64, X86_64};

    const STACK: u64 = 0x7000;
    const RBP: u16 = 6;

    fn step(frame: u64, words: &[u64]) -> Option<Registers> {
        caller_of(FrameState::Made, frame, words)
    }

    fn caller_of(state: FrameState, frame: u64, words: &[u64]) -> Option<Registers> {
        let mut kernel = [77; REGISTERS_LEN];
        kernel[19] = STACK;
        kernel[4] = frame;
        let registers = Registers::of(&X86_64, &kernel);
        let memory = |address: u64| {
            let at = address.checked_sub(STACK)? / 8;
            words.get(usize::try_from(at).ok()?).copied()
        };
        let is_code = |ip| (0x5000..0x6000).contains(&ip);
        caller(&X86_64, state, &registers, &memory, is_code)
    }

    #[test]
    fn the_caller_is_above_the_frame_pointer() {
        let caller = step(STACK + 8, &[0, STACK + 0x40, 0x5555]).unwrap();
        assert_eq!(caller.ip, 0x5555);
        assert_eq!(caller.stack_pointer(&X86_64), Some(STACK + 24));
        assert_eq!(caller.get(RBP), Some(STACK + 0x40));
        // Whatever the callee has left in there.
        assert_eq!(caller.get(3), None);
    }

    #[test]
    fn before_it_returns_a_function_has_no_frame() {
        let caller = caller_of(FrameState::Returns, 88, &[0x5555]).unwrap();
        assert_eq!(caller.ip, 0x5555);
        assert_eq!(caller.stack_pointer(&X86_64), Some(STACK + 8));
        assert_eq!(caller.get(RBP), Some(88));
        assert_eq!(caller_of(FrameState::Returns, 88, &[0x4fff]), None);
    }

    #[test]
    fn what_is_no_frame_is_not_followed() {
        let words = [0, STACK + 0x40, 0x5555, 0x4fff, 0x6001];
        assert_eq!(step(STACK - 8, &words), None, "below the stack pointer");
        assert_eq!(step(STACK + 4, &words), None, "not aligned");
        assert_eq!(step(STACK + 16, &words), None, "no code");
        assert_eq!(step(STACK + 24, &words), None, "just behind code");
        assert_eq!(step(STACK + 32, &words), None, "not copied");
        for outside in [0, 77, u64::MAX, u64::MAX - 7] {
            assert_eq!(step(outside, &words), None, "{outside:#x}");
        }
    }

    #[test]
    fn a_function_is_seen_to_make_its_frame() {
        let makes = b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x90";
        assert_eq!(frame(&X86_64, makes, b"\x90"), Some(FrameState::Made));
        assert_eq!(
            frame(&X86_64, b"\x55\x48\x8b\xec", b""),
            Some(FrameState::Made)
        );
        assert_eq!(frame(&X86_64, makes, b"\xc3"), Some(FrameState::Returns));
        // gcc puts other instructions in between.
        let apart = b"\x55\x48\x69\xff\xe8\x03\x00\x00\x31\xf6\x48\x89\xe5";
        assert_eq!(frame(&X86_64, apart, b"\x90"), Some(FrameState::Made));
        // Not yet, or never.
        for before in [
            b"".as_slice(),
            &makes[..7],
            b"\x48\x83\xec\x18",
            b"\x48\x89\xe5\x55",
        ] {
            assert_eq!(frame(&X86_64, before, b"\xc3"), None, "{before:x?}");
        }
        let arm64 = [0xd503_233f_u32, 0xa9be_7bfd, 0xf900_0bf3, 0x9100_03fd];
        let code = |words: &[u32]| {
            words
                .iter()
                .flat_map(|it| it.to_le_bytes())
                .collect::<Vec<_>>()
        };
        assert_eq!(frame(&ARM64, &code(&arm64), b""), Some(FrameState::Made));
        assert_eq!(frame(&ARM64, &code(&arm64[..3]), b""), None);
        assert_eq!(frame(&ARM64, &code(&arm64[2..]), b""), None);
    }

    proptest! {
        #[test]
        fn any_frame_pointer_is_no_danger(frame in any::<u64>(), words in any::<[u64; 8]>()) {
            if let Some(caller) = step(frame, &words) {
                prop_assert!(caller.stack_pointer(&X86_64) > Some(STACK));
            }
        }
    }
}
