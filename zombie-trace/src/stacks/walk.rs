//! From a copy of a thread's registers and stack to its frames.

use zombie_trace_common::StackSample;

use super::{
    frame_pointers::{self, FrameState},
    mappings::Mapping,
    registers::{OURS, Registers},
    tally::{CodeAddress, Walked},
    unwind::Step,
};

use super::module::Module;

/// More frames than a copied stack can hold.
const MOST_FRAMES: usize = 512;

/// The code that a process has mapped.
pub(super) trait Code {
    /// All of it, in the order of its addresses.
    fn mappings(&self) -> &[Mapping];
    /// The module that a mapping is of, by its index, if it can be read.
    fn module(&mut self, mapping: usize) -> Option<(usize, &Module)>;
    /// The map of the names of code that is in no file.
    fn perf_map(&mut self) -> Option<usize>;
}

/// Walks up the stack for as long as what is there proves the next frame.
pub(super) fn walk(sample: &StackSample, code: &mut impl Code) -> Walked {
    let machine = OURS;
    let length = usize::try_from(sample.stack_len).unwrap_or(0);
    let stack = sample.stack.get(..length).unwrap_or_default();
    let memory = |address: u64| word(stack, sample.stack_start, address);
    let mut registers = Registers::of(machine, &sample.registers);
    let mut walked = Walked::default();
    let mut is_exact = true;
    loop {
        if walked.frames.len() == MOST_FRAMES {
            walked.truncated = true;
            break;
        }
        // A return address may be that of the next function, if the call was the last instruction.
        let at = match is_exact {
            true => registers.ip,
            false => registers.ip.wrapping_sub(1),
        };
        let Some((index, mapping)) = Mapping::at(code.mappings(), at) else {
            // Whatever was called there, it has no code. A caller must have.
            if walked.frames.is_empty() {
                walked.frames.push(nowhere(at));
            }
            walked.truncated = true;
            break;
        };
        let offset = mapping.file_offset(at);
        // What to do by the frame pointer, where there is no table.
        let frame = if mapping.is_anonymous() {
            walked.frames.push(CodeAddress {
                module: code.perf_map(),
                address: at,
                offset: None,
            });
            Some(FrameState::Made)
        } else {
            let found = code.module(index).and_then(|(number, module)| {
                let address = module.address(offset?)?;
                Some((number, module, address))
            });
            let Some((number, module, address)) = found else {
                walked.frames.push(nowhere(at));
                walked.truncated = true;
                break;
            };
            walked.frames.push(CodeAddress {
                module: Some(number),
                address,
                offset,
            });
            match module.step(machine, address, &mut registers, is_exact, &memory) {
                Some(Step::Caller { interrupted }) => {
                    is_exact = interrupted;
                    continue;
                }
                Some(Step::Outermost) => break,
                Some(Step::Lost) => None,
                None => module.frame(machine, address, is_exact),
            }
        };
        let is_code = |ip| Mapping::at(code.mappings(), ip).is_some();
        let caller = frame
            .and_then(|frame| frame_pointers::caller(machine, frame, &registers, &memory, is_code));
        let Some(caller) = caller else {
            walked.truncated = true;
            break;
        };
        registers = caller;
        walked.frame_pointers = true;
        is_exact = false;
    }
    walked
}

fn nowhere(address: u64) -> CodeAddress {
    CodeAddress {
        module: None,
        address,
        offset: None,
    }
}

/// Eight bytes of the copied stack.
fn word(stack: &[u8], start: u64, address: u64) -> Option<u64> {
    let at = usize::try_from(address.checked_sub(start)?).ok()?;
    let bytes = stack.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_outside_of_the_copied_stack() {
        let stack: Vec<u8> = (0..16).collect();
        let read = |address| word(&stack, 0x1000, address);
        assert_eq!(read(0x1000), Some(0x0706_0504_0302_0100));
        assert_eq!(read(0x1008), Some(0x0f0e_0d0c_0b0a_0908));
        for address in [0, 0xfff, 0x1009, 0x1010, u64::MAX, u64::MAX - 7] {
            assert_eq!(read(address), None, "{address:#x}");
        }
    }
}
