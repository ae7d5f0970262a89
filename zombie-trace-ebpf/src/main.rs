//! zombie-trace's eBPF programs: from exit to reap, one record per process.
//!
//! # Why the unsafe code is sound
//! A pointer into a map ("a map value" in the comments below) stays valid while a program runs, even
//! if the entry is removed meanwhile: the maps are preallocated. Another CPU may write to the value
//! at the same time, but it holds only integers, for which all bits are valid. The kernel's verifier
//! checks every other access before it loads a program.

#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod aliases;
mod arch;
mod atomic;
mod container;
mod control;
mod counters;
mod current;
mod emit;
mod entry;
mod globals;
mod hooks;
mod host_name;
mod maps;
mod phases;
mod record;
mod relation;
mod scope;
mod syscall;
mod table;
mod take_in;
mod task;
mod zombie;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The helpers that read kernel memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
