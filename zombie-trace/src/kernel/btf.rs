//! A reader of BTF, the kernel's own description of its types
//! (Documentation/bpf/btf.rst): just enough to find the offset of a field.
//!
//! aya keeps the members of its parsed types private, and cannot relocate Rust programs.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// The kernel nests anonymous members 3 deep (`struct page`).
const MAX_DEPTH: u32 = 16;
/// The largest structure of the kernel has some 300 members. Without this bound, anonymous members
/// that hold each other could be looked at for ever.
const MAX_MEMBERS: u32 = 1 << 16;
const CUT: BtfError = BtfError::Malformed("it ends in the middle of a type");
const OUT_OF_RANGE: BtfError = BtfError::Malformed("an offset is out of range");

/// Why a field's offset can't be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// It is no BTF of this machine's byte order, or it is cut short.
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
    /// There is no such structure.
    #[error("this kernel's BTF has no type `struct {name}`")]
    NoStruct {
        /// Its name.
        name: String,
    },
    /// The structure has no such member.
    #[error("this kernel's BTF has no field `{path}` (no `{member}`)")]
    NoField {
        /// The field asked for.
        path: String,
        /// The part of it that is not there.
        member: String,
    },
    /// The field is a bit field.
    #[error("field `{path}` does not begin at a whole byte")]
    BitField {
        /// The field asked for.
        path: String,
    },
}

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    pub(super) const PTR: u32 = 2;
}

/// The types of a kernel.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Offset of each type in `types`, by id; id 0 is void.
    offsets: Vec<u32>,
    structs: HashMap<&'a [u8], u32>,
    typedefs: HashMap<&'a [u8], u32>,
}

/// One entry of the type section.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    len: usize,
    has_bit_sizes: bool,
    /// Size in bytes, or the id of the type referred to.
    size_or_type: u32,
    /// Where what follows the entry begins.
    tail: usize,
}

impl<'a> Btf<'a> {
    /// Reads the type section once.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if bytes.len() < HEADER_LEN {
            return Err(BtfError::Malformed("shorter than its header"));
        }
        if u16::from_ne_bytes([bytes[0], bytes[1]]) != MAGIC {
            return Err(BtfError::Malformed("no BTF of this machine's byte order"));
        }
        let header = |at| word(bytes, at).map(|value| value as usize);
        let header_len = header(4)?;
        let section = |offset: usize, len: usize| {
            let begin = header_len.checked_add(offset)?;
            bytes.get(begin..begin.checked_add(len)?)
        };
        let types = section(header(8)?, header(12)?)
            .ok_or(BtfError::Malformed("its types lie outside of it"))?;
        let strings = section(header(16)?, header(20)?)
            .ok_or(BtfError::Malformed("its strings lie outside of it"))?;

        let mut btf = Self {
            types,
            strings,
            offsets: vec![0],
            structs: HashMap::new(),
            typedefs: HashMap::new(),
        };
        let mut at = 0;
        while at < types.len() {
            let id = btf.offsets.len() as u32;
            let entry = btf.entry(at)?;
            btf.offsets.push(at as u32);
            match entry.kind {
                kind::STRUCT | kind::UNION => {
                    btf.structs.entry(btf.name(entry.name)).or_insert(id);
                }
                kind::TYPEDEF => {
                    btf.typedefs.entry(btf.name(entry.name)).or_insert(id);
                }
                _ => {}
            }
            at = entry.tail + btf.tail_len(&entry);
        }
        if at > types.len() {
            return Err(CUT);
        }
        Ok(btf)
    }

    /// Offset in bytes of a field such as `task_struct.se.exec_start` or
    /// `sighand_struct.action[16].sa.sa_flags`; looks into anonymous members.
    pub(super) fn offset(&self, path: &str) -> Result<u32, BtfError> {
        let bits = self.offset_in_bits(path)?;
        if bits % 8 == 0 {
            Ok(bits / 8)
        } else {
            Err(BtfError::BitField {
                path: path.to_owned(),
            })
        }
    }

    /// As [`offset`](Self::offset), in bits: for bit fields.
    pub(super) fn offset_in_bits(&self, path: &str) -> Result<u32, BtfError> {
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        let mut id = *self
            .structs
            .get(name.as_bytes())
            .ok_or_else(|| BtfError::NoStruct {
                name: name.to_owned(),
            })?;
        let mut bits = 0;
        let mut left = MAX_MEMBERS;
        for part in parts {
            let missing = || BtfError::NoField {
                path: path.to_owned(),
                member: part.to_owned(),
            };
            let (member, index) = match part.strip_suffix(']').and_then(|part| part.split_once('['))
            {
                Some((member, index)) => (member, index.parse().map_err(|_| missing())?),
                None => (part, 0_u32),
            };
            let found = self
                .member(id, member.as_bytes(), 0, &mut left)?
                .ok_or_else(missing)?;
            bits = sum(bits, found.1)?;
            id = self.resolve(found.0)?;
            if part.ends_with(']') {
                let array = self.get(id)?;
                if array.kind != kind::ARRAY {
                    return Err(missing());
                }
                id = self.resolve(word(self.types, array.tail)?)?;
                let size = self.get(id)?.size_or_type;
                let begin = index
                    .checked_mul(size)
                    .and_then(|bytes| bytes.checked_mul(8));
                bits = sum(bits, begin.ok_or(OUT_OF_RANGE)?)?;
            }
        }
        Ok(bits)
    }

    /// Whether an enumeration has a member of this name.
    pub(super) fn has_enumerator(&self, enumeration: &str, name: &str) -> bool {
        let entry = self.offsets[1..].iter().find_map(|&at| {
            let entry = self.entry(at as usize).ok()?;
            let is_it = entry.kind == kind::ENUM && self.name(entry.name) == enumeration.as_bytes();
            is_it.then_some(entry)
        });
        entry.is_some_and(|entry| {
            (0..entry.len).any(|index| {
                word(self.types, entry.tail + index * 8)
                    .is_ok_and(|member| self.name(member) == name.as_bytes())
            })
        })
    }

    /// How many arguments a tracepoint passes (`btf_trace_<name>`); `None` if it does not exist.
    pub(super) fn tracepoint_args(&self, name: &str) -> Option<usize> {
        let id = self.typedefs.get(format!("btf_trace_{name}").as_bytes())?;
        let pointer = self.get(self.resolve(*id).ok()?).ok()?;
        let proto = self.get(pointer.size_or_type).ok()?;
        // The first parameter is the tracepoint's own data.
        (pointer.kind == kind::PTR && proto.kind == kind::FUNC_PROTO)
            .then(|| proto.len.saturating_sub(1))
    }

    /// Type and bit offset of a member, looked for in anonymous members too; `left` is how many more
    /// members may be looked at.
    fn member(
        &self,
        id: u32,
        name: &[u8],
        depth: u32,
        left: &mut u32,
    ) -> Result<Option<(u32, u32)>, BtfError> {
        let owner = self.get(id)?;
        if !matches!(owner.kind, kind::STRUCT | kind::UNION) || depth > MAX_DEPTH {
            return Ok(None);
        }
        for at in (0..owner.len).map(|index| owner.tail + index * 12) {
            *left = left.checked_sub(1).ok_or(BtfError::Malformed(
                "its anonymous members hold each other, or are too many",
            ))?;
            let (member_name, member_type) = (word(self.types, at)?, word(self.types, at + 4)?);
            let mut bits = word(self.types, at + 8)?;
            if owner.has_bit_sizes {
                bits &= 0x00ff_ffff;
            }
            let member_name = self.name(member_name);
            if member_name == name {
                return Ok(Some((member_type, bits)));
            }
            if member_name.is_empty()
                && let Some((found, inner)) =
                    self.member(self.resolve(member_type)?, name, depth + 1, left)?
            {
                return Ok(Some((found, sum(bits, inner)?)));
            }
        }
        Ok(None)
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Result<u32, BtfError> {
        const MAX_LINKS: usize = 32;
        for _ in 0..MAX_LINKS {
            let entry = self.get(id)?;
            match entry.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = entry.size_or_type
                }
                _ => return Ok(id),
            }
        }
        Err(BtfError::Malformed("a type refers to itself"))
    }

    fn get(&self, id: u32) -> Result<Type, BtfError> {
        match self.offsets.get(id as usize) {
            Some(&at) if id != 0 => self.entry(at as usize),
            _ => Err(BtfError::Malformed("a type id is out of range")),
        }
    }

    fn entry(&self, at: usize) -> Result<Type, BtfError> {
        let info = word(self.types, at + 4)?;
        Ok(Type {
            name: word(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            len: (info & 0xffff) as usize,
            has_bit_sizes: info >> 31 != 0,
            size_or_type: word(self.types, at + 8)?,
            tail: at + 12,
        })
    }

    fn tail_len(&self, entry: &Type) -> usize {
        match entry.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => entry.len * 12,
            kind::ENUM | kind::FUNC_PROTO => entry.len * 8,
            _ => 0,
        }
    }

    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(rest.len());
        &rest[..len]
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(CUT)
}

fn sum(a: u32, b: u32) -> Result<u32, BtfError> {
    a.checked_add(b).ok_or(OUT_OF_RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a BTF blob together.
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Builder {
        fn new() -> Self {
            Self {
                types: Vec::new(),
                strings: vec![0],
                count: 0,
            }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(text.as_bytes());
            self.strings.push(0);
            at
        }

        fn add(&mut self, name: &str, kind: u32, len: u32, size: u32, tail: &[u32]) -> u32 {
            let name = self.string(name);
            for word in [name, kind << 24 | len, size].iter().chain(tail) {
                self.types.extend(word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        fn members(&mut self, members: &[(&str, u32, u32)]) -> Vec<u32> {
            members
                .iter()
                .flat_map(|&(name, ty, bits)| [self.string(name), ty, bits])
                .collect()
        }

        fn build(&self) -> Vec<u8> {
            let mut out = Vec::new();
            out.extend(MAGIC.to_ne_bytes());
            out.extend([1, 0]);
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            for word in [HEADER_LEN as u32, 0, types, types, strings] {
                out.extend(word.to_ne_bytes());
            }
            out.extend(&self.types);
            out.extend(&self.strings);
            out
        }
    }

    fn example() -> Vec<u8> {
        let mut btf = Builder::new();
        let int = btf.add("int", kind::INT, 0, 4, &[32]);
        let number = btf.add("number_t", kind::TYPEDEF, 0, int, &[]);
        let inner_members = btf.members(&[("x", number, 0), ("y", number, 32)]);
        let inner = btf.add("inner", kind::STRUCT, 2, 8, &inner_members);
        let array = btf.add("", kind::ARRAY, 0, 0, &[inner, int, 4]);
        let hidden_members = btf.members(&[("hidden", number, 32)]);
        let hidden = btf.add("", kind::UNION, 1, 8, &hidden_members);
        let members = btf.members(&[("first", int, 0), ("", hidden, 64), ("list", array, 128)]);
        btf.add("outer", kind::STRUCT, 3, 48, &members);
        let proto = btf.add("", kind::FUNC_PROTO, 3, 0, &[0, int, 0, int, 0, int]);
        let pointer = btf.add("", kind::PTR, 0, proto, &[]);
        btf.add("btf_trace_exit", kind::TYPEDEF, 0, pointer, &[]);
        let helpers: Vec<u32> = ["FUNC_one", "FUNC_two"]
            .iter()
            .flat_map(|name| [btf.string(name), 0])
            .collect();
        btf.add("func_id", kind::ENUM, 2, 4, &helpers);
        btf.build()
    }

    #[test]
    fn finds_plain_anonymous_and_array_members() {
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("outer.first"), Ok(0));
        assert_eq!(btf.offset("outer.hidden"), Ok(12));
        assert_eq!(btf.offset("outer.list[2].y"), Ok(16 + 2 * 8 + 4));
    }

    #[test]
    fn counts_tracepoint_arguments() {
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.tracepoint_args("exit"), Some(2));
        assert_eq!(btf.tracepoint_args("fork"), None);
    }

    #[test]
    fn finds_enumerators() {
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        assert!(btf.has_enumerator("func_id", "FUNC_two"));
        assert!(!btf.has_enumerator("func_id", "FUNC_three"));
        assert!(!btf.has_enumerator("outer", "first"));
    }

    #[test]
    fn names_what_is_missing() {
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(
            btf.offset("task_struct.pid").unwrap_err().to_string(),
            "this kernel's BTF has no type `struct task_struct`"
        );
        assert_eq!(
            btf.offset("outer.list[1].z").unwrap_err().to_string(),
            "this kernel's BTF has no field `outer.list[1].z` (no `z`)"
        );
        assert!(matches!(
            btf.offset("outer.first[1]"),
            Err(BtfError::NoField { .. })
        ));
    }

    #[test]
    fn refuses_rubbish_at_any_length() {
        let bytes = example();
        for len in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(Btf::parse(&[0xff; 64]).is_err());
    }

    #[test]
    fn anonymous_members_that_hold_each_other_do_not_hang() {
        let mut btf = Builder::new();
        // Its own id is 1.
        let members: Vec<_> = (0..1000).map(|_| ("", 1, 0)).collect();
        let members = btf.members(&members);
        btf.add("outer", kind::STRUCT, 1000, 8, &members);
        let bytes = btf.build();
        let error = Btf::parse(&bytes).unwrap().offset("outer.x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed BTF: its anonymous members hold each other, or are too many"
        );
    }

    #[test]
    fn offsets_beyond_all_numbers_are_refused() {
        let mut btf = Builder::new();
        let int = btf.add("int", kind::INT, 0, u32::MAX, &[32]);
        let array = btf.add("", kind::ARRAY, 0, 0, &[int, int, 4]);
        let members = btf.members(&[("list", array, u32::MAX)]);
        btf.add("outer", kind::STRUCT, 1, 8, &members);
        let bytes = btf.build();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("outer.list[4]"), Err(OUT_OF_RANGE));
    }

    /// In a process of its own, which may not take much memory and must not hang. Runs with
    /// `ZOMBIE_TRACE_FUZZ=1000` in the long test; see tests/fuzz.rs.
    #[test]
    fn corrupt_btf_is_refused_or_read() {
        use std::os::unix::process::CommandExt as _;

        use nix::sys::resource::{Resource, setrlimit};

        const CHILD: &str = "ZOMBIE_TRACE_FUZZ_CHILD";
        const MEMORY: u64 = 64 << 20;
        const CPU_SECONDS: u64 = 600;
        if std::env::var_os(CHILD).is_some() {
            return read_corrupt_btf();
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                "kernel::btf::tests::corrupt_btf_is_refused_or_read",
            ])
            .args(["--test-threads=1", "--nocapture"])
            .env(CHILD, "1");
        let limit = || {
            setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
            setrlimit(Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS)?;
            Ok(())
        };
        // SAFETY: between fork and exec, the closure makes system calls only.
        unsafe { child.pre_exec(limit) };
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn read_corrupt_btf() {
        /// CPU time for one file, whatever else the machine does.
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
        let number = |name: &str| Some(std::env::var(name).ok()?.parse().unwrap());
        let seed: u64 = number("ZOMBIE_TRACE_FUZZ_SEED").unwrap_or(1);
        let count = number("ZOMBIE_TRACE_FUZZ").unwrap_or(300);
        // That of the kernel takes long to read.
        let kernel = std::fs::read("/sys/kernel/btf/vmlinux").ok();
        let kernel = kernel.filter(|_| count >= 1000);
        for seed in seed..seed + count {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = match &kernel {
                Some(kernel) if random.u8(..) < 16 => kernel.clone(),
                _ => example(),
            };
            for _ in 0..random.usize(1..20) {
                match random.u8(..8) {
                    0 => bytes.truncate(random.usize(1..=bytes.len())),
                    1 => bytes.push(random.u8(..)),
                    2..5 => {
                        // A number: an id, a length or an offset.
                        let at = random.usize(..=bytes.len() / 4) * 4;
                        let numbers = [0, 1, 2, 5, 0xffff, 0x7fff_ffff, u32::MAX, random.u32(..)];
                        let number = random.choice(numbers).unwrap_or(0).to_ne_bytes();
                        if let Some(word) = bytes.get_mut(at..at + 4) {
                            word.copy_from_slice(&number);
                        }
                    }
                    _ => {
                        let at = random.usize(..bytes.len());
                        bytes[at] ^= 1 << random.u8(..8);
                    }
                }
            }
            let begin = crate::system::thread_cpu_time();
            let read = std::panic::catch_unwind(|| {
                let Ok(btf) = Btf::parse(&bytes) else { return };
                for path in [
                    "outer.first",
                    "outer.hidden",
                    "outer.list[2].y",
                    "outer.nothing",
                    "task_struct.se.exec_start",
                    "task_struct.nothing",
                    "sighand_struct.action[16].sa.sa_flags",
                ] {
                    let _ = btf.offset(path);
                }
                let _ = btf.tracepoint_args("exit");
                let _ = btf.tracepoint_args("sched_process_exit");
                let _ = btf.has_enumerator("func_id", "FUNC_two");
                let _ = btf.has_enumerator("bpf_func_id", "nothing");
            });
            let took = crate::system::thread_cpu_time().saturating_sub(begin);
            assert!(
                read.is_ok() && took < PATIENCE,
                "took {took:?}; repeat: ZOMBIE_TRACE_FUZZ=1 ZOMBIE_TRACE_FUZZ_SEED={seed} cargo test --package \
                 zombie-trace --lib corrupt_btf"
            );
        }
    }
}
