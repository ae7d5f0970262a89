use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zombie_trace_common::COMM_LEN;

/// A command name as the kernel keeps it (`task_struct.comm`): up to 15 bytes of anything.
///
/// It need not be UTF-8 and can hold control characters: a sink for terminals must escape it.
/// Serialized as a string in which U+FFFD stands for what is not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Comm([u8; COMM_LEN]);

impl Comm {
    /// From the kernel's NUL-terminated field.
    pub fn new(raw: [u8; COMM_LEN]) -> Self {
        let mut comm = [0; COMM_LEN];
        let len = raw.iter().position(|&byte| byte == 0).unwrap_or(COMM_LEN);
        comm[..len].copy_from_slice(&raw[..len]);
        Self(comm)
    }

    /// From bytes without a NUL, cut to 15 as the kernel does (`__set_task_comm`).
    pub fn from_bytes(name: &[u8]) -> Self {
        let mut raw = [0; COMM_LEN];
        let len = name.len().min(COMM_LEN - 1);
        raw[..len].copy_from_slice(&name[..len]);
        Self::new(raw)
    }

    /// The kernel's field, padded with NULs.
    pub fn to_raw(self) -> [u8; COMM_LEN] {
        self.0
    }

    /// The bytes up to the terminating NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(COMM_LEN);
        &self.0[..len]
    }

    /// As text, with U+FFFD for what is not UTF-8.
    pub fn to_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

impl From<&str> for Comm {
    /// Cut to 15 bytes, as the kernel does (`__set_task_comm`).
    fn from(name: &str) -> Self {
        Self::from_bytes(name.as_bytes())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

impl Serialize for Comm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_str())
    }
}

impl<'de> Deserialize<'de> for Comm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl de::Visitor<'_> for Name {
            type Value = Comm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Comm, E> {
                Ok(Comm::from(name))
            }
        }

        deserializer.deserialize_str(Name)
    }
}
