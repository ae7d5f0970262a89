//! `cargo xtask check-ebpf`: is the committed object what the source gives?

use std::fs;

use anyhow::{Context, Result, bail};

use super::provenance::Provenance;
use super::tools::{self, Tools};
use super::{build, sources};
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
    let committed_path = paths::committed_object();
    let committed = fs::read(&committed_path)
        .with_context(|| format!("cannot read {}", committed_path.display()))?;
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
        println!("the rebuilt object is the committed one");
        return Ok(Verdict::Same);
    }
    if provenance.is_made_with(&tools.toolchain, &tools.linker) {
        bail!(
            "the source gives another object than the committed one: run `cargo xtask build-ebpf` \
             and commit the result"
        );
    }
    println!(
        "other tools than the recorded ones give other bytes, which proves nothing: running the \
         end-to-end tests with the rebuilt object"
    );
    test_with(&rebuilt)
}

fn check_digests(committed: &[u8], provenance: &Provenance) -> Result<()> {
    if sources::sha256(committed) != provenance.object.sha256 {
        bail!(
            "{} is not the object that provenance.toml describes: run `cargo xtask build-ebpf` \
             and commit both files",
            paths::committed_object().display()
        );
    }
    if sources::digest(paths::root())? != provenance.object.sources_sha256 {
        bail!(
            "the committed object is stale: zombie-trace-ebpf or zombie-trace-common changed \
             after it was made; run `cargo xtask build-ebpf` and commit the result"
        );
    }
    Ok(())
}

/// Builds the object in a folder where nothing was built before.
fn rebuild(tools: &Tools) -> Result<Vec<u8>> {
    let folder = paths::target_dir().join("check-ebpf");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let bytes = build::build(tools, &folder)?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(bytes)
}

/// Runs the end-to-end tests with this object. They are built apart, so that no build that embeds
/// it is mistaken for the usual one.
fn test_with(rebuilt: &[u8]) -> Result<Verdict> {
    let folder = paths::target_dir().join("rebuilt-ebpf");
    let file = folder.join("zombie-trace.bpf.o");
    build::write(&file, rebuilt)?;
    let envs = [
        ("ZOMBIE_TRACE_BPF_OBJECT", file.as_os_str()),
        ("CARGO_TARGET_DIR", folder.as_os_str()),
    ];
    Ok(match e2e::outcome(&envs, &[], false)? {
        e2e::Outcome::Passed => Verdict::OtherToolsPassed,
        e2e::Outcome::Skipped(reason) => Verdict::OtherToolsUntested(format!(
            "the object rebuilt with other tools is untested: {reason}"
        )),
    })
}
