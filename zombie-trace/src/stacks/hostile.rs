//! Programs and stacks that were made to do harm.

use std::{
    cell::Cell,
    fs::File,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use zombie_trace_common::{REGISTERS_LEN, STACK_LEN, StackSample};

use super::{
    mappings::Mapping,
    module::Module,
    registers::{Registers, X86_64},
    unwind::{FrameTable, Section, Step},
    walk::{Code, walk},
};

/// Where the only function is, in the file and in memory.
const CODE: u64 = 0x1000;
/// Larger sections are not read.
const BOUND: usize = 128 << 20;
const CALLER: Step = Step::Caller { interrupted: false };

/// `.debug_frame` with one function at [`CODE`], whose entry has these instructions. Without any, the return
/// address is at the stack pointer.
fn debug_frame(instructions: &[u8]) -> Vec<u8> {
    let entry = |body: &[u8]| {
        let padding = vec![0; (4 - body.len() % 4) % 4];
        let length = (body.len() + padding.len()) as u32;
        [&length.to_le_bytes(), body, &padding].concat()
    };
    // Version 4, 8-byte addresses, factors 1 and -8, return address in 16; CFA = rsp + 8, return address at
    // CFA - 8.
    let common = [
        0xff, 0xff, 0xff, 0xff, 4, 0, 8, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1,
    ];
    let function = [
        &0_u32.to_le_bytes(),
        &CODE.to_le_bytes()[..],
        &0x100_u64.to_le_bytes(),
        instructions,
    ];
    [entry(&common), entry(&function.concat())].concat()
}

/// A program of one executable segment, and `.debug_frame` with these bytes. The section header says that it
/// has `size` of them; the file has a hole for the rest.
fn program(frames: &[u8], flags: u64, size: usize) -> File {
    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    const SECTION: usize = 64;
    let names = b"\0.debug_frame\0.names\0";
    let sections = HEADER + SEGMENT;
    let names_at = sections + 3 * SECTION;
    let frames_at = 2 * CODE as usize;
    let mut bytes = vec![0; names_at];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // ELFCLASS64, ELFDATA2LSB; ET_DYN, EM_X86_64 (elf(5)).
    put(0, b"\x7fELF\x02\x01\x01");
    put(0x10, &[3, 0, 62, 0, 1]);
    put(0x20, &HEADER.to_le_bytes());
    put(0x28, &sections.to_le_bytes());
    for (at, value) in [
        (0x34, HEADER),
        (0x36, SEGMENT),
        (0x38, 1),
        (0x3a, SECTION),
        (0x3c, 3),
        (0x3e, 2),
    ] {
        put(at, &(value as u16).to_le_bytes());
    }
    // PT_LOAD, PF_R | PF_X: offset, address, size.
    put(HEADER, &[1, 0, 0, 0, 5]);
    for at in [8, 16, 32, 40] {
        put(HEADER + at, &CODE.to_le_bytes());
    }
    // Name, SHT_PROGBITS or SHT_STRTAB, flags, offset, size.
    for (index, name, kind, flags, offset, size) in [
        (1, 1, 1, flags, frames_at, size),
        (2, 14, 3, 0, names_at, names.len()),
    ] {
        let header = sections + index * SECTION;
        put(header, &[name, 0, 0, 0, kind]);
        put(header + 8, &flags.to_le_bytes());
        put(header + 24, &offset.to_le_bytes());
        put(header + 32, &size.to_le_bytes());
        put(header + 48, &1_u64.to_le_bytes());
    }
    bytes.extend(names);
    bytes.resize(frames_at, 0);
    bytes.extend(frames);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let end = (frames_at + size.max(frames.len())) as u64;
    file.set_len(end).unwrap();
    file
}

/// A step from the function at [`CODE`], whose caller is at 0x5555.
fn step(module: &Module) -> Step {
    let mut kernel = [0; REGISTERS_LEN];
    (kernel[16], kernel[19]) = (CODE, 0x7000);
    let mut registers = Registers::of(&X86_64, &kernel);
    assert_eq!(module.address(CODE), Some(CODE));
    let step = module.step(&X86_64, CODE, &mut registers, true, &|_| Some(0x5555));
    step.unwrap_or(Step::Lost)
}

#[test]
fn a_section_beyond_the_bound_is_left_out() {
    let frames = debug_frame(&[]);
    let of_size = |size| step(&Module::of_file(&program(&frames, 0, size)).unwrap());
    assert_eq!(of_size(frames.len()), CALLER);
    for size in [BOUND + 1, 1 << 40] {
        assert_eq!(of_size(size), Step::Lost, "{size}");
    }
}

#[test]
fn a_section_that_unpacks_beyond_the_bound_is_left_out() {
    const SHF_COMPRESSED: u64 = 0x800;
    let frames = debug_frame(&[]);
    // ELFCOMPRESS_ZLIB and ELFCOMPRESS_ZSTD.
    for kind in [1_u8, 2] {
        let of_size = |size: usize| {
            let mut unpacked = frames.clone();
            unpacked.resize(size, 0);
            let mut bytes = vec![kind, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(size.to_le_bytes());
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend(match kind {
                1 => {
                    let fast = flate2::Compression::fast();
                    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), fast);
                    encoder.write_all(&unpacked).unwrap();
                    encoder.finish().unwrap()
                }
                _ => zstd::bulk::compress(&unpacked, 1).unwrap(),
            });
            let file = program(&bytes, SHF_COMPRESSED, bytes.len());
            step(&Module::of_file(&file).unwrap())
        };
        assert_eq!(of_size(frames.len()), CALLER, "{kind}");
        assert_eq!(of_size(BOUND + 1), Step::Lost, "{kind}");
    }
}

/// Whoever maps a file is killed when it shrinks.
#[test]
fn a_file_that_shrinks_while_it_is_read_is_no_danger() {
    const SIZE: usize = 4 << 20;
    let frames = debug_frame(&[]);
    let file = program(&frames, 0, SIZE);
    let length = file.metadata().unwrap().len();
    let is_over = Arc::new(AtomicBool::new(false));
    let changer = thread::spawn({
        let (file, is_over) = (file.try_clone().unwrap(), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                file.set_len(CODE).unwrap();
                file.set_len(length).unwrap();
            }
        }
    });
    for _ in 0..100 {
        let _ = Module::of_file(&file);
    }
    is_over.store(true, Ordering::Relaxed);
    changer.join().unwrap();
}

struct OneFunction {
    mappings: Vec<Mapping>,
    module: Module,
}

impl Code for OneFunction {
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn module(&mut self, _: usize) -> Option<(usize, &Module)> {
        Some((0, &self.module))
    }

    fn perf_map(&mut self) -> Option<usize> {
        None
    }
}

/// Each return address on it is in a function that has the smallest frame that there can be.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_stack_of_many_frames_is_cut() {
    const START: u64 = 0x7000;
    let frames = debug_frame(&[]);
    let mut code = OneFunction {
        mappings: Mapping::parse_all("1000-2000 r-xp 00001000 fe:01 77 /bin/x\n"),
        module: Module::of_file(&program(&frames, 0, frames.len())).unwrap(),
    };
    let mut registers = [0; REGISTERS_LEN];
    (registers[16], registers[19]) = (CODE, START);
    let sample = StackSample {
        time: 0,
        start_boottime: 0,
        mm: 0,
        total_vm: 0,
        exec_vm: 0,
        switches: 0,
        run: 0,
        run_delay: 0,
        stack_start: START,
        registers,
        stack_len: STACK_LEN as u32,
        tid: 0,
        tgid: 0,
        map_count: 0,
        state: 0,
        verdict: 0,
        stack: (CODE + 8)
            .to_le_bytes()
            .repeat(STACK_LEN / 8)
            .try_into()
            .unwrap(),
    };
    let walked = walk(&sample, &mut code);
    assert_eq!((walked.frames.len(), walked.truncated), (512, true));
}

/// A step by a table that has these instructions. Gives how often it read memory, too.
fn step_by(instructions: &[u8]) -> (Option<Step>, u32) {
    let entries = Section {
        bytes: debug_frame(instructions),
        address: 0,
    };
    let table = FrameTable::debug(entries, 0);
    let mut kernel = [0; REGISTERS_LEN];
    (kernel[16], kernel[19]) = (CODE, 0x7000);
    let mut registers = Registers::of(&X86_64, &kernel);
    let reads = Cell::new(0);
    let memory = |_| {
        reads.set(reads.get() + 1);
        // Without that, an endless expression would be one.
        (reads.get() < 100_000).then_some(0x5555)
    };
    let found = table.step(&X86_64, CODE, &mut registers, true, &memory);
    (found, reads.get())
}

#[test]
fn an_expression_without_an_end_is_given_up() {
    // DW_CFA_def_cfa_expression: DW_OP_lit0, DW_OP_deref, DW_OP_drop, DW_OP_skip back to the first.
    let (found, reads) = step_by(&[0x0f, 6, 0x30, 0x06, 0x13, 0x2f, 0xfa, 0xff]);
    assert_eq!(found, Some(Step::Lost));
    assert!((100..1000).contains(&reads), "{reads} reads");
}

#[test]
fn a_caller_is_further_up_the_stack() {
    assert_eq!(step_by(&[]).0, Some(CALLER));
    // DW_CFA_def_cfa_offset: the frame takes nothing, or less than nothing.
    assert_eq!(step_by(&[0x0e, 0]).0, Some(Step::Lost));
    // DW_CFA_def_cfa_offset_sf, factor -8.
    assert_eq!(step_by(&[0x13, 1]).0, Some(Step::Lost));
}
