//! The licences of everything that is linked into the program.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::folder::{files, name};
use crate::arch::Arch;
use crate::metadata::{CratePackage, Metadata};
use crate::paths;

/// The project's licences, and then each text once, below the crates that it is for.
pub(super) fn copyright(arch: &Arch) -> Result<String> {
    let mut text = String::from(
        "zombie-trace: MIT OR Apache-2.0, at your choice. The eBPF programs in it are under \
         GPL-2.0-only as well.\n\n\
         It is linked with Rust's standard library (MIT OR Apache-2.0), the GNU C library \
         (LGPL-2.1-or-later), and the crates below.\n",
    );
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "LICENSE-GPL-2.0"] {
        text += &section(&format!("zombie-trace, {file}"));
        text += &fs::read_to_string(paths::root().join(file))?;
    }
    let mut by_text: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked(arch)? {
        let title = format!(
            "{} {} ({})",
            package.name,
            package.version,
            package.license.as_deref().unwrap_or("see below")
        );
        let dir = Path::new(&package.manifest_path)
            .parent()
            .context("a folder")?;
        for file in files(dir)? {
            let upper = name(&file).to_uppercase();
            if ["LICENSE", "LICENCE", "COPYING", "NOTICE"]
                .iter()
                .any(|word| upper.starts_with(word))
            {
                let licence = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
                let title = format!("{title}, {}", name(&file));
                by_text.entry(licence).or_default().insert(title);
            }
        }
    }
    for (licence, titles) in by_text {
        text += &section(&titles.into_iter().collect::<Vec<_>>().join("\n"));
        text += &licence;
    }
    Ok(text)
}

fn section(title: &str) -> String {
    format!("\n{0}\n{title}\n{0}\n\n", "-".repeat(79))
}

/// The crates in the program: what it depends on, without procedural macros and what only tests and
/// build scripts use.
fn linked(arch: &Arch) -> Result<Vec<CratePackage>> {
    let Metadata { packages, resolve } = Metadata::of(&[arch])?;
    let nodes: HashMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut packages: HashMap<String, CratePackage> = packages
        .into_iter()
        .map(|package| (package.id.clone(), package))
        .collect();
    let program = packages
        .values()
        .find(|package| package.name == "zombie-trace");
    let mut open = vec![program.context("the program")?.id.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let is_macro = packages[&id]
            .targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"));
        if is_macro || !seen.insert(id.clone()) {
            continue;
        }
        let deps = nodes.get(&id).map_or(&[][..], |node| &node.deps);
        open.extend(
            deps.iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                .map(|dep| dep.pkg.clone()),
        );
    }
    let linked = seen.iter().filter_map(|id| packages.remove(id));
    Ok(linked
        .filter(|package| !package.name.starts_with("zombie-trace"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{AMD64, ARM64};

    #[test]
    fn every_linked_crate_has_a_licence() {
        for arch in [&AMD64, &ARM64] {
            linked_crates_have_a_licence(arch);
        }
    }

    fn linked_crates_have_a_licence(arch: &Arch) {
        let linked = linked(arch).unwrap();
        let names: Vec<_> = linked.iter().map(|package| package.name.as_str()).collect();
        assert!(names.contains(&"aya"), "{names:?}");
        assert!(names.contains(&"zstd-sys"), "{names:?}");
        for not_in_it in ["proptest", "serde_derive", "syn"] {
            assert!(!names.contains(&not_in_it), "{not_in_it}");
        }
        assert!(linked.iter().all(|package| package.license.is_some()));
        let text = copyright(arch).unwrap();
        for part in [
            "aya 0.14",
            "Permission is hereby granted",
            "GNU GENERAL PUBLIC LICENSE",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
