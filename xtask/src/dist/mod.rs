//! `cargo xtask dist`: what a release consists of, in target/dist, the same to the byte each time.

mod archive;
mod build;
mod deb;
mod licences;
mod rpm;
mod tree;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::ebpf::sha256;
use crate::{packages, paths, process};

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

/// What all packages say of themselves.
struct Release {
    version: String,
    /// Of the commit, in seconds: the newest that any packaged file may be.
    date: u64,
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

impl Release {
    fn of_commit() -> Result<Self> {
        let date = process::output(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(paths::root()),
        )?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: date.trim().parse().context("the commit's date")?,
        })
    }
}

/// The files of a folder, by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(dir)
        .with_context(|| format!("cannot list {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn recreate(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}
