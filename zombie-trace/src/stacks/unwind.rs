//! From a frame to its caller, by call frame information (CFI: `.eh_frame`, `.debug_frame`). It follows
//! what the compiler wrote, or says that it can't: it never guesses.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, DebugFrameOffset, EhFrame, EhFrameHdr, EhFrameOffset,
    Encoding, EndianSlice, EvaluationResult, FrameDescriptionEntry, LittleEndian, Location,
    RegisterRule, UnwindContext, UnwindExpression, UnwindOffset, UnwindSection, Value,
};

use super::registers::{Architecture, Registers};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Operations that one DWARF expression may take. Those of compilers and C libraries take a few.
const MOST_OPERATIONS: u32 = 1000;

/// What a step comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The registers are those of the caller.
    Caller {
        /// The frame was that of a signal's delivery: the caller was interrupted before this
        /// instruction, and has not called anything.
        interrupted: bool,
    },
    /// The frame has no caller: the thread begins there.
    Outermost,
    /// What the caller is can't be told.
    Lost,
}

/// A section of a module and where the module's addresses put it.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) bytes: Vec<u8>,
    pub(super) address: u64,
}

/// One table of call frame information.
#[derive(Debug)]
pub(super) struct FrameTable {
    kind: Kind,
    entries: Section,
    /// The addresses of `.text` and `.got`, which entries may refer to.
    text: u64,
    got: u64,
}

#[derive(Debug)]
enum Kind {
    /// `.eh_frame` with the linker's index, `.eh_frame_hdr`.
    Indexed(Section),
    /// `.eh_frame` alone: the start of each function, and where its entry is.
    Eh(Vec<(u64, usize)>),
    /// `.debug_frame`, likewise.
    Debug(Vec<(u64, usize)>),
}

/// Reads eight bytes of the thread's memory.
pub(super) type Memory<'a> = &'a dyn Fn(u64) -> Option<u64>;

impl FrameTable {
    /// `.eh_frame` and, if there is one, `.eh_frame_hdr`.
    pub(super) fn eh(entries: Section, index: Option<Section>, text: u64, got: u64) -> Self {
        let mut table = Self {
            kind: Kind::Eh(Vec::new()),
            entries,
            text,
            got,
        };
        table.kind = match index.filter(|index| table.can_search(index)) {
            Some(index) => Kind::Indexed(index),
            None => Kind::Eh(starts(&table.eh_frame(), &table.bases())),
        };
        table
    }

    /// `.debug_frame`, not compressed.
    pub(super) fn debug(entries: Section, text: u64) -> Self {
        let mut table = Self {
            kind: Kind::Debug(Vec::new()),
            entries,
            text,
            got: 0,
        };
        table.kind = Kind::Debug(starts(&table.debug_frame(), &table.bases()));
        table
    }

    /// Makes the registers those of the caller. `at`: the address that is looked up, as the module has it.
    /// `None` if the table has nothing about it.
    pub(super) fn step(
        &self,
        machine: &Architecture,
        at: u64,
        registers: &mut Registers,
        is_exact: bool,
        memory: Memory<'_>,
    ) -> Option<Step> {
        let bases = self.bases();
        let frame = Frame {
            machine,
            at,
            is_exact,
            memory,
        };
        match &self.kind {
            Kind::Indexed(index) => {
                let section = self.eh_frame();
                let index = EhFrameHdr::new(&index.bytes, LittleEndian);
                let index = index.parse(&bases, 8).ok()?;
                let entry =
                    index
                        .table()?
                        .fde_for_address(&section, &bases, at, EhFrame::cie_from_offset);
                frame.step(&section, &entry.ok()?, &bases, registers)
            }
            Kind::Eh(starts) => {
                let section = self.eh_frame();
                let offset = EhFrameOffset(before(starts, at)?);
                let entry = section.fde_from_offset(&bases, offset, EhFrame::cie_from_offset);
                frame.step(&section, &entry.ok()?, &bases, registers)
            }
            Kind::Debug(starts) => {
                let section = self.debug_frame();
                let offset = DebugFrameOffset(before(starts, at)?);
                let entry = section.fde_from_offset(&bases, offset, DebugFrame::cie_from_offset);
                frame.step(&section, &entry.ok()?, &bases, registers)
            }
        }
    }

    fn bases(&self) -> BaseAddresses {
        let bases = BaseAddresses::default()
            .set_eh_frame(self.entries.address)
            .set_text(self.text)
            .set_got(self.got);
        match &self.kind {
            Kind::Indexed(index) => bases.set_eh_frame_hdr(index.address),
            _ => bases,
        }
    }

    fn eh_frame(&self) -> EhFrame<Slice<'_>> {
        let mut section = EhFrame::new(&self.entries.bytes, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn debug_frame(&self) -> DebugFrame<Slice<'_>> {
        let mut section = DebugFrame::new(&self.entries.bytes, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn can_search(&self, index: &Section) -> bool {
        let bases = self.bases().set_eh_frame_hdr(index.address);
        EhFrameHdr::new(&index.bytes, LittleEndian)
            .parse(&bases, 8)
            .is_ok_and(|index| index.table().is_some())
    }
}

/// Where each function starts, and its entry.
fn starts<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
) -> Vec<(u64, usize)> {
    let mut starts = Vec::new();
    let mut entries = section.entries(bases);
    // What comes after a malformed entry can't be found.
    while let Ok(Some(entry)) = entries.next() {
        if let gimli::CieOrFde::Fde(entry) = entry
            && let Ok(entry) = entry.parse(S::cie_from_offset)
        {
            starts.push((entry.initial_address(), entry.offset()));
        }
    }
    starts.sort_unstable();
    starts
}

/// The entry of the last function that starts no later.
fn before(starts: &[(u64, usize)], at: u64) -> Option<usize> {
    let after = starts.partition_point(|(start, _)| *start <= at);
    let (_, entry) = starts.get(after.checked_sub(1)?)?;
    Some(*entry)
}

/// The frame that a step begins at.
struct Frame<'a> {
    machine: &'a Architecture,
    at: u64,
    /// The instruction pointer is the next instruction, and not a return address.
    is_exact: bool,
    memory: Memory<'a>,
}

impl Frame<'_> {
    /// `None` if the entry is not about the address.
    fn step<'b, S>(
        &self,
        section: &S,
        entry: &FrameDescriptionEntry<Slice<'b>>,
        bases: &BaseAddresses,
        registers: &mut Registers,
    ) -> Option<Step>
    where
        S: UnwindSection<Slice<'b>>,
        S::Offset: UnwindOffset<usize>,
    {
        if !entry.contains(self.at) {
            return None;
        }
        let mut context = UnwindContext::new();
        let Ok(row) = entry.unwind_info_for_address(section, bases, &mut context, self.at) else {
            return Some(Step::Lost);
        };
        let encoding = entry.cie().encoding();
        let is_signal = entry.is_signal_trampoline();
        let return_register = entry.cie().return_address_register();
        let value = |expression, cfa| self.evaluate(section, expression, encoding, registers, cfa);
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => registers
                .get(register.0)
                .and_then(|base| base.checked_add_signed(*offset)),
            CfaRule::Expression(expression) => value(*expression, None),
        };
        let Some(cfa) = cfa else {
            return Some(Step::Lost);
        };
        let at_cfa = |offset: i64| cfa.checked_add_signed(offset);
        let mut caller = registers.of_caller(self.machine, cfa);
        let mut is_outermost = false;
        if !self.machine.has_link_register {
            caller.set(return_register.0, None);
        }
        for number in Registers::numbers() {
            let Some(rule) = row.register(gimli::Register(number)) else {
                continue;
            };
            let known = match rule {
                RegisterRule::Undefined => {
                    is_outermost |= number == return_register.0;
                    None
                }
                RegisterRule::SameValue => registers.get(number),
                RegisterRule::Offset(offset) => at_cfa(offset).and_then(self.memory),
                RegisterRule::ValOffset(offset) => at_cfa(offset),
                RegisterRule::Register(other) => registers.get(other.0),
                RegisterRule::Expression(expression) => {
                    value(expression, Some(cfa)).and_then(self.memory)
                }
                RegisterRule::ValExpression(expression) => value(expression, Some(cfa)),
                RegisterRule::Constant(value) => Some(value),
                _ => None,
            };
            caller.set(number, known);
        }
        if is_outermost {
            return Some(Step::Outermost);
        }
        let Some(return_address) = caller.get(return_register.0) else {
            return Some(Step::Lost);
        };
        caller.ip = self.machine.plain(return_address);
        if caller.ip == 0 {
            return Some(Step::Outermost);
        }
        // The stack shrinks towards the caller. A signal may have had a stack of its own.
        let before = registers.stack_pointer(self.machine)?;
        let is_leaf = self.machine.has_link_register && self.is_exact;
        let advances = cfa > before || (is_leaf && cfa == before);
        if !is_signal && !advances {
            return Some(Step::Lost);
        }
        *registers = caller;
        Some(Step::Caller {
            interrupted: is_signal,
        })
    }

    fn evaluate<'b, S>(
        &self,
        section: &S,
        expression: UnwindExpression<usize>,
        encoding: Encoding,
        registers: &Registers,
        cfa: Option<u64>,
    ) -> Option<u64>
    where
        S: UnwindSection<Slice<'b>>,
    {
        let mut evaluation = expression.get(section).ok()?.evaluation(encoding);
        evaluation.set_max_iterations(MOST_OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(registers.get(register.0)?);
                    evaluation.resume_with_register(value).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let value = (self.memory)(address).filter(|_| size == 8)?;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().last()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zombie_trace_common::REGISTERS_LEN;

    use super::*;
    use crate::stacks::registers::X86_64;

    const STACK: u64 = 0x7000;
    const RBP: u16 = 6;

    /// An entry of `.debug_frame`: its length, and its bytes.
    fn entry(body: &[u8]) -> Vec<u8> {
        let padding = (4 - body.len() % 4) % 4;
        let length = (body.len() + padding) as u32;
        [&length.to_le_bytes(), body, &vec![0; padding]].concat()
    }

    /// A function at 0x1000, of 0x100 bytes, that pushes rbp with its first instruction. Another one at
    /// 0x2000 has no caller.
    fn section() -> Vec<u8> {
        // CIE: version 4, no augmentation, 8-byte addresses, factors 1 and -8, return address in 16;
        // CFA = rsp + 8, return address at CFA - 8.
        let cie = [
            0xff, 0xff, 0xff, 0xff, 4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1,
        ];
        let function = |start: u64, program: &[u8]| {
            let cie = 0_u32;
            let numbers = [start.to_le_bytes(), 0x100_u64.to_le_bytes()].concat();
            entry(&[&cie.to_le_bytes()[..], &numbers, program].concat())
        };
        // One byte on: CFA = rsp + 16, rbp at CFA - 16.
        let pushes = function(0x1000, &[0x41, 0x0e, 16, 0x86, 2]);
        // The return address is undefined.
        let outermost = function(0x2000, &[0x07, 16]);
        [entry(&cie), outermost, pushes].concat()
    }

    fn table() -> FrameTable {
        let entries = Section {
            bytes: section(),
            address: 0,
        };
        FrameTable::debug(entries, 0)
    }

    fn registers(ip: u64) -> Registers {
        let mut kernel = [0; REGISTERS_LEN];
        kernel[16] = ip;
        kernel[19] = STACK;
        kernel[4] = 77;
        Registers::of(&X86_64, &kernel)
    }

    fn step(at: u64, words: &[u64]) -> (Option<Step>, Registers) {
        let mut registers = registers(at);
        let memory = |address: u64| {
            let at = address.checked_sub(STACK)? / 8;
            words.get(usize::try_from(at).ok()?).copied()
        };
        let found = table().step(&X86_64, at, &mut registers, true, &memory);
        (found, registers)
    }

    const CALLER: Option<Step> = Some(Step::Caller { interrupted: false });

    #[test]
    fn the_caller_is_where_the_tables_say() {
        let (found, caller) = step(0x1000, &[0x5555]);
        assert_eq!((found, caller.ip), (CALLER, 0x5555));
        assert_eq!(caller.stack_pointer(&X86_64), Some(STACK + 8));
        assert_eq!(caller.get(RBP), Some(77));
        let (found, caller) = step(0x1001, &[88, 0x6666]);
        assert_eq!((found, caller.ip), (CALLER, 0x6666));
        assert_eq!(caller.stack_pointer(&X86_64), Some(STACK + 16));
        assert_eq!(caller.get(RBP), Some(88));
        // Whatever the callee has left in there.
        assert_eq!(caller.get(0), None);
    }

    #[test]
    fn what_was_not_copied_is_not_guessed() {
        assert_eq!(step(0x1001, &[88]).0, Some(Step::Lost));
        assert_eq!(step(0x1001, &[]).0, Some(Step::Lost));
        // The caller is known without it.
        let (found, caller) = step(0x10ff, &[88, 0x6666]);
        assert_eq!((found, caller.ip), (CALLER, 0x6666));
    }

    #[test]
    fn a_stack_ends_where_there_is_no_caller() {
        assert_eq!(step(0x2000, &[0x5555]).0, Some(Step::Outermost));
        assert_eq!(step(0x1000, &[0]).0, Some(Step::Outermost));
    }

    #[test]
    fn code_without_an_entry_is_not_unwound() {
        for at in [0, 0xfff, 0x1100, 0x1fff, 0x2100, u64::MAX] {
            assert_eq!(step(at, &[0x5555]).0, None, "{at:#x}");
        }
    }

    #[test]
    fn a_stack_pointer_at_the_end_of_all_addresses() {
        let mut kernel = [u64::MAX; REGISTERS_LEN];
        kernel[16] = 0x1001;
        let mut registers = Registers::of(&X86_64, &kernel);
        let found = table().step(&X86_64, 0x1001, &mut registers, true, &|_| Some(0x5555));
        assert_eq!(found, Some(Step::Lost));
    }

    proptest! {
        #[test]
        fn rubbish_is_no_danger(
            noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            at in 0x0fff..0x2102_u64,
            word in any::<u64>(),
        ) {
            let mut bytes = section();
            for (index, byte) in noise {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            let memory = |_: u64| Some(word);
            for table in [
                FrameTable::debug(Section { bytes: bytes.clone(), address: 0 }, 0),
                FrameTable::eh(Section { bytes: bytes.clone(), address: 0x10 }, Some(Section { bytes, address: 0 }), 0, 0),
            ] {
                let _ = table.step(&X86_64, at, &mut registers(at), true, &memory);
            }
        }
    }
}
