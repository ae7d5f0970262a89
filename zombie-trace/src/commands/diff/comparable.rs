//! Whether two runs are about the same kind of thing.

use crate::model::ScopeLine;

/// Why they can't be compared, if so. Process IDs may differ: they are new in every run.
pub(super) fn obstacle(base: &ScopeLine, new: &ScopeLine) -> Option<String> {
    let kinds = |scope: &ScopeLine| {
        [
            (scope.command, "COMMAND"),
            (!scope.pid.is_empty(), "--pid"),
            (!scope.ppid.is_empty(), "--ppid"),
            (scope.tree.is_some(), "--tree"),
            (scope.cgroup.is_some(), "--cgroup"),
            (!scope.container.is_empty(), "--container"),
        ]
    };
    let differ = kinds(base).into_iter().zip(kinds(new));
    let differ: Vec<_> = differ
        .filter(|(base, new)| base != new)
        .map(|((in_base, option), _)| match in_base {
            true => format!("BASE was recorded with {option}, NEW without"),
            false => format!("NEW was recorded with {option}, BASE without"),
        })
        .collect();
    (!differ.is_empty()).then(|| differ.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_scope_is_named() {
        let all = ScopeLine::default();
        let parent = |pid| ScopeLine {
            ppid: vec![pid],
            ..ScopeLine::default()
        };
        assert_eq!(obstacle(&all, &all), None);
        assert_eq!(obstacle(&parent(7), &parent(8)), None);
        assert_eq!(
            obstacle(&all, &parent(7)).as_deref(),
            Some("NEW was recorded with --ppid, BASE without")
        );
        let command = ScopeLine {
            command: true,
            container: vec!["web".to_owned()],
            ..ScopeLine::default()
        };
        assert_eq!(
            obstacle(&command, &all).as_deref(),
            Some(
                "BASE was recorded with COMMAND, NEW without; BASE was recorded with --container, \
                 NEW without"
            )
        );
    }
}
