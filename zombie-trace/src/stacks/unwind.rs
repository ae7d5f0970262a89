//! From a frame to its caller, by call frame information (CFI: `.eh_frame`, `.debug_frame`). It follows
//! what the compiler wrote, or says that it can't: it never guesses.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, DebugFrameOffset, EhFrame, EhFrameHdr, EhFrameOffset,
    Encoding, EndianSlice, EvaluationResult, FrameDescriptionEntry, LittleEndian, Location,
    RegisterRule, UnwindContext, UnwindExpression, UnwindOffset, UnwindSection, Value,
};

use super::registers::{Machine, Registers};

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
pub(super) struct Table {
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

impl Table {
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
        machine: &Machine,
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
    machine: &'a Machine,
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
