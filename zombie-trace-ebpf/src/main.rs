//! zombie-trace's eBPF programs: from exit to reap, one record per process.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod container;
mod control;
mod current;
mod emit;
mod globals;
mod hooks;
mod host_name;
mod maps;
mod phases;
mod record;
mod scope;
mod syscall;
mod table;
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
