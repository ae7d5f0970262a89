use std::borrow::Cow;

use aya::include_bytes_aligned;
use object::{Object as _, ObjectSection as _, SectionFlags, elf::SHF_EXECINSTR};

use super::{KernelError, facts::KernelFacts};

static OBJECT: &[u8] = include_bytes_aligned!(env!("ZOMBIE_TRACE_BPF_OBJECT"));

/// `BPF_STX | BPF_ATOMIC | BPF_DW`; which operation it is stands in the last four bytes, and 0 is the
/// addition (include/uapi/linux/bpf.h).
const ATOMIC: u8 = 0xdb;

/// The eBPF object, so that the kernel takes it.
pub(super) fn for_kernel(facts: &KernelFacts) -> Result<Cow<'static, [u8]>, KernelError> {
    if facts.has_compare_exchange {
        return Ok(OBJECT.into());
    }
    without_compare_exchange(OBJECT)
        .map(Cow::from)
        .map_err(|error| KernelError::refused("the eBPF object", error))
}

/// Kernels before 5.12 refuse a program for an atomic instruction that they don't know, even where
/// it is never run. They know one: the addition.
fn without_compare_exchange(object: &[u8]) -> object::Result<Vec<u8>> {
    let mut bytes = object.to_vec();
    for section in object::File::parse(object)?.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            continue;
        };
        let Some((start, length)) = section.file_range() else {
            continue;
        };
        if sh_flags & u64::from(SHF_EXECINSTR) == 0 {
            continue;
        }
        let code = &mut bytes[start as usize..][..length as usize];
        for instruction in code.chunks_exact_mut(8) {
            if instruction[0] == ATOMIC {
                instruction[4..].fill(0);
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_atomic_operations_changes() {
        // BPF_CMPXCHG, BPF_XCHG and BPF_ADD | BPF_FETCH.
        const OPERATIONS: [u8; 3] = [0xf1, 0xe1, 0x01];
        let patched = without_compare_exchange(OBJECT).unwrap();
        assert_eq!(patched.len(), OBJECT.len());
        let changed: Vec<_> = (0..OBJECT.len())
            .filter(|at| patched[*at] != OBJECT[*at])
            .collect();
        assert!(!changed.is_empty());
        for at in changed {
            let instruction = at - 4;
            assert_eq!(OBJECT[instruction], ATOMIC);
            assert!(OPERATIONS.contains(&OBJECT[at]));
            assert_eq!(patched[at], 0);
        }
    }
}
