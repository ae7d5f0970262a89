//! Installs packages, each in an empty root by the tool that users have for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::folder::recreate;
use super::{archive, deb, rpm};
use crate::arch::Arch;
use crate::privilege::Privilege;
use crate::process::run;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Archive,
    Deb,
    Rpm,
}

/// A package and where it is installed.
pub(super) struct Package {
    pub(super) kind: Kind,
    pub(super) arch: &'static Arch,
    pub(super) version: String,
    /// In the folder of packages.
    pub(super) file: PathBuf,
    /// The name of its root's folder.
    pub(super) name: &'static str,
    pub(super) root: PathBuf,
}

/// Where the files are that are tried, below the root.
pub(super) struct Places {
    pub(super) program: String,
    pub(super) man: String,
    pub(super) completion: String,
    pub(super) unit: Option<&'static str>,
}

impl Package {
    /// Those of an architecture, with roots below `roots`.
    pub(super) fn of(arch: &'static Arch, version: &str, dist: &Path, roots: &Path) -> [Self; 3] {
        [
            (Kind::Archive, "archive", archive::file_name(version, arch)),
            (Kind::Deb, "deb", deb::file_name(version, arch)),
            (Kind::Rpm, "rpm", rpm::file_name(version, arch)),
        ]
        .map(|(kind, name, file)| Self {
            kind,
            arch,
            version: version.to_owned(),
            file: dist.join(file),
            name,
            root: roots.join(name),
        })
    }

    pub(super) fn places(&self) -> Places {
        match self.kind {
            Kind::Archive => {
                let top = archive::stem(&self.version, self.arch);
                Places {
                    program: format!("{top}/zombie-trace"),
                    man: format!("{top}/man/zombie-trace.1"),
                    completion: format!("{top}/completions/zombie-trace.bash"),
                    unit: None,
                }
            }
            Kind::Deb | Kind::Rpm => Places {
                program: "usr/bin/zombie-trace".into(),
                man: "usr/share/man/man1/zombie-trace.1.gz".into(),
                completion: "usr/share/bash-completion/completions/zombie-trace".into(),
                unit: Some("usr/lib/systemd/system/zombie-trace.service"),
            },
        }
    }

    /// Into a root without any other package.
    pub(super) fn install(&self, privilege: &Privilege) -> Result<()> {
        recreate(&self.root)?;
        self.install_into(&self.root, privilege)
    }

    pub(super) fn install_into(&self, root: &Path, privilege: &Privilege) -> Result<()> {
        match self.kind {
            Kind::Archive => {
                let mut tar = privilege.command("tar", &[])?;
                tar.arg("-xzf").arg(&self.file).arg("-C");
                run(tar.arg(root))
            }
            Kind::Deb => self.install_deb(root, privilege),
            Kind::Rpm => {
                let mut rpm = privilege.command("rpm", &[])?;
                rpm.args(["--install", "--nodeps", "--ignorearch"]);
                // Each distribution has its own default.
                rpm.args(["--dbpath", "/var/lib/rpm", "--root"]);
                run(rpm.arg(root).arg(&self.file))
            }
        }
    }

    fn install_deb(&self, root: &Path, privilege: &Privilege) -> Result<()> {
        let admin = root.join("var/lib/dpkg");
        for dir in ["info", "updates", "triggers"] {
            fs::create_dir_all(admin.join(dir))?;
        }
        for list in ["status", "available"] {
            fs::write(admin.join(list), "")?;
        }
        // As on a machine of that architecture.
        fs::write(admin.join("arch"), format!("{}\n", self.arch.name))?;
        let mut dpkg = privilege.command("dpkg", &[])?;
        dpkg.arg(format!("--root={}", root.display()));
        run(dpkg
            .args(["--force-not-root", "--force-architecture", "--install"])
            .arg(&self.file))
    }

    /// A command that runs a program in the root.
    pub(super) fn chroot(&self, privilege: &Privilege, program: &str) -> Result<Command> {
        let mut chroot = privilege.command("chroot", &[])?;
        chroot.arg(&self.root).arg(format!("/{program}"));
        Ok(chroot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{AMD64, ARM64};
    use crate::paths;

    #[test]
    fn the_documentation_names_every_package() {
        let text = fs::read_to_string(paths::root().join("docs/install.md")).unwrap();
        for arch in [&AMD64, &ARM64] {
            let (version, here) = (env!("CARGO_PKG_VERSION"), Path::new(""));
            for package in Package::of(arch, version, here, here) {
                let file = package.file.display();
                assert!(text.contains(&format!("`{file}`")), "{file}");
            }
        }
    }
}
