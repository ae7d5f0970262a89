//! Files of /proc/PID, taken apart. Names are bytes: a process can call itself anything.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use crate::model::Comm;

#[cfg(test)]
thread_local! {
    /// How many files this thread has read.
    pub(super) static FILES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A whole file. `fs::read` asks for the size first, which is 0 here, and then feels its way by short
/// reads.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(test)]
    FILES_READ.set(FILES_READ.get() + 1);
    let mut file = fs::File::open(path)?;
    // More than nearly all of these files have. The kernel gives as much of them at once as there is room
    // for, so that there is no need to ask for the end.
    let mut bytes = vec![0; 4096];
    let got = file.read(&mut bytes)?;
    let is_all = got < bytes.len();
    bytes.truncate(got);
    if !is_all {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// /proc/PID/stat (proc_pid_stat(5)), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: Comm,
    pub(super) state: u8,
    pub(super) ppid: u32,
    /// Its process group, and that which its terminal is given to (-1 without one).
    pub(super) group: u32,
    pub(super) terminal_group: i32,
    pub(super) tty: u32,
    pub(super) flags: u32,
    /// User and system time, clock ticks.
    pub(super) cpu_ticks: u64,
    pub(super) threads: u32,
    /// Clock ticks since boot.
    pub(super) start_ticks: u64,
    /// The signals that are pending for the thread, of the first 31; bit 0 is signal 1.
    pub(super) pending: u64,
    /// Those that it blocks.
    pub(super) blocked: u64,
    pub(super) exit_signal: i32,
    pub(super) cpu: u32,
    /// The wait status; 0 also if we may not know it.
    pub(super) wait_status: u32,
}

impl Stat {
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let bytes = read(&directory.join("stat"))?;
        Self::parse(&bytes).ok_or_else(|| {
            let what = format!("{}/stat is not understood", directory.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // The name is in parentheses and can contain some.
        let begin = bytes.iter().position(|&byte| byte == b'(')? + 1;
        let end = bytes.iter().rposition(|&byte| byte == b')')?;
        let rest = str::from_utf8(bytes.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered from 3 on, as in the manual page.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |index| field(index)?.parse::<i64>().ok();
        Some(Self {
            comm: Comm::from_bytes(bytes.get(begin..end)?),
            state: *field(3)?.as_bytes().first()?,
            ppid: u32::try_from(number(4)?).ok()?,
            group: number(5)? as u32,
            tty: number(7)? as u32,
            terminal_group: number(8)? as i32,
            flags: number(9)? as u32,
            cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            threads: number(20)? as u32,
            start_ticks: field(22)?.parse().ok()?,
            pending: field(31)?.parse().ok()?,
            blocked: field(32)?.parse().ok()?,
            exit_signal: number(38)? as i32,
            cpu: number(39)? as u32,
            wait_status: number(52)? as u32,
        })
    }
}

/// /proc/PID/status (proc_pid_status(5)).
#[derive(Clone, Debug)]
pub(super) struct Status(Vec<u8>);

impl Status {
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        Ok(Self(read(&directory.join("status"))?))
    }

    /// The value of a line; empty if there is none.
    fn get(&self, key: &str) -> &str {
        let mut lines = self.0.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"));
        value
            .and_then(|value| str::from_utf8(value).ok())
            .map_or("", str::trim)
    }

    /// The first number of a line.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        self.numbers(key).first().copied()
    }

    pub(super) fn numbers(&self, key: &str) -> Vec<u32> {
        self.get(key)
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    }

    /// Whether a signal is in a set.
    pub(super) fn has_signal(&self, key: &str, signal: i32) -> bool {
        u64::from_str_radix(self.get(key), 16).is_ok_and(|set| set >> (signal - 1) & 1 == 1)
    }
}

/// /proc/PID/syscall: number and arguments of the system call that a thread is blocked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syscall {
    /// We may not know.
    Denied,
    /// It is in user space, or running.
    None,
    Blocked {
        number: i64,
        arguments: [u64; 5],
    },
}

impl Syscall {
    /// # Errors
    /// The thread is gone, or there is some other trouble than a lack of permission.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        match read(&directory.join("syscall")) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Self::Denied),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else {
            return Self::None;
        };
        if number < 0 {
            return Self::None;
        }
        let mut arguments = [0; 5];
        for (argument, word) in arguments.iter_mut().zip(words) {
            let digits = word.trim_start_matches("0x");
            *argument = u64::from_str_radix(digits, 16).unwrap_or(0);
        }
        Self::Blocked { number, arguments }
    }
}

/// /proc/PID/wchan: the kernel function that a thread sleeps in.
pub(super) fn wchan(directory: &Path) -> Option<String> {
    let bytes = read(&directory.join("wchan")).ok()?;
    let text = str::from_utf8(&bytes).ok()?;
    // The compiler adds suffixes such as .isra.0.
    let name = text.trim().split('.').next()?;
    (!name.is_empty() && name != "0").then(|| name.to_owned())
}

/// `se.exec_start` of /proc/PID/sched, ns: its CPU's run-queue clock when it last ran. Without
/// CONFIG_SCHED_DEBUG the file is not there.
pub(super) fn exec_start(directory: &Path) -> Option<u64> {
    let bytes = read(&directory.join("sched")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .lines()
        .find(|line| line.starts_with("se.exec_start"))?;
    let (_, value) = line.split_once(':')?;
    // Milliseconds with six decimals (kernel/sched/debug.c, PN).
    let (milliseconds, nanoseconds) = value.trim().split_once('.')?;
    let milliseconds: u64 = milliseconds.parse().ok()?;
    Some(milliseconds * 1_000_000 + nanoseconds.parse::<u64>().ok()?)
}

/// Whether the kernel shows us all that its `stat` has: the rights of a tracer, for reading
/// (`PTRACE_MODE_READ_FSCREDS`; do_task_stat, fs/proc/array.c). It asks for the same ones here, and
/// a zombie has no other namespace left.
pub(super) fn may_read(directory: &Path) -> bool {
    fs::read_link(directory.join("ns/user")).is_ok()
}

/// The path of its cgroup v2, and whether that has been removed.
pub(super) fn cgroup_and_state(directory: &Path) -> Option<(String, bool)> {
    let bytes = read(&directory.join("cgroup")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(match path.strip_suffix(" (deleted)") {
        Some(path) => (path.to_owned(), true),
        None => (path.to_owned(), false),
    })
}

/// The path of its cgroup v2.
pub(super) fn cgroup(directory: &Path) -> Option<String> {
    cgroup_and_state(directory).map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line() {
        let line =
            b"12057 (a) (Z) b) Z 12055 12049 23670 34816 -1 4227148 89 0 0 0 3 4 0 0 20 0 1 \
            0 1751591 0 0 18446744073709551615 0 0 0 0 0 0 0 134 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 \
            0 0 1792\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat.comm, Comm::from("a) (Z) b"));
        assert_eq!((stat.state, stat.ppid, stat.tty), (b'Z', 12_055, 34_816));
        assert_eq!((stat.cpu_ticks, stat.start_ticks), (7, 1_751_591));
        assert_eq!(
            (stat.exit_signal, stat.cpu, stat.wait_status),
            (17, 1, 1792)
        );
        assert_eq!((stat.flags, stat.threads), (4_227_148, 1));
        assert_eq!((stat.pending, stat.blocked), (0, 0));
        assert_eq!(Stat::parse(b"1 (x) R"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn a_status_file() {
        let status = Status(
            b"Name:\t\xff\nNSpid:\t100\t7\nSigBlk:\t0000000000010000\nTracerPid:\t0\n".to_vec(),
        );
        assert_eq!(status.numbers("NSpid"), [100, 7]);
        assert_eq!(status.number("TracerPid"), Some(0));
        assert_eq!(status.number("Threads"), None);
        assert!(status.has_signal("SigBlk", 17) && !status.has_signal("SigBlk", 16));
        assert!(!status.has_signal("SigCgt", 17));
    }

    #[test]
    fn a_system_call() {
        assert_eq!(
            Syscall::parse("61 0xffffffff 0x7ffc4c9c3e8c 0x2 0x0 0x2 0x1 0x7ffc 0x7f0a\n"),
            Syscall::Blocked {
                number: 61,
                arguments: [0xffff_ffff, 0x7ffc_4c9c_3e8c, 2, 0, 2]
            }
        );
        assert_eq!(Syscall::parse("running\n"), Syscall::None);
        assert_eq!(Syscall::parse("-1 0x0 0x0\n"), Syscall::None);
    }
}
