use std::{borrow::Cow, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, IntoDeserializer as _, value},
};

/// Length of the ids that Docker, containerd's CRI plugin, CRI-O and podman give.
pub(super) const LONG_ID: usize = 64;

/// A container, as far as it is known: from the path of its cgroup, and the host name of its UTS
/// namespace. At least one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Container {
    /// What runs it, if the path tells.
    #[serde(deserialize_with = "known")]
    pub runtime: Option<Runtime>,
    /// Its id, of 64 hexadecimal digits with most runtimes; a name with systemd-nspawn, LXC, runc
    /// and crun. `None` if only the pod or the host name is known.
    #[serde(default, deserialize_with = "name")]
    pub id: Option<Arc<str>>,
    /// UID of its Kubernetes pod; for a static pod the hash of its manifest.
    #[serde(default, deserialize_with = "name")]
    pub pod_uid: Option<Arc<str>>,
    /// Host name of its UTS namespace.
    #[serde(default, deserialize_with = "name")]
    pub hostname: Option<Arc<str>>,
}

/// What runs a container, by the way that it names cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are proper names")]
#[non_exhaustive]
pub enum Runtime {
    Docker,
    Containerd,
    CriO,
    Podman,
    SystemdNspawn,
    Lxc,
    Runc,
    Crun,
}

impl Runtime {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::SystemdNspawn => "systemd-nspawn",
            Self::Lxc => "lxc",
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// A runtime in a recording of a later version may be one that we don't know.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Runtime>, D::Error> {
    let name = Option::<Cow<'_, str>>::deserialize(deserializer)?;
    let known = |name: Cow<'_, str>| {
        let name: value::CowStrDeserializer<'_, value::Error> = name.into_deserializer();
        Runtime::deserialize(name).ok()
    };
    Ok(name.and_then(known))
}

/// `NAME_MAX` (include/uapi/linux/limits.h): each of them is, or is part of, the name of a directory.
const LONGEST_NAME: usize = 255;

/// A name in a recording, which is no longer than the kernel's: statistics keep many of them.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    let name = Option::<Cow<'_, str>>::deserialize(deserializer)?;
    match name.as_ref().map_or(0, |name| name.len()) {
        0..=LONGEST_NAME => Ok(name.map(Arc::from)),
        length => Err(D::Error::invalid_length(length, &"at most 255 bytes")),
    }
}

/// As many digits of an id are shown to people, as by the engines themselves.
const SHORT_ID: usize = 12;

impl Container {
    /// What a person calls it: the begin of its id or its name, else its host name, else its pod.
    pub fn name(&self) -> &str {
        match (&self.id, &self.hostname, &self.pod_uid) {
            (Some(id), ..) if is_long_id(id) => &id[..SHORT_ID],
            (Some(id), ..) => id,
            (None, Some(name), _) | (None, None, Some(name)) => name,
            (None, None, None) => "?",
        }
    }

    /// Its id or, for want of that, its host name or its pod: tells it from every other.
    pub fn key(&self) -> Arc<str> {
        let known = [&self.id, &self.hostname, &self.pod_uid];
        let first = known.into_iter().flatten().next();
        first.map_or_else(|| "".into(), Arc::clone)
    }
}

pub(super) fn is_long_id(id: &str) -> bool {
    id.len() == LONG_ID
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}
