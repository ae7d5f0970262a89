//! A 32-bit system call from a 64-bit program: `int 0x80`.

use crate::process::Proc;
#[cfg(target_arch = "x86_64")]
use crate::{process::Refine, sys};

#[cfg(target_arch = "x86_64")]
mod int80 {
    use std::{arch::asm, ptr};

    use libc::{c_int, pid_t};

    use crate::sys;

    // arch/x86/entry/syscalls/syscall_32.tbl
    const GETPID: u32 = 20;
    const WAIT4: u32 = 114;

    fn call(number: u32, arguments: [u32; 4]) -> i32 {
        let result: i32;
        let [first, second, third, fourth] = arguments;
        // SAFETY: rbx is saved by hand, because LLVM reserves it; the 32-bit entry clobbers
        // r8–r11 (entry_64_compat.S of old kernels). What the call does is the caller's affair.
        unsafe {
            asm!(
                "push rbx",
                "mov ebx, {first:e}",
                "int 0x80",
                "pop rbx",
                first = in(reg) first,
                inlateout("eax") number => result,
                in("ecx") second,
                in("edx") third,
                in("esi") fourth,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        result
    }

    /// True if the kernel has a 32-bit entry; kills the process by SIGSEGV if not.
    pub(super) fn works() -> bool {
        call(GETPID, [0; 4]) == sys::getpid()
    }

    pub(super) fn wait4(pid: pid_t) -> Option<(pid_t, c_int)> {
        // SAFETY: a fresh mapping below 4 GiB, where a 32-bit pointer reaches it.
        let status: *mut c_int = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0).cast()
        };
        assert_ne!(status.cast(), libc::MAP_FAILED, "mmap(MAP_32BIT)");
        let result = call(WAIT4, [pid as u32, status as u32, 0, 0]);
        // SAFETY: the mapping is still there; the kernel wrote the status behind our back.
        (result > 0).then(|| (result, unsafe { status.read_volatile() }))
    }
}

/// CONFIG_IA32_EMULATION, on x86-64.
pub(crate) fn no_int80() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let pid = sys::fork();
        if pid == 0 {
            sys::exit_group(if int80::works() { 0 } else { 1 });
        }
        let works = sys::wait4(pid, 0) == Some((pid, 0));
        (!works).then(|| "this kernel takes no 32-bit system calls".into())
    }
    #[cfg(not(target_arch = "x86_64"))]
    Some("int 0x80 is x86-64's".into())
}

/// The parent waits by a 32-bit wait4, which no 64-bit system call hook sees.
pub(crate) fn int80_wait4(_: &[String]) {
    let child = Proc::new("child");
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("{child:?} needs x86-64");
    #[cfg(target_arch = "x86_64")]
    {
        child.fork(|| 3);
        child.poll_birth();
        sys::sleep_ms(20);
        child.reap_by(|| int80::wait4(child.local_pid()));
        let mut truth = child.truth().flag_maybe("bounded-end");
        truth.how.extend(["wait".into(), "unknown".into()]);
        truth.emit();
    }
}
