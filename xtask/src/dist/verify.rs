//! Each package, installed in an empty root and tried.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::folder::{files, name, recreate};
use crate::paths;
use crate::privilege::Privilege;
use crate::process::{output, run};

pub(super) fn all(dist: &Path) -> Result<()> {
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = &privilege {
        println!("not installed and tried ({reason})");
        return Ok(());
    }
    let roots = paths::target_dir().join("dist-roots");
    for file in files(dist)? {
        let package = name(&file);
        let root = roots.join(&package);
        recreate(&root)?;
        if package.ends_with(".deb") {
            install_deb(&privilege, &file, &root)?;
            tried(&privilege, &root)?;
        } else if package.ends_with(".rpm") {
            let mut rpm = privilege.command("rpm", &[])?;
            rpm.args(["--install", "--nodeps", "--root"]);
            run(rpm.arg(&root).arg(&file))?;
            tried(&privilege, &root)?;
        } else if package.ends_with(".tar.gz") {
            run(Command::new("tar")
                .arg("-xzf")
                .arg(&file)
                .arg("-C")
                .arg(&root))?;
            let top = root.join(package.trim_end_matches(".tar.gz"));
            version(&mut Command::new(top.join("zombie-trace")))?;
            man(&top.join("man/zombie-trace.1"))?;
            completes(&top.join("completions/zombie-trace.bash"))?;
        }
    }
    run(Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(dist))?;
    run(privilege.command("rm", &[])?.arg("-r").arg(&roots))
}

/// By dpkg itself, into a root without any other package.
fn install_deb(privilege: &Privilege, file: &Path, root: &Path) -> Result<()> {
    for dir in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(dir))?;
    }
    for list in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(list), "")?;
    }
    let mut dpkg = privilege.command("dpkg", &[])?;
    dpkg.arg(format!("--root={}", root.display()));
    run(dpkg.args(["--force-not-root", "--install"]).arg(file))
}

/// The program runs with nothing else in its root; the manual and completion are where they belong.
fn tried(privilege: &Privilege, root: &Path) -> Result<()> {
    let mut chroot = privilege.command("chroot", &[])?;
    version(chroot.arg(root).arg("/usr/bin/zombie-trace"))?;
    man(&root.join("usr/share/man/man1/zombie-trace.1.gz"))?;
    completes(&root.join("usr/share/bash-completion/completions/zombie-trace"))?;
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/zombie-trace.service"))?;
    if !unit.contains("ExecStart=/usr/bin/zombie-trace serve") {
        bail!("the unit does not start what is installed:\n{unit}");
    }
    Ok(())
}

fn version(command: &mut Command) -> Result<()> {
    let text = output(command.arg("--version"))?;
    let expected = concat!("zombie-trace ", env!("CARGO_PKG_VERSION"));
    match text.trim() == expected {
        true => Ok(()),
        false => bail!("{text:?} instead of {expected}"),
    }
}

fn man(page: &Path) -> Result<()> {
    let text = output(
        Command::new("man")
            .arg("--local-file")
            .arg(page)
            .env("MANPAGER", "cat"),
    )?;
    match text.contains("SYNOPSIS") && text.contains("--fail-if") {
        true => Ok(()),
        false => bail!("man shows no manual of {}", page.display()),
    }
}

/// bash completes `zombie-trace doc` to `doctor`.
fn completes(script: &Path) -> Result<()> {
    const TRY: &str = "source \"$0\"; COMP_WORDS=(zombie-trace doc); COMP_CWORD=1; \
                       $(complete -p zombie-trace | sed 's/.*-F \\([^ ]*\\).*/\\1/') zombie-trace doc zombie-trace; \
                       echo \"${COMPREPLY[@]}\"";
    let text = output(Command::new("bash").args(["-c", TRY]).arg(script))
        .with_context(|| format!("completion by {}", script.display()))?;
    match text.trim() == "doctor" {
        true => Ok(()),
        false => bail!("`zombie-trace doc` is completed to {text:?}"),
    }
}
