//! Which code is the C library's, the dynamic loader's or a language runtime's, rather than the program's.

use super::names::{call, qualified_name};
use crate::model::Frame;

/// Modules of C libraries, loaders and compilers' support, by the start of their file names.
const LIBRARIES: [&str; 13] = [
    "libc.so",
    "libc-2.",
    "libc.musl",
    "libpthread",
    "librt.so",
    "librt-2.",
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "ld.so",
    "libgcc_s.",
    "libstdc++.",
    "libc++.",
];

/// The kernel, and what it maps into each process.
const KERNEL: [&str; 3] = ["[vdso", "linux-vdso", "[kernel"];

/// Functions of Rust's and C++'s standard libraries, and of crates that only wait on behalf of others, by
/// the start of their qualified names.
const NAMESPACES: [&str; 14] = [
    "std::",
    "core::",
    "alloc::",
    "__gnu_cxx::",
    "__cxxabiv1::",
    "tokio::",
    "mio::",
    "parking_lot::",
    "parking_lot_core::",
    "rustix::",
    "nix::",
    "libc::",
    "__rust_",
    "__rustc",
];

/// Packages of Go's runtime and standard library.
const GO_PACKAGES: [&str; 15] = [
    "runtime.",
    "runtime/",
    "internal/",
    "syscall.",
    "os.",
    "os/exec.",
    "time.",
    "sync.",
    "sync/atomic.",
    "io.",
    "bufio.",
    "net.",
    "reflect.",
    "golang.org/x/sys/unix.",
    "vendor/",
];

/// What compilers append to the name of a function that they split or clone. In Go, it would be a method.
const CLONES: [&str; 7] = [
    "part",
    "isra",
    "constprop",
    "cold",
    "lto_priv",
    "llvm",
    "localalias",
];

/// Functions of a C library that can block, or run a program's `main` or threads: for programs that the
/// library is linked into. A name that starts with `__` is the implementation's own anyway.
const FUNCTIONS: [&str; 91] = [
    "accept",
    "accept4",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "connect",
    "dl_main",
    "epoll_pwait",
    "epoll_wait",
    "fallocate",
    "fcntl",
    "fdatasync",
    "fflush",
    "fgets",
    "flock",
    "fork",
    "fread",
    "fsync",
    "ftruncate",
    "futex",
    "fwrite",
    "getaddrinfo",
    "getdents64",
    "getline",
    "io_getevents",
    "ioctl",
    "lockf",
    "madvise",
    "mmap",
    "mq_receive",
    "mq_timedreceive",
    "msgrcv",
    "msync",
    "munmap",
    "nanosleep",
    "open",
    "open64",
    "openat",
    "pause",
    "pclose",
    "poll",
    "popen",
    "posix_fallocate",
    "ppoll",
    "pread",
    "pread64",
    "preadv",
    "pselect",
    "pthread_barrier_wait",
    "pthread_cond_clockwait",
    "pthread_cond_timedwait",
    "pthread_cond_wait",
    "pthread_join",
    "pthread_mutex_lock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "pwrite",
    "pwrite64",
    "pwritev",
    "raise",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "rename",
    "select",
    "sem_timedwait",
    "sem_wait",
    "semop",
    "send",
    "sendfile",
    "sendmsg",
    "sendto",
    "sigsuspend",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
    "sleep",
    "splice",
    "start_thread",
    "sync",
    "syncfs",
    "syscall",
    "system",
    "unlink",
    "usleep",
    "wait4",
    "waitpid",
    "write",
];

/// Whether a frame is in code that every program has: the program's own code called it, or is called by it.
///
/// `is_static`: the C library is part of the program.
pub(super) fn is_runtime_code(frame: &Frame, is_static: bool) -> bool {
    let is_library = is_in(frame, &LIBRARIES) || is_in(frame, &KERNEL);
    if is_library || frame.file.as_deref().is_some_and(is_library_source) {
        return true;
    }
    let Some(function) = frame.function.as_deref() else {
        return false;
    };
    let name = qualified_name(function);
    let is_rust_or_cpp = NAMESPACES.iter().any(|space| name.starts_with(space));
    name == "_start"
        || is_rust_or_cpp
        || is_go(name)
        || (is_static && frame.file.is_none() && is_libc(name))
}

/// Whether no frame of the stack is in a C library of its own, so that the library is part of the program.
pub(super) fn is_static(frames: &[&Frame]) -> bool {
    !frames.iter().any(|frame| is_in(frame, &LIBRARIES))
}

fn is_in(frame: &Frame, modules: &[&str]) -> bool {
    let module = frame.module.as_deref().unwrap_or_default();
    let file = module.rsplit('/').next().unwrap_or_default();
    modules.iter().any(|start| file.starts_with(start))
}

/// As compilers of the distributions record the sources of Rust's and C's libraries.
fn is_library_source(file: &str) -> bool {
    file.starts_with("/rustc/") || file.contains("/sysdeps/") || file.starts_with("../sysdeps/")
}

fn is_go(name: &str) -> bool {
    GO_PACKAGES.iter().any(|package| {
        name.strip_prefix(package).is_some_and(|rest| {
            let first = rest.split('.').next().unwrap_or_default();
            !CLONES.contains(&first)
        })
    })
}

fn is_libc(name: &str) -> bool {
    name.starts_with("__") || FUNCTIONS.contains(&call(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> Frame {
        Frame::of(Some("/usr/bin/sup"), None, None).with_function(name)
    }

    #[test]
    fn libraries_are_known_by_their_file() {
        for module in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/libc-2.31.so",
            "/lib/ld-musl-x86_64.so.1",
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/libpthread.so.0",
            "/usr/lib/libstdc++.so.6.0.30",
            "[vdso]",
            "[kernel.kallsyms]",
            "linux-vdso.so.1",
        ] {
            let frame = Frame::of(Some(module), None, Some(1));
            assert!(is_runtime_code(&frame, false), "{module}");
        }
        for module in [
            "/usr/lib/libcurl.so.4",
            "/opt/libc.so.d/app",
            "/usr/bin/ld",
            "/usr/bin/node",
        ] {
            let frame = Frame::of(Some(module), None, Some(1));
            assert!(!is_runtime_code(&frame, false), "{module}");
        }
    }

    #[test]
    fn standard_libraries_are_known_by_their_names() {
        for name in [
            "std::thread::sleep",
            "core::ops::function::FnOnce::call_once",
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
            "<F as core::ops::function::FnOnce<()>>::call_once",
            "<&mut F as core::future::future::Future>::poll",
            "tokio::runtime::park::CachedParkThread::block_on",
            "parking_lot_core::parking_lot::park",
            "void std::this_thread::sleep_for<long, std::ratio<1l, 1000l> >(std::chrono::duration<long> const&)",
            "std::condition_variable::wait(std::unique_lock<std::mutex>&)",
            "runtime.futex.abi0",
            "runtime.gopark",
            "syscall.Syscall6",
            "internal/poll.(*FD).Fsync",
            "os.(*File).Sync",
            "time.Sleep",
        ] {
            assert!(is_runtime_code(&function(name), false), "{name}");
        }
        for name in [
            "main.writeJournal",
            "main.(*Supervisor).run",
            "<sup::Journal as core::ops::drop::Drop>::drop",
            "<sup::Job as core::future::future::Future>::poll",
            "sup::main::{{closure}}",
            "std_main",
            "stdout_flush",
            "time.part.0",
            "sync.constprop.0",
            "journal::write(std::string const&)",
            "std_like<std::vector<int>>::run()",
            "_PyEval_EvalFrameDefault",
            "Perl_pp_sleep",
            "(anonymous namespace)::flush()",
            "write_journal",
            "",
        ] {
            assert!(!is_runtime_code(&function(name), false), "{name}");
        }
    }

    #[test]
    fn inlined_standard_functions_are_known_by_their_source() {
        let frame =
            function("spin_loop").with_source("/rustc/0123abc/library/core/src/hint.rs", Some(1));
        assert!(is_runtime_code(&frame, false));
        let frame = function("fsync").with_source("../sysdeps/unix/sysv/linux/fsync.c", Some(27));
        assert!(is_runtime_code(&frame, false));
    }

    #[test]
    fn a_static_program_has_its_library_in_itself() {
        for name in [
            "__GI___libc_read",
            "fsync",
            "__syscall_cp_c",
            "nanosleep",
            "_start",
            "__libc_start_main",
        ] {
            assert!(is_runtime_code(&function(name), true), "{name}");
        }
        let vdso = Frame::of(Some("[vdso]"), None, None);
        let main = function("main");
        assert!(is_static(&[&vdso, &main]));
        assert!(!is_static(&[
            &Frame::of(Some("/lib/libc.so.6"), None, None),
            &main
        ]));
        // In a dynamic one they are the program's own.
        assert!(!is_runtime_code(&function("send"), false));
        // So is what has a source.
        let own = function("send").with_source("mail.c", Some(12));
        assert!(!is_runtime_code(&own, true));
        assert!(!is_runtime_code(&function("write_journal"), true));
    }

    #[test]
    fn functions_are_sorted() {
        assert!(FUNCTIONS.is_sorted());
    }
}
