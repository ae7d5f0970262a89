//! What a process has mapped as code.

use std::{ops::Range, sync::Arc};

/// More lines than any process has for long: the kernel's own limit is 65,530 (`vm.max_map_count`).
const MOST: usize = 1 << 20;

/// A range of executable memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<u64>,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// 0 if there is no file.
    pub(super) inode: u64,
    /// The file's path, as the process sees it, or a name of the kernel's such as `[vdso]`.
    pub(super) name: Arc<str>,
}

impl Mapping {
    /// The executable ones of `/proc/PID/maps`.
    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        text.lines().take(MOST).filter_map(Self::parse).collect()
    }

    /// A line such as `7f5a-7f5b r-xp 00001000 fe:01 1234 /usr/lib/libc.so.6`; `None` if it is no code.
    fn parse(line: &str) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = tail.trim_start_matches(' ');
            word
        };
        let (range, permissions, offset, _device, inode) = (word(), word(), word(), word(), word());
        if permissions.as_bytes().get(2) != Some(&b'x') {
            return None;
        }
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = range.split_once('-')?;
        let name = rest.strip_suffix(" (deleted)").unwrap_or(rest);
        Some(Self {
            range: hex(start)?..hex(end)?,
            offset: hex(offset)?,
            inode: inode.parse().ok()?,
            name: name.into(),
        })
    }

    /// The one that an address is in, of those in the order of their addresses.
    pub(super) fn at(all: &[Self], address: u64) -> Option<(usize, &Self)> {
        let index = all.partition_point(|mapping| mapping.range.end <= address);
        let mapping = all.get(index)?;
        mapping.range.contains(&address).then_some((index, mapping))
    }

    /// Whether it is memory of the process's own, in which it may have compiled code.
    pub(super) fn is_anonymous(&self) -> bool {
        self.inode == 0 && (self.name.is_empty() || self.name.starts_with("[anon:"))
    }

    /// Where in the file an address is.
    pub(super) fn file_offset(&self, address: u64) -> Option<u64> {
        address
            .checked_sub(self.range.start)?
            .checked_add(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0-55d2 r--p 00000000 fe:01 77                         /usr/bin/sup
55d2-55d8 r-xp 00002000 fe:01 77                         /usr/bin/sup
7f00-7f10 rw-p 00000000 00:00 0 
7f20-7f30 r-xp 00000000 00:00 0 
7f30-7f40 r-xp 00001000 fe:01 78                         /tmp/a b (deleted)
7ffd-7fff r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
";

    #[test]
    fn code_is_found_by_address() {
        let all = Mapping::parse_all(MAPS);
        let at = |address| Mapping::at(&all, address).map(|(_, mapping)| &*mapping.name);
        assert_eq!(at(0x55d2), Some("/usr/bin/sup"));
        assert_eq!(at(0x55d7), Some("/usr/bin/sup"));
        assert_eq!(at(0x55d8), None);
        assert_eq!(at(0x55d1), None);
        assert_eq!(at(0x7f05), None);
        assert_eq!(at(0x7f20), Some(""));
        assert_eq!(at(0x7f3f), Some("/tmp/a b"));
        assert_eq!(at(0x7ffe), Some("[vdso]"));
        assert_eq!(at(u64::MAX), None);
        let (_, sup) = Mapping::at(&all, 0x55d4).unwrap();
        assert_eq!(sup.file_offset(0x55d4), Some(0x2002));
        assert_eq!(sup.inode, 77);
        let is_anonymous = |address| Mapping::at(&all, address).unwrap().1.is_anonymous();
        assert!(is_anonymous(0x7f20));
        assert!(!is_anonymous(0x7f30) && !is_anonymous(0x7ffe));
    }

    #[test]
    fn rubbish_is_no_code() {
        for line in [
            "",
            " ",
            "x",
            "1-2 r-xp",
            "zz-10 r-xp 0 0:0 0",
            "10-20 r-xp 0 0:0 x f",
        ] {
            assert_eq!(Mapping::parse(line), None, "{line:?}");
        }
    }
}
