//! `cargo xtask setup`: what this machine needs, found or installed.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::dependencies;
use crate::ebpf::tools;
use crate::packages;
use crate::privilege::Privilege;
use crate::process::find_program;

/// What a program is needed for; whoever needs more needs the rest as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask test --all`.
    All,
}

/// A program, who needs it, and the Debian package or the component of rustup that it comes in.
type Program = (&'static str, Need, Install);

enum Install {
    Package(&'static str),
    RustupComponent(&'static str),
}
use Install::{Package, RustupComponent};

const PROGRAMS: [Program; 20] = [
    ("cargo-fmt", Need::Test, RustupComponent("rustfmt")),
    ("cargo-clippy", Need::Test, RustupComponent("clippy")),
    ("cc", Need::Test, Package("gcc")),
    ("strace", Need::Test, Package("strace")),
    // Containers. runc is not on the path of every root shell.
    ("/usr/sbin/runc", Need::Test, Package("runc")),
    ("tini", Need::Test, Package("tini")),
    ("busybox", Need::Test, Package("busybox-static")),
    // Parents of zombies, whose runtime is what a test is about.
    ("/usr/bin/python3", Need::Test, Package("python3")),
    ("node", Need::All, Package("nodejs")),
    ("go", Need::All, Package("golang-go")),
    ("javac", Need::All, Package("default-jdk-headless")),
    ("php", Need::All, Package("php-cli")),
    ("ruby", Need::All, Package("ruby")),
    // Looks at the page of `report --html`.
    ("chromium", Need::All, Package("chromium")),
    // What deploy/ is for.
    ("buildah", Need::All, Package("buildah")),
    ("/usr/lib/systemd/systemd", Need::All, Package("systemd")),
    ("/usr/bin/systemd-analyze", Need::All, Package("systemd")),
    // The recipes of docs/load-testing.md, whose scripts also need python3.
    ("make", Need::All, Package("make")),
    ("ab", Need::All, Package("apache2-utils")),
    ("wrk", Need::All, Package("wrk")),
];

/// `cargo xtask setup`: makes this machine ready for everything, or says all that is missing.
pub(crate) fn run() -> Result<()> {
    let missing = missing_after_install(Need::All);
    if !missing.is_empty() {
        bail!("this machine is not ready:\n  {}", missing.join("\n  "));
    }
    Ok(())
}

/// Installs what can be installed, and gives the reasons for the rest.
pub(crate) fn missing_after_install(need: Need) -> Vec<String> {
    let mut missing = Vec::new();
    match tools::find_or_install() {
        Ok(tools) => {
            println!("{:<26}{}", "rustc", tools.toolchain);
            println!("{:<26}{}", "bpf-linker", tools.linker);
        }
        Err(error) => missing.push(format!("eBPF tools: {error:#}")),
    }
    for (name, _, install) in PROGRAMS.iter().filter(|program| program.1 <= need) {
        match find_or_install(name, install) {
            Ok(path) => println!("{name:<26}{}", path.display()),
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    // It takes minutes to build. Without it, `dependencies` checks less.
    if need >= Need::All
        && let Err(error) = dependencies::find_or_install()
    {
        missing.push(format!("cargo-deny: {error:#}"));
    }
    let rights = match Privilege::detect() {
        Privilege::Root => "root".into(),
        Privilege::Sudo => "through sudo".into(),
        Privilege::None(reason) => format!("none ({reason}): the end-to-end tests can't run"),
    };
    println!("{:<26}{rights}", "rights");
    missing
}

fn find_or_install(name: &str, install: &Install) -> Result<PathBuf> {
    if let Some(path) = find_program(name) {
        return Ok(path);
    }
    match install {
        Package(package) => packages::install(&[package])?,
        RustupComponent(component) => {
            bail!("not on PATH: run `rustup component add {component}`")
        }
    }
    find_program(name).context("installed, but not on PATH")
}
