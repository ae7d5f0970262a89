//! Who takes the most room where room is bounded. Pure.
//!
//! What is remembered about processes is kept by their cgroups, which no user can leave. A user can make
//! as many names as he likes, of cgroups, hosts and commands, but all of them lie in one subtree of the
//! hierarchy: when room gets scarce, that subtree gives way and no other.

use std::collections::BTreeMap;

/// The subtree that takes the most room: the path of its root, and how many of `paths` are in it. The
/// smallest one is given that still has `share` of them; without any it is the whole hierarchy (`""`).
pub(crate) fn largest<'a>(
    paths: impl IntoIterator<Item = &'a str>,
    share: usize,
) -> (&'a str, usize) {
    let mut root = "";
    let mut within: Vec<&str> = paths.into_iter().collect();
    loop {
        let mut children: BTreeMap<&str, usize> = BTreeMap::new();
        for path in &within {
            if let Some(child) = child(path, root) {
                *children.entry(child).or_default() += 1;
            }
        }
        match children.into_iter().max_by_key(|(_, count)| *count) {
            Some((child, count)) if count >= share.max(1) => {
                root = child;
                within.retain(|path| is_within(path, root));
            }
            _ => return (root, within.len()),
        }
    }
}

/// Whether a path is that of a subtree's root, or below it.
pub(crate) fn is_within(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || root.is_empty() || rest.starts_with('/'))
}

/// The child of a subtree's root that a path leads through.
fn child<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(root)?.strip_prefix('/')?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    Some(&path[..root.len() + 1 + name.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_makes_many_is_found() {
        let flood: Vec<String> = (0..90).map(|n| format!("/user/mallory/a/{n}")).collect();
        let rest = ["/system/docker-1", "/system/docker-2", "/user/alice/x", ""];
        let paths = || flood.iter().map(|path| &**path).chain(rest);
        assert_eq!(largest(paths(), 10), ("/user/mallory/a", 90));
        assert_eq!(largest(rest, 2), ("/system", 2));
        assert_eq!(largest(rest, 3), ("", 4));
        assert_eq!(largest([], 1), ("", 0));
        assert_eq!(largest(["/", "/"], 1), ("", 2));
    }

    #[test]
    fn of_two_the_larger_gives_way() {
        let one = (0..50).map(|n| format!("/user/one/{n}"));
        let two = (0..60).map(|n| format!("/user/two/{n}/deep/{n}"));
        let paths: Vec<String> = one.chain(two).collect();
        let found = largest(paths.iter().map(|path| &**path), 20);
        assert_eq!(found, ("/user/two", 60));
    }

    #[test]
    fn names_that_begin_alike_are_apart() {
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", ""));
        assert!(!is_within("/ab", "/a") && !is_within("/", "/a"));
    }
}
