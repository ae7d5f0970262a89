use zombie_trace_common::MISSING;

use super::btf::{Btf, BtfError};

/// A global of the eBPF object and the field whose offset it holds.
struct Field {
    global: &'static str,
    required: bool,
    in_bits: bool,
    paths: &'static [&'static str],
}

macro_rules! fields {
    ($($necessity:ident $global:ident: $($path:literal),+;)*) => {
        &[$(Field {
            global: stringify!($global),
            required: fields!(@required $necessity),
            in_bits: fields!(@in_bits $necessity),
            paths: &[$($path),+],
        }),*]
    };
    (@required required) => { true };
    (@required $other:ident) => { false };
    (@in_bits bit) => { true };
    (@in_bits $other:ident) => { false };
}

const FIELDS: &[Field] = zombie_trace_common::for_each_offset!(fields);

#[cfg(feature = "stacks")]
const STACK_FIELDS: &[Field] = zombie_trace_common::for_each_stack_offset!(fields);

/// The offsets of all fields that the programs read, by name of their global.
///
/// A required field that no alternative path leads to is an error that names it; an optional one
/// is [`MISSING`].
pub(super) fn resolve(btf: &Btf<'_>) -> Result<Vec<(&'static str, u32)>, BtfError> {
    resolve_all(btf, FIELDS)
}

/// The same for the programs that copy stacks.
#[cfg(feature = "stacks")]
pub(super) fn resolve_for_stacks(btf: &Btf<'_>) -> Result<Vec<(&'static str, u32)>, BtfError> {
    resolve_all(btf, STACK_FIELDS)
}

fn resolve_all(btf: &Btf<'_>, fields: &[Field]) -> Result<Vec<(&'static str, u32)>, BtfError> {
    fields
        .iter()
        .map(|field| {
            let mut first_error = None;
            for path in field.paths {
                let found = if field.in_bits {
                    btf.offset_in_bits(path)
                } else {
                    btf.offset(path)
                };
                match found {
                    Ok(offset) => return Ok((field.global, offset)),
                    Err(error) => {
                        first_error.get_or_insert(error);
                    }
                }
            }
            match first_error {
                Some(error) if field.required => Err(error),
                _ => Ok((field.global, MISSING)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_required_field() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no /sys/kernel/btf/vmlinux");
            return;
        };
        let offsets = resolve(&Btf::parse(&bytes).unwrap()).unwrap();
        assert_eq!(offsets.len(), FIELDS.len());
        let offset = |name| {
            offsets
                .iter()
                .find(|(global, _)| *global == name)
                .unwrap()
                .1
        };
        assert_ne!(offset("SIGNAL_WAITERS"), MISSING);
        assert_eq!(offset("UPID_NR"), 0);
        assert_eq!(offset("UPID_NS"), 8);
        assert_eq!(offset("TASK_TGID"), offset("TASK_PID") + 4);
        // Behind the flags, a word of its own (5.10 to 7.3).
        assert!(offset("SIGNAL_IS_SUBREAPER") / 8 >= offset("SIGNAL_FLAGS") + 4);
    }
}
