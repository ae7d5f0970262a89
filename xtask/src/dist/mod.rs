//! `cargo xtask dist`: what a release consists of, in target/dist, the same to the byte each time.

mod archive;
mod build;
mod contents;
mod deb;
mod folder;
mod install;
mod licences;
mod machine;
mod product;
mod program;
mod release;
mod rpm;
mod tree;
mod trial;
mod verify;

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;

use crate::arch::{self, Arch};
use crate::ebpf::sha256;
use crate::{cross, packages, paths, process};
use folder::{files, name, recreate};
use product::Product;
use release::Release;

/// The programs that make packages, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 4] = [
    ("dpkg-deb", "dpkg"),
    ("rpmbuild", "rpm"),
    ("man", "man-db"),
    ("cc", "gcc"),
];

/// Which packages, and how sure it is to be.
#[derive(Args)]
pub(crate) struct DistArgs {
    /// The packages of this architecture only, by Debian's name
    #[arg(long)]
    arch: Option<arch::Name>,

    /// Build everything a second time, in another folder, and compare it byte by byte
    #[arg(long)]
    twice: bool,
}

/// Builds the packages, installs each in an empty root, and tries it.
pub(crate) fn run(args: &DistArgs) -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        bail!("packages are built on x86-64 machines only, those for arm64 too");
    }
    for (program, package) in PROGRAMS {
        if process::find_program(program).is_none() {
            packages::install(&[package])?;
        }
    }
    let arches = match args.arch {
        Some(arch) => vec![arch.arch()],
        None => vec![&arch::AMD64, &arch::ARM64],
    };
    // Before any build: whether all can be built here.
    for arch in &arches {
        cross::target(arch)?;
    }
    let release = Release::of_commit()?;
    let dist = paths::target_dir().join("dist");
    make_all(&release, &arches, &paths::target_dir(), &dist)?;
    if args.twice {
        let again = paths::target_dir().join("dist-again");
        recreate(&again)?;
        make_all(&release, &arches, &again.join("build"), &again.join("dist"))?;
        compare(&dist, &again.join("dist"))?;
        println!("built twice: the same to the byte");
    }
    verify::all(&release, &arches, &dist)?;
    println!("{}", dist.display());
    for file in files(&dist)? {
        println!("  {}", name(&file));
    }
    Ok(())
}

fn make_all(
    release: &Release,
    arches: &[&'static Arch],
    target_dir: &Path,
    dist: &Path,
) -> Result<()> {
    let completions = product::completions(target_dir)?;
    let products = arches
        .iter()
        .map(|arch| Product::build(release, arch, &completions, target_dir))
        .collect::<Result<Vec<_>>>()?;
    recreate(dist)?;
    for product in &products {
        let work = dist.with_extension("work");
        recreate(&work)?;
        archive::make(product, &work, dist)?;
        deb::make(product, &work, dist)?;
        rpm::make(product, &work, dist)?;
        fs::remove_dir_all(&work)?;
    }
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
