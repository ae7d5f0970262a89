//! Stacks that share callers, put together.

use std::rc::Rc;

use foldhash::{HashMap, HashSet};

use super::names::{STATES, frame_names, parent_name};
use crate::aggregate::{
    WhatParentsDid,
    doing::{ParentDid, Weight},
};

/// A function and what it has called.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: Rc<str>,
    /// Where in the source; `None` if that is not known, or if it is several places.
    pub(super) source: Option<SourcePlace>,
    pub(super) weight: Weight,
    /// Its zombie time by state, in the order of [`STATES`].
    pub(super) by_state: [u64; STATES.len()],
    /// In the order in which they were seen.
    pub(super) children: Vec<Node>,
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourcePlace {
    pub(super) file: Rc<str>,
    /// `None` if it is not known, or if it is several lines.
    pub(super) line: Option<u32>,
}

/// As deep as a graph gets; what is called from there on is left out.
const DEEPEST: usize = 400;

/// All parents, as the children of one node. It has at most `most` nodes, apart from parents: the lightest
/// stacks, which come last, may lack their innermost frames.
pub(super) fn tree(did: &WhatParentsDid, most: usize) -> Node {
    let mut root = Node::named("all parents".into());
    let mut names = HashSet::default();
    let mut room = most;
    for did in did.parents() {
        let parent = parent(&did, &mut names, &mut room);
        root.weight.add(parent.weight);
        for (all, time) in root.by_state.iter_mut().zip(parent.by_state) {
            *all = all.saturating_add(time);
        }
        root.children.push(parent);
    }
    root
}

fn parent(did: &ParentDid<'_>, names: &mut HashSet<Rc<str>>, room: &mut usize) -> Node {
    let mut arena = Arena::new(parent_name(&did.parent).into(), room);
    for stack in &did.stacks {
        let state = STATES.iter().position(|&state| state == stack.state);
        let mut at = 0;
        arena.nodes[at].add(stack.weight, state);
        let frames = frame_names(&stack.frames, stack.is_truncated);
        for (name, frame) in frames.take(DEEPEST) {
            let source = frame.and_then(|frame| {
                Some(SourcePlace {
                    file: shared(names, frame.file.as_deref()?),
                    line: frame.line,
                })
            });
            match arena.child(at, shared(names, &name), source) {
                Some(child) => at = child,
                None => break,
            }
            arena.nodes[at].add(stack.weight, state);
        }
    }
    arena.into_tree()
}

/// Each text once.
fn shared(texts: &mut HashSet<Rc<str>>, text: &str) -> Rc<str> {
    if let Some(known) = texts.get(text) {
        return Rc::clone(known);
    }
    let new: Rc<str> = text.into();
    texts.insert(Rc::clone(&new));
    new
}

impl Node {
    fn named(name: Rc<str>) -> Self {
        Self {
            name,
            source: None,
            weight: Weight::default(),
            by_state: [0; STATES.len()],
            children: Vec::new(),
        }
    }

    fn add(&mut self, weight: Weight, state: Option<usize>) {
        self.weight.add(weight);
        if let Some(state) = state {
            let time = &mut self.by_state[state];
            *time = time.saturating_add(weight.zombie_ns);
        }
    }

    /// The position in [`STATES`] of the state in which most of its time went.
    pub(super) fn mostly(&self) -> usize {
        let times = self.by_state.iter().enumerate();
        // The first of several that are equal.
        times
            .rev()
            .max_by_key(|(_, time)| **time)
            .map_or(0, |(state, _)| state)
    }
}

/// A tree that grows.
struct Arena<'a> {
    nodes: Vec<Node>,
    children: Vec<Vec<usize>>,
    numbers: HashMap<(usize, Rc<str>), usize>,
    room: &'a mut usize,
}

impl<'a> Arena<'a> {
    fn new(root: Rc<str>, room: &'a mut usize) -> Self {
        Self {
            nodes: vec![Node::named(root)],
            children: vec![Vec::new()],
            numbers: HashMap::default(),
            room,
        }
    }

    /// The child of that name; `None` if it is new and there is no room.
    fn child(
        &mut self,
        parent: usize,
        name: Rc<str>,
        source: Option<SourcePlace>,
    ) -> Option<usize> {
        let key = (parent, name);
        if let Some(&number) = self.numbers.get(&key) {
            let known = &mut self.nodes[number].source;
            match (known.as_mut(), source) {
                (Some(known), Some(source)) if known.file == source.file => {
                    known.line = known.line.filter(|_| known.line == source.line);
                }
                _ => *known = None,
            }
            return Some(number);
        }
        *self.room = self.room.checked_sub(1)?;
        let number = self.nodes.len();
        self.nodes.push(Node {
            source,
            ..Node::named(Rc::clone(&key.1))
        });
        self.children.push(Vec::new());
        self.children[parent].push(number);
        self.numbers.insert(key, number);
        Some(number)
    }

    /// A child has a higher number than its parent.
    fn into_tree(self) -> Node {
        let mut nodes: Vec<_> = self.nodes.into_iter().map(Some).collect();
        for (number, children) in self.children.into_iter().enumerate().rev() {
            let children: Vec<_> = children
                .into_iter()
                .filter_map(|child| nodes[child].take())
                .collect();
            if let Some(node) = &mut nodes[number] {
                node.children = children;
            }
        }
        nodes.swap_remove(0).expect("nothing has taken the root")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::did, *};

    fn child<'a>(node: &'a Node, name: &str) -> &'a Node {
        let mut children = node.children.iter();
        children.find(|child| &*child.name == name).unwrap()
    }

    #[test]
    fn callers_that_are_shared_are_put_together() {
        let root = tree(&did(), 100);
        assert_eq!(root.weight.zombie_ns, 1_250_000_000);
        let main = child(child(&root, "sup (7)"), "main");
        assert_eq!(main.weight.zombie_ns, 1_000_000_000);
        assert_eq!(main.by_state, [700_000_000, 0, 300_000_000]);
        let run = child(main, "run");
        // Two lines of it were seen.
        let source = |line| {
            Some(SourcePlace {
                file: "sup.c".into(),
                line,
            })
        };
        assert_eq!(
            (&main.source, &run.source),
            (&source(Some(50)), &source(None))
        );
        assert_eq!(child(run, "zip").source, source(Some(88)));
        assert_eq!((run.mostly(), child(run, "zip").mostly()), (0, 2));
    }

    #[test]
    fn nodes_are_bounded() {
        let root = tree(&did(), 3);
        let run = child(child(child(&root, "sup (7)"), "main"), "run");
        assert_eq!(run.children.len(), 1);
        assert!(run.children[0].children.is_empty());
        assert_eq!(run.weight.zombie_ns, 1_000_000_000);
        assert!(root.children[1].children.is_empty());
    }
}
