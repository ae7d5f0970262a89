//! `cargo xtask dist`: what a release consists of, in target/dist, the same to the byte each time.

mod archive;
mod build;
mod deb;
mod folder;
mod licences;
mod release;
mod rpm;
mod tree;
mod verify;

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;

use crate::ebpf::sha256;
use crate::{packages, paths, process};
use folder::{files, name, recreate};
use release::Release;

/// The programs that make packages, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 4] = [
    ("dpkg-deb", "dpkg"),
    ("rpmbuild", "rpm"),
    ("man", "man-db"),
    ("cc", "gcc"),
];

/// How sure it is to be.
#[derive(Args)]
pub(crate) struct DistArgs {
    /// Build everything a second time, in another folder, and compare it byte by byte
    #[arg(long)]
    twice: bool,
}

/// Builds the packages, installs each in an empty root, and tries it.
pub(crate) fn run(args: &DistArgs) -> Result<()> {
    for (program, package) in PROGRAMS {
        if process::find_program(program).is_none() {
            packages::install(&[package])?;
        }
    }
    let release = Release::of_commit()?;
    let dist = paths::target_dir().join("dist");
    let binary = build::static_binary(&paths::target_dir())?;
    make_all(&release, &binary, &dist)?;
    if args.twice {
        let again = paths::target_dir().join("dist-again");
        let binary = build::static_binary(&again.join("build"))?;
        make_all(&release, &binary, &again.join("dist"))?;
        compare(&dist, &again.join("dist"))?;
        println!("built twice: the same to the byte");
    }
    verify::all(&dist)?;
    println!("{}", dist.display());
    for file in files(&dist)? {
        println!("  {}", name(&file));
    }
    Ok(())
}

fn make_all(release: &Release, binary: &Path, dist: &Path) -> Result<()> {
    recreate(dist)?;
    let work = dist.with_extension("work");
    recreate(&work)?;
    archive::make(release, binary, &work, dist)?;
    deb::make(release, binary, &work, dist)?;
    rpm::make(release, binary, &work, dist)?;
    fs::remove_dir_all(&work)?;
    let sums: Vec<String> = files(dist)?
        .iter()
        .map(|file| Ok(format!("{}  {}\n", sha256(&fs::read(file)?), name(file))))
        .collect::<Result<_>>()?;
    fs::write(dist.join("SHA256SUMS"), sums.concat())?;
    Ok(())
}

fn compare(one: &Path, other: &Path) -> Result<()> {
    let names = |dir| -> Result<Vec<_>> { Ok(files(dir)?.iter().map(|file| name(file)).collect()) };
    if names(one)? != names(other)? {
        bail!("the second build has other files");
    }
    for file in files(one)? {
        if fs::read(&file)? != fs::read(other.join(name(&file)))? {
            bail!("{} differs from that of the second build", file.display());
        }
    }
    Ok(())
}
