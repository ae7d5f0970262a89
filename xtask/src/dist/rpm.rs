//! The RPM package.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::deb::{DESCRIPTION, SUMMARY};
use super::{product::Product, tree};
use crate::arch::Arch;
use crate::process;

/// No debug package, no stripping, and nothing of this machine or of today.
const MACROS: [&str; 8] = [
    "_build_id_links none",
    "debug_package %{nil}",
    "__os_install_post %{nil}",
    "_buildhost localhost",
    "use_source_date_epoch_as_buildtime 1",
    "clamp_mtime_to_source_date_epoch 1",
    "_binary_payload w9.gzdio",
    "_docdir /usr/share/doc",
];

pub(super) fn file_name(version: &str, arch: &Arch) -> String {
    format!("zombie-trace-{version}-1.{}.rpm", arch.rpm)
}

pub(super) fn make(product: &Product<'_>, work: &Path, dist: &Path) -> Result<()> {
    let root = work.join("rpm-root");
    let zsh = "usr/share/zsh/site-functions/_zombie-trace";
    tree::system(product, &root, zsh)?;
    let spec = format!(
        "Name: zombie-trace\n\
         Version: {}\n\
         Release: 1\n\
         Summary: {SUMMARY}\n\
         License: (MIT OR Apache-2.0) AND GPL-2.0-only\n\
         AutoReqProv: no\n\n\
         %description\n{}\n\n\
         %install\ncp -a {}/. %{{buildroot}}/\n\n\
         %files\n\
         %attr(0755,root,root) /usr/bin/zombie-trace\n\
         %attr(0644,root,root) /usr/lib/systemd/system/zombie-trace.service\n\
         %attr(0644,root,root) /usr/share/man/man1/*\n\
         %attr(0644,root,root) /usr/share/bash-completion/completions/zombie-trace\n\
         %attr(0644,root,root) /usr/share/fish/vendor_completions.d/zombie-trace.fish\n\
         %attr(0644,root,root) /usr/share/zsh/site-functions/_zombie-trace\n\
         %defattr(0644,root,root,0755)\n\
         %doc /usr/share/doc/zombie-trace\n",
        product.release.version,
        DESCRIPTION.join("\n"),
        root.display()
    );
    let file = work.join("zombie-trace.spec");
    fs::write(&file, spec)?;
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--target"]);
    rpmbuild.arg(format!("{}-linux", product.arch.rpm));
    for line in MACROS {
        rpmbuild.arg("--define").arg(line);
    }
    process::run(
        rpmbuild
            .arg("--define")
            .arg(format!("_topdir {}", work.join("rpm").display()))
            .arg("--define")
            .arg(format!("_rpmdir {}", dist.display()))
            .args([
                "--define",
                "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            ])
            .arg(&file)
            .env("SOURCE_DATE_EPOCH", product.release.date.to_string()),
    )
}
