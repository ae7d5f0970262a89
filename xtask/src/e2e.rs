//! The end-to-end tests, which need root.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cross::Target;
use crate::engines::{self, Engines};
use crate::privilege::Privilege;
use crate::process::{cargo, output, run as run_command};
use crate::{artifact::executable, library, paths};

/// The package of the tests.
pub(crate) const PACKAGE: &str = "zombie-trace-e2e";
/// Its test target that needs root.
pub(crate) const TARGET: &str = "e2e";

/// Has the tests run those too that are left to `cargo xtask test --all`.
const LONG: &str = "ZOMBIE_TRACE_E2E_LONG";

/// How the tests went; that one failed is an error instead.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All passed.
    Passed,
    /// They could not run, for this reason.
    Skipped(String),
}

/// `cargo xtask e2e`: runs the tests, or says what stands in the way.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    match outcome(&[], args, true)? {
        Outcome::Passed => Ok(()),
        Outcome::Skipped(reason) => bail!("the end-to-end tests need root: {reason}"),
    }
}

/// `cargo xtask cookbook`: runs the recipes of docs/load-testing.md, and puts what they print
/// there.
pub(crate) fn cookbook() -> Result<()> {
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = privilege {
        bail!("the recipes need root: {reason}");
    }
    let document = paths::root().join("docs/load-testing.md");
    run_tests(
        &privilege,
        &Everything::build(&[])?,
        &[
            ("ZOMBIE_TRACE_COOKBOOK", document.as_os_str()),
            (LONG, OsStr::new("1")),
        ],
        &["cookbook::".into()],
    )
}

/// `cargo xtask picture`: writes docs/picture.svg.
pub(crate) fn picture() -> Result<()> {
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = privilege {
        bail!("the run in the picture needs root: {reason}");
    }
    let picture = paths::root().join("docs/picture.svg");
    run_tests(
        &privilege,
        &Everything::build(&[])?,
        &[("ZOMBIE_TRACE_PICTURE", picture.as_os_str())],
        &["picture::".into()],
    )
}

/// Builds what is tested and the tests with `envs` besides our environment, and runs them, the `long`
/// ones too or not.
pub(crate) fn outcome(envs: &[(&str, &OsStr)], args: &[OsString], long: bool) -> Result<Outcome> {
    let privilege = Privilege::detect();
    if let Privilege::None(reason) = privilege {
        return Ok(Outcome::Skipped(reason));
    }
    let programs = Everything::build(envs)?;
    if !long {
        run_tests(&privilege, &programs, &[], args)?;
        return Ok(Outcome::Passed);
    }
    let engines = Engines::find_or_fetch();
    let mut test_envs = match &engines {
        Ok(engines) => vec![
            ("ZOMBIE_TRACE_PROMETHEUS", engines.prometheus.as_os_str()),
            (
                "ZOMBIE_TRACE_VICTORIA",
                engines.victoria_metrics.as_os_str(),
            ),
        ],
        // The tests that need them say that they are skipped.
        Err(error) => {
            println!("no monitoring systems: {error:#}");
            vec![]
        }
    };
    let checker = engines::kubernetes_validate();
    match &checker {
        Ok(program) => test_envs.push(("ZOMBIE_TRACE_KUBERNETES_VALIDATE", program.as_os_str())),
        Err(error) => println!("no kubernetes-validate: {error:#}"),
    }
    let other_go = engines::go();
    match &other_go {
        Ok(root) => test_envs.push(("ZOMBIE_TRACE_GOROOT", root.as_os_str())),
        Err(error) => println!("no other version of Go: {error:#}"),
    }
    test_envs.push((LONG, OsStr::new("1")));
    run_tests(&privilege, &programs, &test_envs, args)?;
    Ok(Outcome::Passed)
}

/// Runs the tests with `envs` besides our environment and what names the programs.
fn run_tests(
    privilege: &Privilege,
    built: &Everything,
    envs: &[(&str, &OsStr)],
    args: &[OsString],
) -> Result<()> {
    let programs = &built.programs;
    let mut test_envs = vec![
        ("ZOMBIE_TRACE_BIN", programs.binary.as_os_str()),
        ("ZOMBIE_TRACE_SCENARIO", programs.scenario.as_os_str()),
        ("ZOMBIE_TRACE_LOAD", programs.load.as_os_str()),
        ("ZOMBIE_TRACE_EXAMPLES", built.examples.as_os_str()),
        ("ZOMBIE_TRACE_OUTSIDE", built.outside.as_os_str()),
    ];
    test_envs.extend(envs);
    run_command(
        privilege
            .command(&programs.tests, &test_envs)?
            .args(args)
            .current_dir(paths::root()),
    )
}

/// What the end-to-end tests take.
struct Everything {
    programs: Programs,
    /// The directory of the library's examples.
    examples: PathBuf,
    /// What uses the library from outside of the workspace.
    outside: PathBuf,
}

impl Everything {
    /// Builds it with `envs` besides our environment.
    fn build(envs: &[(&str, &OsStr)]) -> Result<Self> {
        Ok(Self {
            programs: Programs::build(None, envs)?,
            examples: library::build_examples(envs)?,
            outside: library::build_outside(envs)?,
        })
    }
}

/// What the tests in a kernel take: paths of executables.
pub(crate) struct Programs {
    /// What is tested.
    pub(crate) binary: PathBuf,
    /// What it is tested on.
    pub(crate) scenario: PathBuf,
    /// What makes storms.
    pub(crate) load: PathBuf,
    /// The tests.
    pub(crate) tests: PathBuf,
}

impl Programs {
    /// Builds them with `envs` besides our environment, for this machine or another.
    pub(crate) fn build(target: Option<&Target>, envs: &[(&str, &OsStr)]) -> Result<Self> {
        let linking = || target.map_or(Linking::Static, Linking::Cross);
        let program =
            |package: &str, name: &str| build(package, &["--bin", name], name, linking(), envs);
        // First: cargo builds the package's programs for them, too, with shared libraries, in the
        // place of ours.
        let tests = build(PACKAGE, &["--test", TARGET], TARGET, linking(), envs)?;
        Ok(Self {
            binary: program("zombie-trace", "zombie-trace")?,
            scenario: program(PACKAGE, "scenario")?,
            load: program(PACKAGE, "load")?,
            tests,
        })
    }
}

/// Which shared libraries a program needs.
enum Linking<'a> {
    /// None: it runs in containers and in the test kernels, too. Only the program itself is built
    /// for that; what it is made of is what unit tests are made of.
    Static,
    /// None, for another machine.
    Cross(&'a Target),
    /// Those of this machine, optimized as a release is.
    Release,
}

/// Links a program with no shared library.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Builds an optimized program and gives its path.
pub(crate) fn build_release(package: &str, name: &str) -> Result<PathBuf> {
    build(package, &["--bin", name], name, Linking::Release, &[])
}

fn build(
    package: &str,
    target: &[&str],
    name: &str,
    linking: Linking<'_>,
    envs: &[(&str, &OsStr)],
) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .args(["rustc", "--locked", "--package", package])
        .args(target)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(paths::root())
        .envs(envs.iter().copied());
    match linking {
        Linking::Cross(target) => command
            .args(["--target", target.name])
            .env("CARGO_ENCODED_RUSTFLAGS", STATIC)
            .envs(target.envs.iter().map(|(name, value)| (name, value))),
        Linking::Static => command.args(["--", STATIC]),
        Linking::Release => command.arg("--release"),
    };
    let messages = output(&mut command)?;
    executable(&messages, name).with_context(|| format!("cargo built no executable {name}"))
}
