//! Parents below their ancestors. Pure.

use foldhash::{HashMap, HashSet};

use super::row::{Content, Key, TopRow};
use crate::{commands::top::data::Lineage, text::printable};

/// Puts rows about single parents below their ancestors, which get rows of their own.
///
/// Where nothing else decides, rows stay in their order: siblings are in the order of the first row that
/// is among them or below them.
pub(super) fn arrange(rows: Vec<TopRow>, lineage: &Lineage) -> Vec<TopRow> {
    let mut tree = Tree::default();
    for row in rows {
        let Some(pid) = row.pid else {
            tree.roots.push(Node::Rows(vec![row]));
            continue;
        };
        // From the root to the parent.
        let mut line: Vec<u32> = lineage.of(pid).collect();
        line.reverse();
        line.push(pid);
        let mut above = None;
        for pid in line {
            tree.place(pid, above);
            above = Some(pid);
        }
        tree.rows.entry(pid).or_default().push(row);
    }
    tree.flatten(lineage)
}

/// What stands at one place of the tree.
enum Node {
    Process(u32),
    /// Rows that no process can be named for.
    Rows(Vec<TopRow>),
}

#[derive(Default)]
struct Tree {
    roots: Vec<Node>,
    children: HashMap<u32, Vec<u32>>,
    placed: HashSet<u32>,
    /// Several processes can have had the same pid.
    rows: HashMap<u32, Vec<TopRow>>,
}

impl Tree {
    fn place(&mut self, pid: u32, above: Option<u32>) {
        if !self.placed.insert(pid) {
            return;
        }
        match above {
            Some(above) => self.children.entry(above).or_default().push(pid),
            None => self.roots.push(Node::Process(pid)),
        }
    }

    fn flatten(mut self, lineage: &Lineage) -> Vec<TopRow> {
        let mut flat = Vec::new();
        // What is next to be listed is last.
        let mut open: Vec<(Node, usize)> = Vec::new();
        open.extend(self.roots.drain(..).rev().map(|node| (node, 0)));
        while let Some((node, depth)) = open.pop() {
            match node {
                Node::Rows(rows) => flat.extend(rows),
                Node::Process(pid) => {
                    let rows = self.rows.remove(&pid);
                    let rows = rows.unwrap_or_else(|| vec![ancestor(pid, lineage)]);
                    flat.extend(rows.into_iter().map(|row| TopRow { depth, ..row }));
                    let children = self.children.remove(&pid).unwrap_or_default();
                    let children = children.into_iter().rev();
                    open.extend(children.map(|child| (Node::Process(child), depth + 1)));
                }
            }
        }
        flat
    }
}

/// A process that only stands above others.
fn ancestor(pid: u32, lineage: &Lineage) -> TopRow {
    let comm = lineage.comm(pid);
    TopRow {
        key: Key::Ancestor(pid),
        pid: Some(pid),
        comm,
        name: comm.as_ref().map_or_else(|| "?".to_owned(), printable),
        parent: String::new(),
        depth: 0,
        container: None,
        found: None,
        content: Content::Ancestor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: u32, name: &str) -> TopRow {
        TopRow {
            key: Key::Parent((Some(pid), Some(name.into()))),
            name: name.to_owned(),
            content: Content::Group(Box::default()),
            ..ancestor(pid, &Lineage::default())
        }
    }

    fn shown(rows: &[TopRow]) -> Vec<String> {
        let line = |row: &TopRow| format!("{}{}", " ".repeat(row.depth), row.name);
        rows.iter().map(line).collect()
    }

    #[test]
    fn parents_stand_below_their_ancestors_in_their_order() {
        let mut lineage = Lineage::default();
        let init = (1, "init".into());
        lineage.add(&[(20, "make".into()), (10, "sh".into()), init]);
        lineage.add(&[(30, "node".into()), init]);
        lineage.add(&[
            (21, "cc".into()),
            (20, "make".into()),
            (10, "sh".into()),
            init,
        ]);
        let rows = vec![
            row(21, "cc"),
            row(30, "node"),
            row(99, "gone"),
            row(20, "make"),
        ];
        assert_eq!(
            shown(&arrange(rows, &lineage)),
            ["init", " sh", "  make", "   cc", " node", "gone"]
        );
    }

    #[test]
    fn no_row_is_lost() {
        let mut lineage = Lineage::default();
        lineage.add(&[(2, "a".into()), (3, "b".into()), (2, "a".into())]);
        let nameless = TopRow {
            pid: None,
            ..row(5, "several")
        };
        let rows = vec![row(2, "a"), row(2, "before"), nameless, row(3, "b")];
        let all = shown(&arrange(rows, &lineage));
        for name in ["a", "before", "several", "b"] {
            assert_eq!(
                all.iter().filter(|row| row.trim() == name).count(),
                1,
                "{all:?}"
            );
        }
    }

    #[test]
    fn without_ancestors_nothing_changes() {
        let rows = vec![row(7, "x"), row(3, "y")];
        assert_eq!(arrange(rows.clone(), &Lineage::default()), rows);
    }
}
