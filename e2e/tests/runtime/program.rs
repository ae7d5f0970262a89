//! Programs of real runtimes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::context::{self, fresh_path, on_path, succeeds};

/// A program by its source.
#[derive(Clone, Copy)]
pub(super) enum Program {
    Python(&'static str),
    Node(&'static str),
    Bash(&'static str),
    Dash(&'static str),
    Perl(&'static str),
    Ruby(&'static str),
    Php(&'static str),
    C(&'static str),
    Go(&'static str),
    /// A class `Main`.
    Java(&'static str),
    /// This program itself, whose tokio runtime is no longer driven.
    Tokio,
}

/// Has this program be a parent with tokio.
pub(crate) const TOKIO: &str = "ZOMBIE_TRACE_E2E_TOKIO";

impl Program {
    /// Why it can't run here, if so.
    pub(super) fn missing(self) -> Option<String> {
        let lacks = |name: &str| {
            on_path(name)
                .is_none()
                .then(|| format!("no {name} on PATH"))
        };
        match self {
            // Without asking it: each test's process comes here once for each case, and a wrapper takes
            // a tenth of a second of CPU time.
            Self::Python(_) => lacks("python3"),
            Self::Node(_) => lacks("node"),
            Self::Bash(text) => lacks("bash").or_else(|| {
                let needs_node = text.contains("exec node");
                lacks("node").filter(|_| needs_node)
            }),
            Self::Dash(_) => lacks("dash"),
            Self::Perl(_) => lacks("perl"),
            Self::Ruby(_) => lacks("ruby"),
            Self::Php(_) => lacks("php"),
            Self::C(_) => lacks("cc"),
            Self::Go(_) => lacks("go"),
            Self::Java(_) => lacks("java").or_else(|| lacks("javac")),
            Self::Tokio => None,
        }
    }

    /// Only the full setup installs it.
    pub(super) fn is_heavy(self) -> bool {
        matches!(
            self,
            Self::Go(_) | Self::Java(_) | Self::Php(_) | Self::Ruby(_)
        )
    }

    /// Its command line, built if need be.
    pub(super) fn command(self) -> Result<Vec<String>, String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Ok(match self {
            Self::Python(text) => {
                let python = python().ok_or("python3 does not say where it is")?;
                words(&[shown(&python)?, "-c", text])
            }
            Self::Node(text) => words(&["node", "-e", text]),
            Self::Bash(text) => words(&["bash", "-c", text]),
            Self::Dash(text) => words(&["dash", "-c", text]),
            Self::Perl(text) => words(&["perl", "-e", text]),
            Self::Ruby(text) => words(&["ruby", "-e", text]),
            Self::Php(text) => words(&["php", "-r", text]),
            Self::C(text) => {
                let (source, program) = source("parent.c", text)?;
                succeeds(
                    Command::new("cc")
                        .args(["-O1", "-pthread", "-o"])
                        .args([&program, &source]),
                )?;
                words(&[shown(&program)?])
            }
            Self::Go(text) => {
                let (source, program) = source("parent.go", text)?;
                let cache = program.with_file_name("cache");
                succeeds(
                    Command::new("go")
                        .args(["build", "-o"])
                        .args([&program, &source])
                        .env("GO111MODULE", "off")
                        .env("GOCACHE", cache),
                )?;
                words(&[shown(&program)?])
            }
            Self::Java(text) => {
                let (source, _) = source("Main.java", text)?;
                let directory = source.parent().ok_or("it is in a directory")?;
                succeeds(
                    Command::new("javac")
                        .arg("-d")
                        .args([directory, source.as_path()]),
                )?;
                words(&["java", "-cp", shown(directory)?, "Main"])
            }
            Self::Tokio => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                words(&["env", &format!("{TOKIO}=1"), shown(&this)?])
            }
        })
    }
}

fn shown(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{path:?}"))
}

/// Where a source is, and where its program is to be.
fn source(name: &str, text: &str) -> Result<(PathBuf, PathBuf), String> {
    let directory = fresh_path("source");
    let path = directory.join(name);
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((path, directory.join("parent")))
}

/// A wrapper that chooses among versions is a program of its own: the interpreter knows its path.
fn python() -> Option<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim())).filter(|path| path.is_file())
}

/// The parent that [`TOKIO`] asks for: it keeps its child, but does not drive the runtime any more.
pub(crate) fn tokio_parent() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let child = runtime.block_on(async { tokio::process::Command::new("true").spawn() });
    std::thread::sleep(context::FOREVER);
    drop(child);
}
