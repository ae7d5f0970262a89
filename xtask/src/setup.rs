//! `cargo xtask setup`: what this machine needs, found or installed.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::ebpf::tools;
use crate::packages;
use crate::privilege::Privilege;
use crate::process::find_program;

/// A program that building or testing needs.
struct Program {
    name: &'static str,
    install: Install,
}

enum Install {
    Package(&'static str),
    RustupComponent(&'static str),
}

const PROGRAMS: [Program; 14] = [
    Program {
        name: "cc",
        install: Install::Package("gcc"),
    },
    Program {
        name: "strace",
        install: Install::Package("strace"),
    },
    // Looks at the page of `report --html`.
    Program {
        name: "chromium",
        install: Install::Package("chromium"),
    },
    // Containers.
    Program {
        // Not on the path of every root shell.
        name: "/usr/sbin/runc",
        install: Install::Package("runc"),
    },
    Program {
        name: "tini",
        install: Install::Package("tini"),
    },
    Program {
        name: "busybox",
        install: Install::Package("busybox-static"),
    },
    // What deploy/ is for.
    Program {
        name: "buildah",
        install: Install::Package("buildah"),
    },
    Program {
        name: "/usr/lib/systemd/systemd",
        install: Install::Package("systemd"),
    },
    // The recipes of docs/load-testing.md, whose scripts name their interpreter.
    Program {
        name: "/usr/bin/python3",
        install: Install::Package("python3"),
    },
    Program {
        name: "make",
        install: Install::Package("make"),
    },
    Program {
        name: "ab",
        install: Install::Package("apache2-utils"),
    },
    Program {
        name: "wrk",
        install: Install::Package("wrk"),
    },
    Program {
        name: "cargo-fmt",
        install: Install::RustupComponent("rustfmt"),
    },
    Program {
        name: "cargo-clippy",
        install: Install::RustupComponent("clippy"),
    },
];

/// Makes this machine ready, or says all that is missing.
pub(crate) fn run() -> Result<()> {
    let missing = missing_after_install();
    if !missing.is_empty() {
        bail!("this machine is not ready:\n  {}", missing.join("\n  "));
    }
    Ok(())
}

/// Installs what can be, and tells for the rest why not.
pub(crate) fn missing_after_install() -> Vec<String> {
    let mut missing = Vec::new();
    match tools::find_or_install() {
        Ok(tools) => {
            println!("{:<18}{}", "rustc", tools.toolchain);
            println!("{:<18}{}", "bpf-linker", tools.linker);
        }
        Err(error) => missing.push(format!("eBPF tools: {error:#}")),
    }
    for program in &PROGRAMS {
        match program.find_or_install() {
            Ok(path) => println!("{:<18}{}", program.name, path.display()),
            Err(error) => missing.push(format!("{}: {error:#}", program.name)),
        }
    }
    let rights = match Privilege::detect() {
        Privilege::Root => "root".into(),
        Privilege::Sudo => "through sudo".into(),
        Privilege::None(reason) => format!("none ({reason}): the end-to-end tests can't run"),
    };
    println!("{:<18}{rights}", "rights");
    missing
}

impl Program {
    fn find_or_install(&self) -> Result<PathBuf> {
        if let Some(path) = find_program(self.name) {
            return Ok(path);
        }
        match self.install {
            Install::Package(package) => packages::install(&[package])?,
            Install::RustupComponent(component) => {
                bail!("not on PATH: run `rustup component add {component}`")
            }
        }
        find_program(self.name).context("installed, but not on PATH")
    }
}
