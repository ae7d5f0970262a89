//! `cargo xtask check-ebpf`: are the committed objects what the source gives?

use std::ffi::OsStr;
use std::fs;

use anyhow::{Context, Result, bail};

use super::provenance::Provenance;
use super::tools::{self, Tools};
use super::{Built, OBJECTS, build, sources};
use crate::{e2e, paths};

/// What could be proved; that something is wrong is an error instead.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The rebuilt object is the committed one.
    Same,
    /// Other tools gave another object, with which the end-to-end tests passed.
    OtherToolsPassed,
    /// Other tools gave another object, and the end-to-end tests could not run, for this reason.
    OtherToolsUntested(String),
    /// There are no tools to rebuild it with, for this reason. The digests are right.
    NotRebuilt(String),
}

/// Checks the committed object and says what was proved.
pub(crate) fn check() -> Result<()> {
    match verdict()? {
        Verdict::Same | Verdict::OtherToolsPassed => Ok(()),
        Verdict::OtherToolsUntested(reason) | Verdict::NotRebuilt(reason) => bail!(reason),
    }
}

/// Checks the committed object.
pub(crate) fn verdict() -> Result<Verdict> {
    let mut committed = Built::default();
    for (object, bytes) in OBJECTS.iter().zip(&mut committed) {
        let path = paths::committed_objects().join(object.file);
        *bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let provenance = Provenance::read()?;
    check_digests(&committed, &provenance)?;
    println!("committed:  {}", provenance.tools());

    let tools = match tools::find() {
        Ok(tools) => tools,
        Err(error) => return Ok(Verdict::NotRebuilt(format!("{error:#}"))),
    };
    let rebuilt = rebuild(&tools)?;
    println!(
        "rebuilt:    {}",
        Provenance::of(&rebuilt, &tools.toolchain, &tools.linker)?.tools()
    );

    if rebuilt == committed {
        println!("the rebuilt objects are the committed ones");
        return Ok(Verdict::Same);
    }
    if provenance.is_made_with(&tools.toolchain, &tools.linker) {
        bail!(
            "the source gives other objects than the committed ones: run `cargo xtask build-ebpf` \
             and commit the result"
        );
    }
    println!(
        "other tools than the recorded ones give other bytes, which proves nothing: running the \
         end-to-end tests with the rebuilt objects"
    );
    test_with(&rebuilt)
}

fn check_digests(committed: &Built, provenance: &Provenance) -> Result<()> {
    for (object, bytes) in OBJECTS.iter().zip(committed) {
        if provenance.objects.sha256.get(object.file) != Some(&sources::sha256(bytes)) {
            bail!(
                "{} is not the object that provenance.toml describes: run `cargo xtask \
                 build-ebpf` and commit the result",
                paths::committed_objects().join(object.file).display()
            );
        }
    }
    if sources::digest(paths::root())? != provenance.objects.sources_sha256 {
        bail!(
            "the committed objects are stale: zombie-trace-ebpf or zombie-trace-common changed \
             after they were made; run `cargo xtask build-ebpf` and commit the result"
        );
    }
    Ok(())
}

/// Builds the objects in a folder where nothing was built before.
fn rebuild(tools: &Tools) -> Result<Built> {
    let folder = paths::target_dir().join("check-ebpf");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let bytes = build::build(tools, &folder)?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(bytes)
}

/// Runs the end-to-end tests with these objects. They are built apart, so that no build that embeds
/// them is mistaken for the usual one.
fn test_with(rebuilt: &Built) -> Result<Verdict> {
    let folder = paths::target_dir().join("rebuilt-ebpf");
    let files = OBJECTS.map(|object| (object.variable, folder.join(object.file)));
    for ((_, file), bytes) in files.iter().zip(rebuilt) {
        build::write(file, bytes)?;
    }
    let files = files.iter();
    let mut envs: Vec<(&str, &OsStr)> = files.map(|(name, file)| (*name, file.as_ref())).collect();
    envs.push(("CARGO_TARGET_DIR", folder.as_ref()));
    Ok(match e2e::outcome(&envs, &[], false)? {
        e2e::Outcome::Passed => Verdict::OtherToolsPassed,
        e2e::Outcome::Skipped(reason) => Verdict::OtherToolsUntested(format!(
            "the objects rebuilt with other tools are untested: {reason}"
        )),
    })
}
