//! `dying KIND`: a process that was killed or exits and does not come to its end, until the end of standard
//! input. Its answer has the process; a file system in user space that does not answer is what it hangs in.
//!
//! - `killed`: its only thread hangs, and it was killed
//! - `thread`: it was killed, and its main thread has ended; another one hangs
//! - `exit`: it exits, and hangs where it closes its files
//! - `held`: it exits, and its tracer stops it on its way
//! - `leader`: nobody killed it: its main thread has ended, another one lives on

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::PathBuf,
    thread,
};

use zombie_trace_e2e::Line;

use crate::{
    process::{Gate, Proc, has_state, print_line, thread_has_state, wait_for},
    sys,
};

/// Runs one kind.
pub(crate) fn run(args: &[String]) {
    match args.first().map(String::as_str) {
        Some("killed") => killed(),
        Some("thread") => thread(),
        Some("exit") => exits(),
        Some("held") => held(),
        Some("leader") => leader(),
        other => panic!("dying: no kind {other:?}"),
    }
}

/// What the machine lacks.
pub(crate) fn no_fuse() -> Option<String> {
    let open = File::options().read(true).write(true).open("/dev/fuse");
    open.err().map(|error| format!("/dev/fuse: {error}"))
}

fn killed() {
    let (child, fuse) = (Proc::new("child"), Fuse::mount());
    let path = fuse.file();
    child.fork(|| {
        fuse.leave();
        let _ = fs::metadata(&path);
        0
    });
    fuse.until_asked(LOOKUP);
    sys::kill(child.local_pid(), libc::SIGKILL);
    wait_uninterruptible(child);
    wait_for_end(child, || drop(fuse));
}

fn thread() {
    let (child, fuse) = (Proc::new("child"), Fuse::mount());
    let path = fuse.file();
    child.fork(|| {
        fuse.leave();
        let hangs = move || fs::metadata(&path);
        thread::Builder::new()
            .name("worker".to_owned())
            .spawn(hangs)
            .expect("a thread");
        sys::pause_forever()
    });
    fuse.until_asked(LOOKUP);
    sys::kill(child.local_pid(), libc::SIGKILL);
    wait_for(|| has_state(child.pid(), 'Z').then_some(()));
    wait_uninterruptible(child);
    wait_for_end(child, || drop(fuse));
}

fn exits() {
    let (child, fuse) = (Proc::new("child"), Fuse::mount());
    let path = fuse.file();
    child.fork(|| {
        fuse.leave();
        std::mem::forget(File::open(&path).expect("a file"));
        7
    });
    fuse.until_asked(FLUSH);
    wait_for(|| {
        let sleeps = ['S', 'D'].map(|state| has_state(child.pid(), state));
        sleeps.contains(&true).then_some(())
    });
    wait_for_end(child, || drop(fuse));
}

fn held() {
    let [child, tracer] = [Proc::new("child"), Proc::new("tracer")];
    let traced = Gate::new();
    child.fork(|| {
        sys::allow_tracing();
        traced.wait();
        7
    });
    child.pid();
    tracer.fork(|| {
        sys::seize_exits(child.local_pid());
        traced.open();
        sys::pause_forever()
    });
    wait_for(|| has_state(child.pid(), 't').then_some(()));
    wait_for_end(child, || {
        sys::kill(tracer.local_pid(), libc::SIGKILL);
        tracer.reap();
    });
}

fn leader() {
    let child = Proc::new("child");
    child.fork(|| {
        thread::Builder::new()
            .name("worker".to_owned())
            .spawn(|| sys::pause_forever())
            .expect("a thread");
        sys::exit_thread(0)
    });
    wait_for(|| has_state(child.pid(), 'Z').then_some(()));
    wait_for_end(child, || {
        sys::kill(child.local_pid(), libc::SIGKILL);
    });
}

/// Says who it is; at the end of input, lets it go.
fn wait_for_end(child: Proc, release: impl FnOnce()) {
    print_line(&Line::Done { pid: child.pid() });
    let _ = io::stdin().read_to_end(&mut Vec::new());
    release();
    child.reap();
}

/// Waits until a thread of it is in uninterruptible sleep.
fn wait_uninterruptible(child: Proc) {
    let tasks = format!("/proc/{}/task", child.pid());
    wait_for(|| {
        let tids = fs::read_dir(&tasks).ok()?.flatten();
        let mut tids = tids.filter_map(|task| task.file_name().to_str()?.parse().ok());
        tids.any(|tid| thread_has_state(child.pid(), tid, 'D'))
            .then_some(())
    });
}

/// Requests (include/uapi/linux/fuse.h).
const LOOKUP: u32 = 1;
const OPEN: u32 = 14;
const FLUSH: u32 = 25;
const INIT: u32 = 26;

/// A file system in user space, in a mount namespace of its own, with one file in it. A request that it has
/// read and does not answer can't be interrupted. It ends with this.
struct Fuse {
    device: File,
    directory: PathBuf,
}

impl Fuse {
    fn mount() -> Self {
        let directory = std::env::temp_dir().join(format!("zombie-trace-fuse-{}", sys::getpid()));
        fs::create_dir(&directory).expect("a directory");
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.expect("/dev/fuse");
        sys::unshare_mounts();
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        sys::mount("fuse", &directory, &data);
        Self { device, directory }
    }

    /// Its file.
    fn file(&self) -> PathBuf {
        self.directory.join("file")
    }

    /// Called by a child: nobody but us answers, so that what hangs ends with us.
    fn leave(&self) {
        sys::close_copy(self.device.as_raw_fd());
    }

    /// Answers all requests until one of this kind comes, which it leaves.
    fn until_asked(&self, last: u32) {
        let mut device = &self.device;
        let mut request = vec![0; 1 << 17];
        loop {
            let len = device.read(&mut request).expect("a request");
            assert!(len >= 40, "{len} bytes");
            let opcode = u32::from_ne_bytes(request[4..8].try_into().expect("4 bytes"));
            if opcode == last {
                return;
            }
            let unique = &request[8..16];
            let body = match opcode {
                INIT => init(),
                LOOKUP => entry(),
                OPEN => vec![0; 16],
                other => panic!("request {other}"),
            };
            let mut answer = (16 + body.len() as u32).to_ne_bytes().to_vec();
            answer.extend(0_u32.to_ne_bytes());
            answer.extend(unique);
            answer.extend(body);
            device.write_all(&answer).expect("an answer");
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        sys::abort_mount(&self.directory);
        // Whoever was forked has it mounted still.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// `struct fuse_init_out`: protocol 7.31.
fn init() -> Vec<u8> {
    let mut body = vec![0; 64];
    body[..4].copy_from_slice(&7_u32.to_ne_bytes());
    body[4..8].copy_from_slice(&31_u32.to_ne_bytes());
    body[20..24].copy_from_slice(&4096_u32.to_ne_bytes());
    body
}

/// `struct fuse_entry_out`: inode 2, an ordinary file.
fn entry() -> Vec<u8> {
    const ATTRIBUTES: usize = 40;
    let mut body = vec![0; ATTRIBUTES + 88];
    body[..8].copy_from_slice(&2_u64.to_ne_bytes());
    // Names and attributes stay valid for this number of seconds.
    body[16..24].copy_from_slice(&1000_u64.to_ne_bytes());
    body[24..32].copy_from_slice(&1000_u64.to_ne_bytes());
    body[ATTRIBUTES..ATTRIBUTES + 8].copy_from_slice(&2_u64.to_ne_bytes());
    let mode = ATTRIBUTES + 60;
    body[mode..mode + 4].copy_from_slice(&(libc::S_IFREG | 0o644).to_ne_bytes());
    body[mode + 4..mode + 8].copy_from_slice(&1_u32.to_ne_bytes());
    body
}
