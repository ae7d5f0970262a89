//! The manifests can be published, and the oldest supported cargo reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The packages of the workspace that can be published.
fn published() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        // `publish = false` is an empty list of registries.
        .filter(|package| package["publish"].is_null())
        .cloned()
        .collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    let name = &package["name"];
    package[key]
        .as_str()
        .unwrap_or_else(|| panic!("{name} has no {key}"))
}

#[test]
fn what_is_published_says_what_it_is() {
    let packages = published();
    let names: Vec<_> = packages
        .iter()
        .map(|package| text(package, "name"))
        .collect();
    assert_eq!(names, ["zombie-trace", "zombie-trace-common"]);
    for package in &packages {
        let directory = Path::new(text(package, "manifest_path")).parent().unwrap();
        assert!(text(package, "description").len() > 20);
        assert!(directory.join(text(package, "readme")).is_file());
        assert_eq!(text(package, "rust_version"), "1.88");
        for licence in text(package, "license").split([' ', '(', ')']) {
            let file = match licence {
                "MIT" => "LICENSE-MIT",
                "Apache-2.0" => "LICENSE-APACHE",
                "GPL-2.0-only" => "LICENSE-GPL-2.0",
                _ => continue,
            };
            // A link to the text at the top: a package has no other.
            let own = fs::read(directory.join(file)).unwrap();
            assert_eq!(own, fs::read(root().join(file)).unwrap(), "{file}");
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_local = !dependency["path"].is_null();
            let version = text(dependency, "req");
            assert!(!is_local || version.starts_with('='), "{dependency}");
        }
    }
}

/// The program embeds the eBPF object, whose licence the kernel demands.
#[test]
fn the_program_is_under_the_licence_of_its_object_too() {
    let manifest = fs::read_to_string(root().join("zombie-trace-ebpf/Cargo.toml")).unwrap();
    let ebpf: toml::Table = manifest.parse().unwrap();
    let packages = published();
    let program = packages
        .iter()
        .find(|package| package["name"] == "zombie-trace");
    assert_eq!(
        text(program.unwrap(), "license"),
        ebpf["package"]["license"].as_str().unwrap()
    );
}

/// Newer ones read TOML 1.1, which cargo 1.88 refuses.
#[test]
fn manifests_are_toml_1_0() {
    let mut manifests = vec![root().join("Cargo.toml")];
    for entry in fs::read_dir(root()).unwrap() {
        let manifest: PathBuf = entry.unwrap().path().join("Cargo.toml");
        if manifest.exists() {
            manifests.push(manifest);
        }
    }
    assert!(manifests.len() > 5, "{manifests:?}");
    for manifest in manifests {
        let text = fs::read_to_string(&manifest).unwrap();
        if let Err(error) = text.parse::<toml::Table>() {
            panic!("{}: {error}", manifest.display());
        }
    }
    let newer = "[dependencies]\nserde = { version = \"1\", }\n";
    assert!(
        newer.parse::<toml::Table>().is_err(),
        "this parser reads 1.1"
    );
}
