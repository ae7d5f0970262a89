//! The sources keep to their layers: no import points upwards, and no files import each other in a
//! circle. No two types share a name outside of their files.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Ident, Item, ItemMod, ItemUse, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// The top-level modules of this crate, from the top to the bottom. A module may import those below it.
const LAYERS: [&str; 24] = [
    "program",
    "cli",
    "commands",
    "args",
    "library",
    "run",
    "stacks",
    "recording",
    "sink",
    "kernel",
    "system",
    "metrics",
    "compare",
    "gate",
    "aggregate",
    "filter",
    "lifecycle",
    "cause",
    "stderr",
    "text",
    "model",
    "container",
    "value",
    "exit_code",
];

/// A path of names from the root of a crate.
type Names = Vec<String>;

/// A source file, as the module that it is.
#[derive(Default)]
struct Module {
    /// What it imports or names, as absolute paths. With whether only its tests do.
    uses: Vec<(Names, bool)>,
    /// What it hands on under a name of its own (`pub use`).
    reexports: HashMap<String, Names>,
}

/// The modules of a crate.
struct Crate(BTreeMap<Names, Module>);

impl Crate {
    fn read(sources: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(sources);
        let mut files = Vec::new();
        find(&root, &mut files);
        let files: Vec<_> = files
            .into_iter()
            .map(|file| (names_of(file.strip_prefix(&root).unwrap()), file))
            .collect();
        let all: BTreeSet<_> = files.iter().map(|(names, _)| names.clone()).collect();
        let read = |(names, file): (Names, PathBuf)| {
            let text = fs::read_to_string(&file).unwrap();
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| {
                panic!("{}: {error}", file.display());
            });
            let mut reader = Reader {
                modules: &all,
                at: names.clone(),
                is_test: names.last().is_some_and(|name| name == "tests"),
                aliases: HashMap::new(),
                module: Module::default(),
            };
            // Imports first: they can stand below what uses them.
            for item in &syntax.items {
                if let Item::Use(item) = item {
                    reader.import(item);
                }
            }
            reader.visit_file(&syntax);
            (names, reader.module)
        };
        Self(files.into_iter().map(read).collect())
    }

    /// The module that a path leads to, through what modules hand on.
    fn resolve(&self, path: &[String]) -> Names {
        let mut path = path.to_vec();
        // A path that is handed on in a circle does not compile.
        'path: loop {
            let mut module = Names::new();
            for (index, name) in path.iter().enumerate() {
                let mut child = module.clone();
                child.push(name.clone());
                if self.0.contains_key(&child) {
                    module = child;
                } else if let Some(target) = self.0[&module].reexports.get(name) {
                    path = [target, &path[index + 1..]].concat();
                    continue 'path;
                } else {
                    break;
                }
            }
            return module;
        }
    }

    /// Which module imports which.
    fn imports(&self, with_tests: bool) -> BTreeSet<(Names, Names)> {
        let mut imports = BTreeSet::new();
        for (names, module) in &self.0 {
            for (path, is_test) in &module.uses {
                let target = self.resolve(path);
                if (with_tests || !is_test) && target != *names {
                    imports.insert((names.clone(), target));
                }
            }
        }
        imports
    }

    /// The groups of modules that lead to each other.
    fn circles(&self) -> Vec<String> {
        let imports = self.imports(false);
        let mut reached: BTreeMap<&Names, BTreeSet<&Names>> = BTreeMap::new();
        for start in self.0.keys() {
            let mut seen = BTreeSet::new();
            let mut open = vec![start];
            while let Some(module) = open.pop() {
                for (_, target) in imports.iter().filter(|(from, _)| from == module) {
                    if seen.insert(target) {
                        open.push(target);
                    }
                }
            }
            reached.insert(start, seen);
        }
        let circles: BTreeSet<Vec<_>> = reached
            .iter()
            .filter(|(module, seen)| seen.contains(*module))
            .map(|(module, seen)| {
                let back = |other: &&&Names| reached[**other].contains(module);
                seen.iter().filter(back).map(|other| shown(other)).collect()
            })
            .collect();
        circles.iter().map(|circle| circle.join(" ↔ ")).collect()
    }
}

/// Collects what a file imports.
struct Reader<'a> {
    modules: &'a BTreeSet<Names>,
    /// The module whose items are visited: that of the file, or one inside it.
    at: Names,
    is_test: bool,
    /// What a name at the start of a path stands for.
    aliases: HashMap<String, Names>,
    module: Module,
}

impl Reader<'_> {
    /// The absolute path, if it is one of this crate.
    fn absolute(&self, path: &[String]) -> Option<Names> {
        let first = path.first()?;
        let mut base = match first.as_str() {
            "crate" => Names::new(),
            "self" | "super" => self.at.clone(),
            name => {
                let child = [&self.at[..], &[name.to_owned()]].concat();
                let base = match self.aliases.get(name) {
                    Some(target) => target.clone(),
                    None => self.modules.contains(&child).then_some(child)?,
                };
                return Some([&base[..], &path[1..]].concat());
            }
        };
        let mut rest = path;
        while let Some("crate" | "self" | "super") = rest.first().map(String::as_str) {
            if rest[0] == "super" {
                base.pop();
            }
            rest = &rest[1..];
        }
        Some([&base[..], rest].concat())
    }

    fn import(&mut self, item: &ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &[], &mut leaves);
        for (path, name) in leaves {
            let Some(absolute) = self.absolute(&path) else {
                continue;
            };
            // A glob of tests takes in the module that they are of.
            if name == "*" {
                continue;
            }
            if matches!(item.vis, Visibility::Inherited) {
                self.module.uses.push((absolute.clone(), self.is_test));
            } else {
                self.module.reexports.insert(name.clone(), absolute.clone());
            }
            self.aliases.insert(name, absolute);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let Some((_, items)) = &item.content else {
            return;
        };
        let (was_test, aliases) = (self.is_test, self.aliases.clone());
        self.is_test |= item.attrs.iter().any(is_for_tests);
        self.at.push(item.ident.to_string());
        for item in items {
            if let Item::Use(item) = item {
                self.import(item);
            }
        }
        visit::visit_item_mod(self, item);
        self.at.pop();
        (self.is_test, self.aliases) = (was_test, aliases);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // Those of modules are known by now; one in a function is not.
        self.import(item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if names.len() > 1
            && let Some(absolute) = self.absolute(&names)
        {
            self.module.uses.push((absolute, self.is_test));
        }
        visit::visit_path(self, path);
    }
}

fn flatten(tree: &UseTree, before: &[String], leaves: &mut Vec<(Names, String)>) {
    let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(&path.ident), leaves),
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| flatten(tree, before, leaves)),
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
        }
        UseTree::Name(name) => leaves.push((with(&name.ident), name.ident.to_string())),
        UseTree::Rename(name) => leaves.push((with(&name.ident), name.rename.to_string())),
        UseTree::Glob(_) => leaves.push((before.to_vec(), "*".to_owned())),
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module that a file is; none for the root of a crate.
fn names_of(file: &Path) -> Names {
    let file = file.with_extension("");
    let mut names: Names = file
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.last().is_some_and(|name| name == "mod")
        || matches!(&names[..], [root] if root == "lib")
    {
        names.pop();
    }
    names
}

fn shown(names: &Names) -> String {
    match names[..] {
        [] => "lib".to_owned(),
        _ => names.join("::"),
    }
}

#[test]
fn no_import_points_upwards() {
    let sources = Crate::read("src");
    let layer = |names: &Names| {
        let name = names.first().map_or("lib", String::as_str);
        LAYERS
            .iter()
            .position(|layer| *layer == name)
            .unwrap_or_else(|| panic!("{name} has no layer: add it to LAYERS"))
    };
    let upwards: Vec<_> = sources
        .imports(true)
        .iter()
        .filter(|(from, to)| from[..] != ["main"] && layer(to) < layer(from))
        .map(|(from, to)| format!("{} imports {}", shown(from), shown(to)))
        .collect();
    assert!(upwards.is_empty(), "upwards:\n{}", upwards.join("\n"));
}

#[test]
fn no_files_import_each_other() {
    let crates = ["src", "../zombie-trace-ebpf/src", "../xtask/src"];
    let circles: Vec<_> = crates
        .iter()
        .flat_map(|sources| {
            let circles = Crate::read(sources).circles();
            circles
                .into_iter()
                .map(move |circle| format!("{sources}: {circle}"))
        })
        .collect();
    assert!(circles.is_empty(), "in a circle:\n{}", circles.join("\n"));
}

/// The name of a type that other files can use.
fn shared_type(item: &Item) -> Option<&Ident> {
    let (visibility, name) = match item {
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        Item::Type(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    (!matches!(visibility, Visibility::Inherited)).then_some(name)
}

#[test]
fn no_two_types_share_a_name() {
    for crates in [
        &["src", "../zombie-trace-common/src"][..],
        &["../xtask/src"],
    ] {
        let mut files = Vec::new();
        for sources in crates {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(sources);
            find(&root, &mut files);
        }
        // Their names are the protocol's.
        files.retain(|file| !file.ends_with("metrics/otlp_messages.rs"));
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in &files {
            let syntax = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
            for name in syntax.items.iter().filter_map(shared_type) {
                let files = found.entry(name.to_string()).or_default();
                files.push(file.display().to_string());
            }
        }
        let shared: Vec<_> = found
            .iter()
            .filter(|(_, files)| files.len() > 1)
            .map(|(name, files)| format!("{name}: {}", files.join(", ")))
            .collect();
        assert!(shared.is_empty(), "more than once:\n{}", shared.join("\n"));
    }
}
