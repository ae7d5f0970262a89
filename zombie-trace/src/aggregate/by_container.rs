use std::{cmp::Reverse, sync::Arc};

use foldhash::HashMap;

use super::{ContainerSummary, by_parent::Parent};
use crate::container::Container;

/// As many are kept apart at the most: a bound on memory, of some 5 MiB.
const MOST: usize = 512;

/// Zombies by their containers.
#[derive(Debug, Default)]
pub(super) struct ByContainer {
    /// By what tells a container from every other.
    groups: HashMap<Arc<str>, (Container, Parent)>,
}

impl ByContainer {
    /// What is known of a container's zombies.
    pub(super) fn group(&mut self, container: &Container) -> &mut Parent {
        let key = container.key();
        let full = self.groups.len() >= MOST && !self.groups.contains_key(&key);
        let (key, container) = if full {
            (Arc::from(""), Container::default())
        } else {
            (key, container.clone())
        };
        let (known, group) = self.groups.entry(key).or_default();
        // A runtime's own processes are in it before it has its name.
        let hostname = container.hostname.clone().or(known.hostname.take());
        *known = Container {
            hostname,
            ..container
        };
        group
    }

    /// The largest total first.
    pub(super) fn summary(&self) -> Vec<ContainerSummary> {
        let mut containers: Vec<_> = self
            .groups
            .values()
            .map(|(container, group)| ContainerSummary {
                container: container.clone(),
                reaped: group.times.count(),
                autoreaped: group.autoreaped,
                alive: group.alive,
                p50_ns: group.times.permille(500),
                p99_ns: group.times.permille(990),
                max_ns: group.times.max(),
                total_ns: group.times.sum(),
            })
            .collect();
        worst_containers_first(&mut containers);
        containers
    }
}

/// Puts the containers with the largest totals first.
pub fn worst_containers_first(containers: &mut [ContainerSummary]) {
    containers.sort_by(|one, other| {
        let key = |it: &ContainerSummary| Reverse((it.total_ns, it.alive, it.reaped));
        key(one)
            .cmp(&key(other))
            .then_with(|| one.container.cmp(&other.container))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, hostname: Option<&str>) -> Container {
        Container {
            id: Some(id.into()),
            hostname: hostname.map(Into::into),
            ..Container::default()
        }
    }

    #[test]
    fn what_is_known_of_a_container_is_kept() {
        let mut containers = ByContainer::default();
        for hostname in [Some("node"), Some("web"), None] {
            containers.group(&container("a", hostname)).times.record(5);
        }
        let named = Container {
            id: None,
            ..container("", Some("web"))
        };
        containers.group(&named).times.record(100);
        let summary = containers.summary();
        let found: Vec<_> = summary
            .iter()
            .map(|it| (it.container.clone(), it.reaped, it.total_ns))
            .collect();
        let known = container("a", Some("web"));
        assert_eq!(found, [(named, 1, 100), (known, 3, 15)]);
    }

    #[test]
    fn they_are_bounded_and_their_sum_is_kept() {
        let mut containers = ByContainer::default();
        for number in 0..2 * MOST {
            let container = container(&number.to_string(), None);
            containers.group(&container).times.record(1);
        }
        let summary = containers.summary();
        assert_eq!(summary.len(), MOST + 1);
        let reaped: u64 = summary.iter().map(|it| it.reaped).sum();
        assert_eq!(reaped, 2 * MOST as u64);
        assert_eq!(summary[0].container, Container::default());
    }
}
