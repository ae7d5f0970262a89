//! The architectures that the programs run on. BPF code is the same on each; registers and system calls
//! are not.

/// 64-bit x86.
pub const X86_64: u8 = 1;
/// 64-bit Arm.
pub const ARM64: u8 = 2;
