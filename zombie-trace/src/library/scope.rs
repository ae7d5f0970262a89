use std::path::PathBuf;

use anyhow::Context as _;

use crate::{kernel, model::ScopeLine, system::Cgroup};

/// Which processes a run is about: all, or those for which everything that is asked for holds.
///
/// ```
/// use zombie_trace::Scope;
///
/// // The children and grandchildren of this process, of whatever they start.
/// let scope = Scope::new().tree(std::process::id());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pids: Vec<u32>,
    ppids: Vec<u32>,
    tree: Option<u32>,
    cgroup: Option<PathBuf>,
    containers: Vec<String>,
}

impl Scope {
    /// All processes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only this process, or others that are given so.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pids.push(pid);
        self
    }

    /// Only children of this parent, or of others that are given so.
    #[must_use]
    pub fn ppid(mut self, pid: u32) -> Self {
        self.ppids.push(pid);
        self
    }

    /// Only descendants of this process, even if they are reparented. It is not one of them itself.
    #[must_use]
    pub fn tree(mut self, root: u32) -> Self {
        self.tree = Some(root);
        self
    }

    /// Only this cgroup v2 and those below it: a directory of the hierarchy, or a path within it.
    #[must_use]
    pub fn cgroup(mut self, path: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(path.into());
        self
    }

    /// Only containers with this ID, ID prefix, name or host name, or others that are given so.
    #[must_use]
    pub fn container(mut self, container: impl Into<String>) -> Self {
        self.containers.push(container.into());
        self
    }

    pub(super) fn line(&self) -> ScopeLine {
        ScopeLine {
            pid: self.pids.clone(),
            ppid: self.ppids.clone(),
            tree: self.tree,
            cgroup: self
                .cgroup
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            container: self.containers.clone(),
            command: false,
        }
    }

    /// The scope as the kernel side decides it.
    pub(super) fn resolve(&self) -> anyhow::Result<kernel::KernelScope> {
        let cgroup = self.cgroup.as_ref().map(|path| {
            Cgroup::from_path(path).with_context(|| format!("cgroup {}", path.display()))
        });
        let containers = self.containers.iter().map(|container| {
            let query = container.parse();
            query.with_context(|| format!("container {container:?}"))
        });
        Ok(kernel::KernelScope {
            pids: self.pids.clone(),
            ppids: self.ppids.clone(),
            tree: self.tree,
            cgroup: cgroup.transpose()?,
            containers: containers.collect::<anyhow::Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        let refused = |scope: Scope| format!("{:#}", scope.resolve().unwrap_err());
        let text = refused(Scope::new().container("a/b"));
        assert!(text.starts_with("container \"a/b\": "), "{text}");
        let text = refused(Scope::new().cgroup("/no such cgroup"));
        assert!(text.starts_with("cgroup /no such cgroup: "), "{text}");
    }

    #[test]
    fn everything_given_is_asked_for() {
        let scope = Scope::new().pid(1).pid(2).ppid(3).tree(4).container("web");
        let resolved = scope.resolve().unwrap();
        assert_eq!(resolved.pids, [1, 2]);
        assert_eq!((resolved.ppids, resolved.tree), (vec![3], Some(4)));
        assert_eq!(resolved.containers[0].as_str(), "web");
        assert_eq!(scope.line().container, ["web"]);
    }
}
