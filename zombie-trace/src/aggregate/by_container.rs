use std::sync::Arc;

use foldhash::HashMap;

use super::{ContainerSummary, group::Group, worst_first};
use crate::container::Container;

/// As many are kept apart at the most: a bound on memory, of some 5 MiB.
const MOST: usize = 512;

/// Zombies by their containers.
#[derive(Clone, Debug, Default)]
pub(super) struct ByContainer {
    /// By what tells a container from every other.
    groups: HashMap<Arc<str>, (Container, Group)>,
}

impl ByContainer {
    /// What is known of a container's zombies.
    pub(super) fn group(&mut self, container: &Container) -> &mut Group {
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

    /// The most zombie time first.
    pub(super) fn summary(&self) -> Vec<ContainerSummary> {
        let mut containers: Vec<_> = self
            .groups
            .values()
            .map(|(container, group)| ContainerSummary {
                container: container.clone(),
                group: group.summary(),
            })
            .collect();
        worst_first(&mut containers);
        containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Zombie, fixtures};

    fn container(id: &str, hostname: Option<&str>) -> Container {
        Container {
            id: Some(id.into()),
            hostname: hostname.map(Into::into),
            ..Container::default()
        }
    }

    fn record(containers: &mut ByContainer, container: &Container, zombie_ns: u64) {
        let zombie = Zombie {
            zombie_ns,
            ..fixtures::zombie()
        };
        containers.group(container).zombie(&zombie, zombie_ns, true);
    }

    #[test]
    fn what_is_known_of_a_container_is_kept() {
        let mut containers = ByContainer::default();
        for hostname in [Some("node"), Some("web"), None] {
            record(&mut containers, &container("a", hostname), 5);
        }
        let named = Container {
            id: None,
            ..container("", Some("web"))
        };
        record(&mut containers, &named, 100);
        let summary = containers.summary();
        let found: Vec<_> = summary
            .iter()
            .map(|it| (it.container.clone(), it.group.reaped, it.group.total_ns))
            .collect();
        let known = container("a", Some("web"));
        assert_eq!(found, [(named, 1, 100), (known, 3, 15)]);
    }

    #[test]
    fn they_are_bounded_and_their_sum_is_kept() {
        let mut containers = ByContainer::default();
        for number in 0..2 * MOST {
            record(&mut containers, &container(&number.to_string(), None), 1);
        }
        let summary = containers.summary();
        assert_eq!(summary.len(), MOST + 1);
        let reaped: u64 = summary.iter().map(|it| it.group.reaped).sum();
        assert_eq!(reaped, 2 * MOST as u64);
        assert_eq!(summary[0].container, Container::default());
    }
}
