//! Go's own table of functions, `.gopclntab`: how large each frame is, and what its function, file and line
//! are. Every Go program has it, stripped or not: its runtime walks stacks with it. What the table says is
//! followed; frame pointers are not.

use super::{
    registers::{Architecture, Registers},
    symbol::Symbol,
    unwind::{Memory, Section, Step},
};

/// Steps through one function's values. Those of the largest generated functions have some ten thousand.
const MOST_VALUES: usize = 1 << 17;

/// Longer names and paths are cut.
const LONGEST_NAME: usize = 4096;

/// The link register of arm64, by its DWARF number.
const LINK_REGISTER: u16 = 30;

/// The function has no caller (`funcFlag_TOPFRAME`).
const TOP_FRAME: u8 = 1;
/// The function sets the stack pointer in ways that the table does not show (`funcFlag_SPWRITE`).
const WRITES_SP: u8 = 2;

/// Where fields are, which differs between versions of Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// The bytes of a function's address: 8, or 4 if it is relative to the start of the code.
    address: usize,
    /// Where `funcID` is in a function's record; flags follow it.
    id: usize,
    /// Where the header has the start of the code, if it does.
    text: Option<usize>,
    /// Where the header has the offsets of the other tables.
    offsets: usize,
}

impl Layout {
    /// By the first four bytes.
    fn of(magic: u32) -> Option<Self> {
        Some(match magic {
            // Go 1.16 and 1.17
            0xffff_fffa => Self {
                address: 8,
                id: 40,
                text: None,
                offsets: 24,
            },
            // Go 1.18 and 1.19
            0xffff_fff0 => Self {
                address: 4,
                id: 36,
                text: Some(24),
                offsets: 32,
            },
            // Go 1.20 and later
            0xffff_fff1 => Self {
                address: 4,
                id: 40,
                text: Some(24),
                offsets: 32,
            },
            _ => return None,
        })
    }
}

/// The table of one program.
#[derive(Debug)]
pub(super) struct GoTable {
    bytes: Vec<u8>,
    layout: Layout,
    /// What the addresses of functions are relative to.
    text: u64,
    /// The distance between two instructions that the table can tell apart.
    quantum: u64,
    count: usize,
    names: usize,
    units: usize,
    files: usize,
    values: usize,
    functions: usize,
}

/// A function's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function {
    start: u64,
    /// Where the record is in the section.
    record: usize,
}

impl GoTable {
    /// `start_of_code`: finds where the code begins, from the address of the field that should say so, and
    /// what it says.
    pub(super) fn parse(
        section: Section,
        start_of_code: impl FnOnce(u64, u64) -> Option<u64>,
    ) -> Option<Self> {
        let Section { bytes, address } = section;
        let layout = Layout::of(u32_at(&bytes, 0)?)?;
        let &[0, 0, quantum @ (1 | 2 | 4), 8] = bytes.get(4..8)? else {
            return None;
        };
        let text = match layout.text {
            None => 0,
            Some(at) => start_of_code(address.checked_add(at as u64)?, u64_at(&bytes, at)?)?,
        };
        let offset = |index: usize| {
            let offset = usize::try_from(u64_at(&bytes, layout.offsets + index * 8)?).ok()?;
            (offset <= bytes.len()).then_some(offset)
        };
        let functions = offset(4)?;
        let room = (bytes.len() - functions) / (2 * layout.address);
        let count = usize::try_from(u64_at(&bytes, 8)?).ok()?;
        // Where the last function ends comes after them.
        if count >= room {
            return None;
        }
        Some(Self {
            layout,
            text,
            quantum: u64::from(quantum),
            count,
            names: offset(0)?,
            units: offset(1)?,
            files: offset(2)?,
            values: offset(3)?,
            functions,
            bytes,
        })
    }

    /// Makes the registers those of the caller. `at`: the address that is looked up, as the module has it.
    /// `None` if that is not Go's code.
    pub(super) fn step(
        &self,
        machine: &Architecture,
        at: u64,
        registers: &mut Registers,
        is_exact: bool,
        memory: Memory<'_>,
    ) -> Option<Step> {
        let function = self.function(at)?;
        let name = self.name(self.field(function, 0)?).unwrap_or_default();
        let flags = function.record.checked_add(self.layout.id + 1)?;
        let flags = *self.bytes.get(flags)?;
        if let Some(end) = end(name, flags) {
            return Some(end);
        }
        let caller = self.caller(machine, function, at, registers, is_exact, memory);
        Some(caller.map_or(Step::Lost, |caller| {
            *registers = caller;
            match registers.ip {
                0 => Step::Outermost,
                _ => Step::Caller { interrupted: false },
            }
        }))
    }

    fn caller(
        &self,
        machine: &Architecture,
        function: Function,
        at: u64,
        registers: &Registers,
        is_exact: bool,
        memory: Memory<'_>,
    ) -> Option<Registers> {
        let stack_pointer = registers.stack_pointer(machine)?;
        let pcsp = self.field(function, 3).filter(|offset| *offset != 0)?;
        let size = u64::try_from(self.value(pcsp, function, at)?).ok()?;
        let (return_address, frame) = match (machine.has_link_register, size) {
            (false, _) => {
                let end = stack_pointer.checked_add(size)?;
                (memory(end)?, end.checked_add(8)?)
            }
            // It is not yet saved, or no longer.
            (true, 0) if is_exact => (registers.get(LINK_REGISTER)?, stack_pointer),
            (true, 0) => return None,
            (true, _) => (memory(stack_pointer)?, stack_pointer.checked_add(size)?),
        };
        // Go's functions need not keep any other register.
        let ip = machine.plain(return_address);
        Some(Registers::at(machine, ip, frame))
    }

    /// The function at this address, its file and line; none if the table does not say.
    pub(super) fn symbols(&self, at: u64) -> Vec<Symbol> {
        let symbol = || {
            let function = self.function(at)?;
            let name = self.name(self.field(function, 0)?)?;
            let value = |index| self.value(self.field(function, index)?, function, at);
            let file = value(4).and_then(|file| self.file(function, file));
            let line = value(5).and_then(|line| u32::try_from(line).ok());
            Some(Symbol {
                function: name.to_owned(),
                line: line.filter(|_| file.is_some()),
                file,
                inlined: false,
            })
        };
        symbol().into_iter().collect()
    }

    fn function(&self, at: u64) -> Option<Function> {
        // The first one that starts later.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.start(middle)? <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let index = low.checked_sub(1)?;
        if low == self.count && at >= self.start(self.count)? {
            return None;
        }
        let size = self.layout.address;
        let entry = self.functions + index * 2 * size;
        let offset = self.number(entry + size)?;
        let record = self.functions.checked_add(usize::try_from(offset).ok()?)?;
        Some(Function {
            start: self.start(index)?,
            record,
        })
    }

    /// Where a function starts; the last one ends at that of the next.
    fn start(&self, index: usize) -> Option<u64> {
        let start = self.number(self.functions + index * 2 * self.layout.address)?;
        self.text.checked_add(start)
    }

    /// A number of the size that addresses have.
    fn number(&self, at: usize) -> Option<u64> {
        match self.layout.address {
            8 => u64_at(&self.bytes, at),
            _ => u32_at(&self.bytes, at).map(u64::from),
        }
    }

    /// One of the numbers after the address in a function's record: the name, arguments, `deferreturn`, and
    /// then where its values are: of the stack pointer, the file and the line.
    fn field(&self, function: Function, index: usize) -> Option<usize> {
        let at = function.record.checked_add(self.layout.address)?;
        u32_at(&self.bytes, at.checked_add(index * 4)?).map(|value| value as usize)
    }

    /// What a list of values has for an address of a function.
    fn value(&self, list: usize, function: Function, at: u64) -> Option<i32> {
        let mut rest = self.bytes.get(self.values.checked_add(list)?..)?;
        let mut value = -1_i32;
        let mut end = function.start;
        for index in 0..MOST_VALUES {
            let change = varint(&mut rest)?;
            if change == 0 && index > 0 {
                return None;
            }
            // Zigzag encoding.
            let signed = (change >> 1).cast_signed() ^ -(change & 1).cast_signed();
            value = value.wrapping_add(signed);
            let length = u64::from(varint(&mut rest)?).checked_mul(self.quantum)?;
            end = end.checked_add(length)?;
            if at < end {
                return Some(value);
            }
        }
        None
    }

    fn name(&self, offset: usize) -> Option<&str> {
        text_at(&self.bytes, self.names.checked_add(offset)?).filter(|name| !name.is_empty())
    }

    fn file(&self, function: Function, number: i32) -> Option<String> {
        let unit = self.field(function, 7)?;
        let index = unit.checked_add(usize::try_from(number).ok()?)?;
        let at = self.units.checked_add(index.checked_mul(4)?)?;
        let offset = u32_at(&self.bytes, at).filter(|offset| *offset != u32::MAX)?;
        let file = text_at(&self.bytes, self.files.checked_add(offset as usize)?)?;
        (!file.is_empty()).then(|| file.to_owned())
    }
}

/// How a stack ends at this function, if it does.
fn end(name: &str, flags: u8) -> Option<Step> {
    match name {
        // The kernel has interrupted somebody there.
        "runtime.sigtramp" => Some(Step::Lost),
        // The scheduler starts on the stack of its thread. The goroutine that ran before is not its
        // caller: it goes on elsewhere, or not at all.
        "runtime.mcall" => Some(Step::Outermost),
        // Go 1.16 has no flags.
        "runtime.goexit" | "runtime.mstart" | "runtime.rt0_go" => Some(Step::Outermost),
        "runtime.systemstack" | "runtime.morestack" | "runtime.asmcgocall" => Some(Step::Lost),
        // It has a frame on both of the stacks between which it changes.
        "runtime.cgocallback" => None,
        _ if flags & TOP_FRAME != 0 => Some(Step::Outermost),
        // The caller may be on another stack.
        _ if flags & WRITES_SP != 0 => Some(Step::Lost),
        _ => None,
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

/// What ends with a zero byte.
fn text_at(bytes: &[u8], at: usize) -> Option<&str> {
    let rest = bytes.get(at..)?;
    let rest = rest.get(..LONGEST_NAME).unwrap_or(rest);
    let length = rest.iter().position(|byte| *byte == 0)?;
    str::from_utf8(rest.get(..length)?).ok()
}

fn varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zombie_trace_common::REGISTERS_LEN;

    use super::*;
    use crate::stacks::registers::{ARM64, X86_64};

    const CODE: u64 = 0x40_1000;
    const STACK: u64 = 0x7000;
    const MAGICS: [u32; 3] = [0xffff_fffa, 0xffff_fff0, 0xffff_fff1];

    /// Name, size, flags, and how large its frame is: for as many bytes of code each.
    type Written = (&'static str, u64, u8, &'static [(i32, u32)]);

    const FUNCTIONS: [Written; 7] = [
        ("main.leaf", 0x40, 0, &[(0, 0x40)]),
        // Makes room for 0x18 bytes at its fourth byte, and gives it back at its last four.
        ("main.job", 0x80, 0, &[(0, 4), (0x18, 0x78), (0, 4)]),
        ("runtime.goexit", 0x10, TOP_FRAME, &[(0, 0x10)]),
        ("runtime.systemstack", 0x40, WRITES_SP, &[(0, 0x40)]),
        ("runtime.sigtramp", 0x40, TOP_FRAME, &[(0, 0x40)]),
        ("runtime.mcall", 0x20, WRITES_SP, &[(8, 0x20)]),
        ("main.huge", 0x20, 0, &[(i32::MAX, 0x20)]),
    ];

    fn start(name: &str) -> u64 {
        let before = FUNCTIONS.iter().take_while(|function| function.0 != name);
        CODE + before.map(|function| function.1).sum::<u64>()
    }

    fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    fn put_values(bytes: &mut Vec<u8>, values: &[(i32, u32)], quantum: u32) -> u32 {
        let at = bytes.len() as u32;
        let mut last = -1_i32;
        for (value, length) in values {
            let change = value.wrapping_sub(last);
            put_varint(bytes, (change << 1 ^ change >> 31).cast_unsigned());
            put_varint(bytes, length / quantum);
            last = *value;
        }
        bytes.push(0);
        at
    }

    /// As the linker writes it: see `src/runtime/symtab.go` of Go.
    fn section(magic: u32, quantum: u8) -> Vec<u8> {
        let layout = Layout::of(magic).unwrap();
        let number = |value: u64| match layout.address {
            8 => (CODE + value).to_le_bytes().to_vec(),
            _ => (value as u32).to_le_bytes().to_vec(),
        };
        let offset = |value: usize| match layout.address {
            8 => (value as u64).to_le_bytes().to_vec(),
            _ => (value as u32).to_le_bytes().to_vec(),
        };
        let (mut names, mut values, mut table, mut records) =
            (vec![0], vec![0], Vec::new(), Vec::new());
        // The first file of the second unit.
        let units = [u32::MAX, 0, 0].map(u32::to_le_bytes).concat();
        let files = b"/src/job.go\0".to_vec();
        let records_at = (FUNCTIONS.len() * 2 + 1) * layout.address;
        let mut address = 0;
        for (name, size, flags, frame) in FUNCTIONS {
            table.extend(number(address));
            table.extend(offset(records_at + records.len()));
            let name_at = names.len() as u32;
            names.extend(name.bytes().chain([0]));
            let pcsp = put_values(&mut values, frame, u32::from(quantum));
            let half = size as u32 / 2;
            let pcfile = put_values(&mut values, &[(1, size as u32)], u32::from(quantum));
            let lines = [(70_000, half), (12, half)];
            let pcln = put_values(&mut values, &lines, u32::from(quantum));
            records.extend(number(address));
            for field in [name_at, 0, 0, pcsp, pcfile, pcln, 0, 1] {
                records.extend(field.to_le_bytes());
            }
            if layout.id == 40 && layout.address == 4 {
                records.extend(7_u32.to_le_bytes());
            }
            records.extend([0, flags, 0, 0]);
            address += size;
        }
        table.extend(number(address));
        let functions = [table, records].concat();
        let header = layout.offsets + 5 * 8;
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend([0, 0, quantum, 8]);
        bytes.extend((FUNCTIONS.len() as u64).to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        if layout.text.is_some() {
            bytes.extend(CODE.to_le_bytes());
        }
        let parts = [names, units, files, values, functions];
        let mut at = header as u64;
        for part in &parts {
            bytes.extend(at.to_le_bytes());
            at += part.len() as u64;
        }
        bytes.extend(parts.concat());
        bytes
    }

    fn parse(bytes: Vec<u8>) -> Option<GoTable> {
        let section = Section {
            bytes,
            address: 0x50_0000,
        };
        GoTable::parse(section, |field, value| {
            assert_eq!(field, 0x50_0018);
            Some(value)
        })
    }

    fn tables() -> [GoTable; 3] {
        MAGICS.map(|magic| parse(section(magic, 1)).unwrap())
    }

    fn step(
        table: &GoTable,
        machine: &Architecture,
        at: u64,
        is_exact: bool,
        words: &[u64],
    ) -> (Option<Step>, Registers) {
        let mut kernel = [77; REGISTERS_LEN];
        kernel[if machine.has_link_register { 31 } else { 19 }] = STACK;
        let mut registers = Registers::of(machine, &kernel);
        let memory = |address: u64| {
            let at = address.checked_sub(STACK)? / 8;
            words.get(usize::try_from(at).ok()?).copied()
        };
        let found = table.step(machine, at, &mut registers, is_exact, &memory);
        (found, registers)
    }

    const CALLER: Option<Step> = Some(Step::Caller { interrupted: false });

    #[test]
    fn the_return_address_is_above_the_frame() {
        for table in tables() {
            let job = start("main.job");
            for (at, size) in [
                (job + 3, 0),
                (job + 4, 0x18),
                (job + 0x7b, 0x18),
                (job + 0x7c, 0),
            ] {
                let (found, caller) = step(&table, &X86_64, at, false, &[10, 11, 12, 13]);
                assert_eq!((found, caller.ip), (CALLER, 10 + size / 8), "{at:#x}");
                assert_eq!(caller.stack_pointer(&X86_64), Some(STACK + size + 8));
                // Go's functions keep no register: this one was rbp.
                assert_eq!(caller.get(6), None);
            }
            let (found, _) = step(&table, &X86_64, job + 4, true, &[10, 11, 12]);
            assert_eq!(found, Some(Step::Lost), "it was not copied");
        }
    }

    #[test]
    fn arm64_has_it_in_a_register_or_below_the_frame() {
        for magic in MAGICS {
            let table = parse(section(magic, 4)).unwrap();
            let at = start("main.job") + 4;
            let (found, caller) = step(&table, &ARM64, at, false, &[10, 11]);
            assert_eq!((found, caller.ip), (CALLER, 10));
            assert_eq!(caller.stack_pointer(&ARM64), Some(STACK + 0x18));
            let leaf = start("main.leaf");
            let (found, caller) = step(&table, &ARM64, leaf, true, &[]);
            assert_eq!((found, caller.ip), (CALLER, 77));
            assert_eq!(caller.stack_pointer(&ARM64), Some(STACK));
            // It has called somebody, and so its own return address is no longer there.
            assert_eq!(step(&table, &ARM64, leaf, false, &[1]).0, Some(Step::Lost));
        }
    }

    #[test]
    fn a_stack_ends_where_the_runtime_begins_it() {
        for table in tables() {
            let end = |name| step(&table, &X86_64, start(name) + 1, false, &[10, 11]).0;
            assert_eq!(end("runtime.goexit"), Some(Step::Outermost));
            assert_eq!(end("runtime.mcall"), Some(Step::Outermost));
            assert_eq!(end("runtime.systemstack"), Some(Step::Lost));
            assert_eq!(end("runtime.sigtramp"), Some(Step::Lost));
            assert_eq!(end("main.huge"), Some(Step::Lost));
        }
    }

    #[test]
    fn functions_have_names_and_lines() {
        for table in tables() {
            let symbol = |at: u64| {
                let symbols = table.symbols(at);
                let [symbol] = &*symbols else {
                    panic!("{at:#x}: {symbols:?}");
                };
                assert_eq!(symbol.file.as_deref(), Some("/src/job.go"));
                (symbol.function.clone(), symbol.line)
            };
            let job = start("main.job");
            assert_eq!(symbol(job), ("main.job".into(), Some(70_000)));
            assert_eq!(symbol(job + 0x3f), ("main.job".into(), Some(70_000)));
            assert_eq!(symbol(job + 0x40), ("main.job".into(), Some(12)));
            assert_eq!(symbol(CODE), ("main.leaf".into(), Some(70_000)));
            let end = CODE + FUNCTIONS.iter().map(|function| function.1).sum::<u64>();
            assert_eq!(symbol(end - 1), ("main.huge".into(), Some(12)));
            for outside in [0, CODE - 1, end, u64::MAX] {
                assert_eq!(table.symbols(outside), [], "{outside:#x}");
                assert_eq!(step(&table, &X86_64, outside, true, &[1]).0, None);
            }
        }
    }

    #[test]
    fn other_tables_are_not_read() {
        let good = section(MAGICS[2], 1);
        for (at, byte) in [(0, 0), (3, 0), (4, 1), (6, 0), (6, 3), (7, 4), (15, 0xff)] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert!(parse(bytes).is_none(), "{at}: {byte:#x}");
        }
        for length in 0..good.len() {
            let cut = good[..length].to_vec();
            if let Some(table) = parse(cut) {
                let _ = table.symbols(CODE + 0x10);
                let _ = step(&table, &X86_64, CODE + 0x10, true, &[1]);
            }
        }
    }

    proptest! {
        #[test]
        fn a_damaged_table_is_no_danger(
            noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            at in CODE - 1..CODE + 0x200,
            word in any::<u64>(),
        ) {
            for magic in MAGICS {
                let mut bytes = section(magic, 1);
                for (index, byte) in &noise {
                    let at = index.index(bytes.len());
                    bytes[at] = *byte;
                }
                let Some(table) = parse(bytes) else { continue };
                let _ = table.symbols(at);
                for machine in [&X86_64, &ARM64] {
                    let _ = step(&table, machine, at, word % 2 == 0, &[word; 64]);
                }
            }
        }
    }
}
