use std::{collections::HashMap, str::FromStr};

use zombie_trace_common::scope::{CGROUP_NAME_LEN, NamePattern, name};

use super::{
    Container,
    identity::{LONG_ID, is_long_id},
    path::{PODMAN_PAYLOAD, PREFIXES, escape},
};

/// A container that is asked for: the begin of its id, its name, or the host name of its UTS
/// namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerQuery(String);

/// Why a container can't be asked for so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerQueryError {
    /// It is empty.
    #[error("empty: give an id, the begin of one, a name, or the host name in the container")]
    Empty,
    /// Neither a host name nor an id is as long.
    #[error("too long: ids and host names have at most 64 characters")]
    TooLong,
    /// The cgroup of such a container would have a name that is too long.
    #[error(
        "too many dashes: systemd writes each as four characters in the name of a cgroup: give the \
         container's id or --cgroup instead"
    )]
    TooManyDashes,
    /// Neither a host name nor an id contains it.
    #[error("{0:?} is in no id and no host name: for a path of cgroups use --cgroup")]
    Character(char),
}

/// What is shorter is taken for a name alone.
const SHORTEST_ID: usize = 4;

impl FromStr for ContainerQuery {
    type Err = ContainerQueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ContainerQueryError::Empty);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(other) = text.chars().find(|&c| !fits(c)) {
            return Err(ContainerQueryError::Character(other));
        }
        if text.len() > LONG_ID {
            return Err(ContainerQueryError::TooLong);
        }
        let query = Self(text.to_owned());
        let fits = |(name, _): &(Vec<u8>, NamePattern)| name.len() <= CGROUP_NAME_LEN;
        match query.patterns().iter().all(fits) {
            true => Ok(query),
            false => Err(ContainerQueryError::TooManyDashes),
        }
    }
}

impl ContainerQuery {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a container is meant, by its id or its host name.
    pub fn matches(&self, container: &Container) -> bool {
        let is_name = |name: &str| name == self.0;
        container.hostname.as_deref().is_some_and(is_name)
            || container.id.as_deref().is_some_and(|id| {
                is_name(id) || (is_long_id(id) && self.is_id_begin() && id.starts_with(&self.0))
            })
    }

    /// Whether the cgroup of a path is in a container that is meant, be it in a nested one.
    pub fn matches_path(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end);
        ends.chain([path.len()]).any(|end| {
            Container::of_path(&path[..end]).is_some_and(|container| self.matches(&container))
        })
    }

    /// Whether it can be the begin of an id.
    pub fn is_id_begin(&self) -> bool {
        (SHORTEST_ID..=LONG_ID).contains(&self.0.len())
            && self
                .0
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    }

    /// The names that cgroups of such containers have or, if a length is given, begin with.
    fn patterns(&self) -> Vec<(Vec<u8>, NamePattern)> {
        let text = &self.0;
        let mut patterns = Vec::new();
        if self.is_id_begin() {
            let mut begins_with = |before: &str| {
                let pattern = NamePattern {
                    kinds: name::CONTAINER,
                    len: (before.len() + LONG_ID + 1) as u32,
                };
                patterns.push((format!("{before}{text}").into_bytes(), pattern));
            };
            for before in ["", ":", PODMAN_PAYLOAD] {
                begins_with(before);
            }
            for (prefix, _) in PREFIXES {
                begins_with(&format!("{prefix}-"));
            }
        }
        let mut is = |name: String, kinds| {
            let pattern = NamePattern { kinds, len: 0 };
            patterns.push(([name.as_bytes(), b"\0"].concat(), pattern));
        };
        let escaped = escape(text);
        is(format!("runc-{text}.scope"), name::CONTAINER);
        is(format!("crun-{text}.scope"), name::CONTAINER);
        if !text.starts_with("qemu-") {
            is(format!("machine-{escaped}.scope"), name::CONTAINER);
        }
        is(format!("systemd-nspawn@{escaped}.service"), name::MACHINE);
        is("payload".into(), name::PAYLOAD);
        is(format!("lxc.payload.{text}"), name::CONTAINER);
        // A whole long id is one wherever it is.
        if !is_long_id(text) {
            is(text.clone(), name::CHILD);
        }
        is("lxc".into(), name::PARENT);
        is("lxc.payload".into(), name::PARENT);
        patterns
    }
}

/// For the map `CONTAINER_NAMES`: what names cgroups of these containers have.
pub fn patterns(queries: &[ContainerQuery]) -> HashMap<Vec<u8>, NamePattern> {
    let mut all: HashMap<Vec<u8>, NamePattern> = HashMap::new();
    for (name, pattern) in queries.iter().flat_map(ContainerQuery::patterns) {
        let known = all.entry(name).or_default();
        known.kinds |= pattern.kinds;
        known.len = pattern.len;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b2a102854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";
    const OTHER: &str = "b2a102854b49f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422";

    fn query(text: &str) -> ContainerQuery {
        text.parse().unwrap()
    }

    /// What the kernel side does (zombie-trace-ebpf, container.rs).
    fn kernel_matches(patterns: &HashMap<Vec<u8>, NamePattern>, path: &str) -> bool {
        let kinds_of = |name: &str| {
            let mut key = name.as_bytes().to_vec();
            key.truncate(CGROUP_NAME_LEN - 1);
            key.push(0);
            let len = key.len();
            key.resize(CGROUP_NAME_LEN, 0xaa);
            let begins = patterns.iter().filter(|(begin, _)| key.starts_with(begin));
            let longest = begins.max_by_key(|(begin, _)| begin.len());
            longest.map_or(0, |(_, pattern)| {
                let fits = [0, len, len.wrapping_sub(6)].contains(&(pattern.len as usize));
                if fits { pattern.kinds } else { 0 }
            })
        };
        let mut below = 0;
        for component in path.rsplit('/') {
            let mut kinds = kinds_of(component);
            if kinds == 0
                && let Some(at) = component.len().checked_sub(65)
                && component[at..].starts_with(':')
            {
                kinds = kinds_of(&component[at..]);
            }
            if kinds & name::CONTAINER != 0
                || (kinds & name::PARENT != 0 && below & name::CHILD != 0)
                || (kinds & name::MACHINE != 0 && below & name::PAYLOAD != 0)
            {
                return true;
            }
            below = kinds;
        }
        false
    }

    #[test]
    fn kernel_and_user_space_agree() {
        let paths = [
            "/".to_owned(),
            "/system.slice/cron.service".into(),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/system.slice/docker-{ID}.scope/init"),
            format!("/docker/{ID}"),
            format!("/docker/{OTHER}/system.slice/docker-{ID}.scope"),
            format!("/system.slice:docker:{ID}"),
            format!(
                "/kubepods-besteffort-pod72f7f152_440c_66ac_9084_e0fc1d8a910c.slice:cri-containerd:{ID}"
            ),
            format!("/kubepods/burstable/pod72f7f152-440c-66ac-9084-e0fc1d8a910c/{ID}"),
            format!("/kubepods/burstable/podx/crio-{ID}"),
            format!("/kubepods/burstable/podx/crio-conmon-{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/x.service/libpod-payload-{ID}"),
            format!("/docker-{ID}0.scope"),
            "/system.slice/runc-web-1.scope".into(),
            "/user.slice/crun-web-1.scope".into(),
            "/web-1".into(),
            "/lxc/web-1/ns".into(),
            "/lxc.payload/web-1".into(),
            "/lxc.payload.web-1/init.scope".into(),
            "/lxc.monitor.web-1".into(),
            r"/machine.slice/machine-web\x2d1.scope/payload".into(),
            r"/machine.slice/systemd-nspawn@web\x2d1.service/payload/init.scope".into(),
            r"/machine.slice/systemd-nspawn@web\x2d1.service/supervisor".into(),
            r"/machine.slice/systemd-nspawn@web\x2d1.service".into(),
            r"/machine.slice/machine-qemu\x2d1.scope".into(),
        ];
        let texts = [
            ID,
            &ID[..12],
            &ID[..4],
            &ID[..3],
            OTHER,
            "web-1",
            "web",
            "qemu-1",
            "lxc",
        ];
        let mut hits = 0;
        for text in texts {
            let query = query(text);
            let patterns = patterns(std::slice::from_ref(&query));
            for path in &paths {
                let matches = query.matches_path(path);
                assert_eq!(kernel_matches(&patterns, path), matches, "{text} {path}");
                hits += u32::from(matches);
            }
        }
        // 10 by each begin of the id, and one more by that of both; the outer one; 7 by name.
        assert_eq!(hits, 3 * 10 + 1 + 7);
    }

    #[test]
    fn several_do_not_hide_each_other() {
        let queries = [query(ID), query(&ID[..6]), query("web"), query("lxc")];
        let patterns = patterns(&queries);
        for path in [
            format!("/docker/{ID}"),
            format!("/docker/{OTHER}"),
            "/lxc/web".into(),
            "/lxc/lxc".into(),
        ] {
            assert!(kernel_matches(&patterns, &path), "{path}");
        }
        assert!(!kernel_matches(&patterns, "/web"));
    }

    #[test]
    fn host_names_are_whole() {
        let container = Container {
            hostname: Some("web-1".into()),
            ..Container::default()
        };
        assert!(query("web-1").matches(&container));
        assert!(!query("web").matches(&container));
    }

    #[test]
    fn what_can_be_no_container_is_refused() {
        let error = |text: &str| text.parse::<ContainerQuery>().unwrap_err();
        assert_eq!(error(""), ContainerQueryError::Empty);
        assert_eq!(error("a/b"), ContainerQueryError::Character('/'));
        assert_eq!(error("wéb"), ContainerQueryError::Character('é'));
        assert_eq!(error(&"a".repeat(65)), ContainerQueryError::TooLong);
        let dashes = format!("a{}", "-".repeat(63));
        assert_eq!(error(&dashes), ContainerQueryError::TooManyDashes);
        assert!("a-".repeat(17).parse::<ContainerQuery>().is_ok());
    }

    #[test]
    fn every_pattern_fits_the_kernel_s_key() {
        for dashes in 0..64 {
            let text = format!("a{}", "-".repeat(dashes));
            let Ok(query) = text.parse::<ContainerQuery>() else {
                assert!(dashes > 30, "{dashes}");
                continue;
            };
            let patterns = patterns(&[query]);
            assert!(patterns.keys().all(|name| name.len() <= CGROUP_NAME_LEN));
        }
    }
}
