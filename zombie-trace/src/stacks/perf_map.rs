//! The names of code that a program compiles while it runs: `/tmp/perf-PID.map`, as V8, Java agents and
//! others write it for perf(1). Each line has the start and the size of a function, in hexadecimal, and its
//! name.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, Read as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
};

use caps::Capability;
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    libc,
};

use super::symbol::Symbol;
use crate::system::privilege::raised;

/// More of a map is not read.
const LARGEST: u64 = 256 << 20;

/// Longer lines are left out.
const LONGEST_LINE: u64 = 8192;

/// Opens the map of a process, if the process itself could have written it: a regular file of its user, in
/// the `/tmp` that it sees, without symbolic links on the way.
pub(super) fn open(pid: u32) -> io::Result<File> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap_or_default().split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (pids, users) = (numbers("NSpid:"), numbers("Uid:"));
    let unknown = || io::Error::from(io::ErrorKind::InvalidData);
    let own_pid = pids.last().ok_or_else(unknown)?;
    let effective = *users.get(1).ok_or_else(unknown)?;
    let found = raised(Capability::CAP_SYS_PTRACE, || {
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(format!("/proc/{pid}/root"))?;
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let map = openat2(root, &*format!("tmp/perf-{own_pid}.map"), how)?;
        Ok::<_, io::Error>(File::from(map))
    })?;
    let metadata = found.metadata()?;
    if !metadata.is_file() || metadata.uid() != effective {
        return Err(io::Error::other(
            "the map is not a file of the process's user",
        ));
    }
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// The functions at these addresses, which are sorted. Of several in the same place, the last one is meant.
pub(super) fn find(map: impl BufRead, addresses: &[u64]) -> HashMap<u64, Symbol> {
    let mut found = HashMap::new();
    let mut map = map.take(LARGEST);
    let mut line = Vec::new();
    loop {
        line.clear();
        match map.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return found,
        }
        // The last line may still be in the making.
        let Some(entry) = line.strip_suffix(b"\n").and_then(Entry::parse) else {
            continue;
        };
        let first = addresses.partition_point(|address| *address < entry.start);
        let inside = addresses.get(first..).unwrap_or_default().iter();
        for address in inside.take_while(|address| **address < entry.end) {
            found.insert(*address, symbol(entry.name));
        }
    }
}

struct Entry<'a> {
    start: u64,
    end: u64,
    name: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = str::from_utf8(line).ok()?.splitn(3, ' ');
        let mut number = || {
            let word = words.next()?;
            let digits = word.strip_prefix("0x").unwrap_or(word);
            u64::from_str_radix(digits, 16).ok()
        };
        let (start, size) = (number()?, number()?);
        let name = words.next()?.trim();
        (!name.is_empty()).then_some(Self {
            start,
            end: start.checked_add(size)?,
            name,
        })
    }
}

/// V8 puts into its names what kind of code it is, and where the function begins:
/// `JS:*writeJournal file:///srv/sup.js:12:20`.
fn symbol(name: &str) -> Symbol {
    of_v8(name).unwrap_or_else(|| Symbol {
        function: name.to_owned(),
        ..Symbol::default()
    })
}

fn of_v8(name: &str) -> Option<Symbol> {
    const KINDS: [&str; 5] = ["JS", "LazyCompile", "Function", "Script", "Eval"];
    let (kind, rest) = name.split_once(':')?;
    if !KINDS.contains(&kind) {
        return None;
    }
    // Which compiler made it.
    let rest = rest.strip_prefix(['~', '^', '+', '*']).unwrap_or(rest);
    let (function, place) = rest.split_once(' ')?;
    let mut parts = place.rsplitn(3, ':');
    let (_column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    let function = match function {
        "" => "(anonymous)",
        named => named,
    };
    Some(Symbol {
        function: function.to_owned(),
        file: Some(file.strip_prefix("file://").unwrap_or(file).to_owned()),
        line: Some(line.parse().ok()?),
        inlined: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(map: &str, addresses: &[u64]) -> Vec<(u64, String)> {
        let found = find(map.as_bytes(), addresses);
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(address, symbol)| (address, symbol.function))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn functions_are_found_by_their_addresses() {
        let map = "1000 20 Interpreter\n0x2000 0x10 LFoo;::bar(I)V\n1010 8 moved here\n3000 1 half";
        let addresses = [0xfff, 0x1000, 0x1010, 0x101f, 0x1020, 0x2000, 0x3000];
        let name = |name: &str| name.to_owned();
        assert_eq!(
            found(map, &addresses),
            [
                (0x1000, name("Interpreter")),
                (0x1010, name("moved here")),
                (0x101f, name("Interpreter")),
                (0x2000, name("LFoo;::bar(I)V")),
            ]
        );
    }

    #[test]
    fn functions_of_v8_have_a_place() {
        let place = |name| {
            let symbol = symbol(name);
            (symbol.function, symbol.file, symbol.line)
        };
        let at = |function: &str, file: &str, line| {
            (function.to_owned(), Some(file.to_owned()), Some(line))
        };
        assert_eq!(
            place("JS:*writeJournal file:///srv/a b/sup.mjs:12:20"),
            at("writeJournal", "/srv/a b/sup.mjs", 12)
        );
        assert_eq!(
            place("LazyCompile:~ /srv/sup.js:3:1"),
            at("(anonymous)", "/srv/sup.js", 3)
        );
        assert_eq!(place("Eval:~run [eval]:1:1"), at("run", "[eval]", 1));
        for other in ["Builtin:ArrayMap", "JS:~f", "JS:~f x:y:z", "Foo:~f a:1:1"] {
            assert_eq!(place(other), (other.to_owned(), None, None));
        }
    }

    #[test]
    fn only_a_file_of_the_process_is_its_map() {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        let this = || open(std::process::id());
        fs::write(&path, "1000 20 good\n").unwrap();
        let mut text = String::new();
        this().unwrap().read_to_string(&mut text).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(text, "1000 20 good\n");
        std::os::unix::fs::symlink("/proc/self/exe", &path).unwrap();
        let linked = this().is_err();
        fs::remove_file(&path).unwrap();
        assert!(linked, "a symbolic link was followed");
        fs::create_dir(&path).unwrap();
        let directory = this().is_err();
        fs::remove_dir(&path).unwrap();
        assert!(directory, "a directory was opened");
        assert!(this().is_err());
    }

    #[test]
    fn rubbish_in_a_map_is_left_out() {
        let long = format!("1000 20 {}\n", "x".repeat(20_000));
        for map in [
            "",
            "\n\n",
            "1000\n",
            "1000 20\n",
            "1000 20 \n",
            "x y z\n",
            "ffffffffffffffff 2 wraps\n",
            &long,
        ] {
            assert_eq!(found(map, &[0x1000, 0x1001, u64::MAX]), [], "{map:.20}");
        }
        let map = [b"1000 20 \xff\n".as_slice(), b"1000 20 good\n"].concat();
        assert_eq!(find(&*map, &[0x1000]).len(), 1);
    }
}
