//! The packages of the workspace and all their dependencies, by `cargo metadata`.

use std::collections::HashSet;

use anyhow::Result;
use serde::Deserialize;

use crate::arch::Arch;
use crate::paths;
use crate::process::{cargo, output};

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<CratePackage>,
    pub(crate) resolve: Resolve,
}

#[derive(Deserialize)]
pub(crate) struct CratePackage {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: String,
    /// None in the workspace.
    pub(crate) source: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<CrateTarget>,
}

/// As the manifest has it.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) req: String,
    pub(crate) path: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct CrateTarget {
    pub(crate) kind: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Dep>,
}

#[derive(Deserialize)]
pub(crate) struct Dep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
pub(crate) struct DepKind {
    /// Null for what is linked; "dev" or "build" for the rest.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// What is needed on any of these architectures.
    pub(crate) fn of(arches: &[&Arch]) -> Result<Self> {
        let mut command = cargo();
        command
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--all-features",
            ])
            .current_dir(paths::root());
        for arch in arches {
            command.args(["--filter-platform", arch.target]);
        }
        let mut metadata: Self = serde_json::from_str(&output(&mut command)?)?;
        let nodes = metadata.resolve.nodes.iter();
        let needed: HashSet<&String> = nodes.map(|node| &node.id).collect();
        metadata
            .packages
            .retain(|package| needed.contains(&package.id));
        Ok(metadata)
    }

    /// Drops what only tests need, as cargo-deny does.
    pub(crate) fn drop_dev_dependencies(&mut self) {
        let roots = self
            .packages
            .iter()
            .filter(|package| package.source.is_none());
        let mut open: Vec<String> = roots.map(|package| package.id.clone()).collect();
        let mut needed = HashSet::new();
        while let Some(id) = open.pop() {
            if !needed.insert(id.clone()) {
                continue;
            }
            let node = self.resolve.nodes.iter().find(|node| node.id == id);
            let is_needed = |dep: &&Dep| {
                let mut kinds = dep.dep_kinds.iter();
                kinds.any(|kind| kind.kind.as_deref() != Some("dev"))
            };
            let deps = node.iter().flat_map(|node| &node.deps);
            open.extend(deps.filter(is_needed).map(|dep| dep.pkg.clone()));
        }
        self.packages.retain(|package| needed.contains(&package.id));
    }
}
