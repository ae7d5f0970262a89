//! What the tests run, and where.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use zombie_trace_e2e::Catalogued;

use crate::backend;

fn program(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(
        || {
            // target/PROFILE/deps/e2e-HASH
            let test = env::current_exe().expect("this executable");
            test.ancestors()
                .nth(2)
                .expect("a profile directory")
                .join(name)
        },
        PathBuf::from,
    )
}

/// Longer than any test runs.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// Whether the machine is emulated, as the test kernels' is.
pub(crate) fn is_emulated() -> bool {
    env::var_os("ZOMBIE_TRACE_EMULATED").is_some()
}

/// Whether those tests are to be run too that are left to `cargo xtask test --all`.
pub(crate) fn is_long() -> bool {
    env::var_os("ZOMBIE_TRACE_E2E_LONG").is_some()
}

/// A copy of the tracer that every user can run.
pub(crate) fn zombie_trace() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| copy("ZOMBIE_TRACE_BIN", "zombie-trace"))
}

/// The backend that every tracer is to use.
pub(crate) fn forced_backend() -> Option<String> {
    env::var("ZOMBIE_TRACE_BACKEND").ok()
}

/// A copy of the scenario program that every user can run.
pub(crate) fn scenario() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| copy("ZOMBIE_TRACE_SCENARIO", "scenario"))
}

/// A copy of the load generator that every user can run.
pub(crate) fn load() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| copy("ZOMBIE_TRACE_LOAD", "load"))
}

/// An example of the library.
pub(crate) fn example(name: &str) -> PathBuf {
    program("ZOMBIE_TRACE_EXAMPLES", "examples").join(name)
}

/// Why this example can't be run, if so.
pub(crate) fn no_example(name: &str) -> Option<String> {
    let path = example(name);
    (!path.is_file()).then(|| format!("no {} (set ZOMBIE_TRACE_EXAMPLES)", path.display()))
}

/// The program of the crate outside of the workspace.
pub(crate) fn outside_crate() -> PathBuf {
    program("ZOMBIE_TRACE_OUTSIDE", "../outside/debug/outside")
}

/// Why that can't be run, if so.
pub(crate) fn no_outside_crate() -> Option<String> {
    let path = outside_crate();
    (!path.is_file()).then(|| format!("no {} (set ZOMBIE_TRACE_OUTSIDE)", path.display()))
}

/// What the process of one test is told by the harness: its directory, where programs are, and
/// what has been found out.
pub(crate) fn passed_on() -> Vec<(&'static str, OsString)> {
    // The copies are made before any process looks for them.
    let _ = (zombie_trace(), scenario(), load());
    let own = fresh_path("test");
    fs::create_dir(&own).expect("a temporary directory");
    vec![
        (OWN_DIRECTORY, own.into_os_string()),
        (PROGRAMS, directory().to_owned().into_os_string()),
        (EXAMINATION, backend::examination().to_string().into()),
    ]
}

/// The temporary directory of one test, which the harness has made and removes.
const OWN_DIRECTORY: &str = "ZOMBIE_TRACE_E2E_DIRECTORY";

/// The directory with copies of the programs, which the harness has made.
const PROGRAMS: &str = "ZOMBIE_TRACE_E2E_PROGRAMS";

/// What `doctor --json` says.
const EXAMINATION: &str = "ZOMBIE_TRACE_E2E_EXAMINATION";

/// What the harness was told by `doctor --json`, if it has run this process.
pub(crate) fn known_examination() -> Option<String> {
    env::var(EXAMINATION).ok()
}

/// Where the tests were built may be closed to others.
fn copy(variable: &str, name: &str) -> PathBuf {
    if let Some(programs) = env::var_os(PROGRAMS) {
        return Path::new(&programs).join(name);
    }
    let copy = directory().join(name);
    if let Err(error) = fs::copy(program(variable, name), &copy) {
        panic!("copying {name}: {error}");
    }
    copy
}

/// Why nothing can run, if so.
pub(crate) fn missing() -> Option<String> {
    // SAFETY: it cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("not root".into());
    }
    [
        ("ZOMBIE_TRACE_BIN", "zombie-trace"),
        ("ZOMBIE_TRACE_SCENARIO", "scenario"),
        ("ZOMBIE_TRACE_LOAD", "load"),
    ]
    .into_iter()
    .map(|(variable, name)| (variable, program(variable, name)))
    .find(|(_, path)| !path.is_file())
    .map(|(variable, path)| format!("no {} (set {variable})", path.display()))
}

/// Why this scenario can't run, if so.
pub(crate) fn cannot_run(scenario_name: &str) -> Option<String> {
    static CATALOGUE: OnceLock<Vec<Catalogued>> = OnceLock::new();
    if missing().is_some() {
        return None;
    }
    let catalogue = CATALOGUE.get_or_init(|| {
        let output = Command::new(scenario())
            .arg("--list")
            .output()
            .expect("scenario --list");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of scenario --list"))
            .collect()
    });
    match catalogue.iter().find(|entry| entry.name == scenario_name) {
        Some(entry) => entry.skip.clone(),
        None => Some(format!("scenario has no {scenario_name}")),
    }
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(own) = env::var_os(OWN_DIRECTORY) {
            return own.into();
        }
        let path = env::temp_dir().join(format!("zt-e2e-{}", std::process::id()));
        fs::create_dir(&path).expect("a temporary directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its permissions");
        path
    })
}

/// A path in the temporary directory that no other call gets.
pub(crate) fn fresh_path(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    directory().join(format!(
        "{:03}-{name}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    ))
}

/// Removes the temporary directory.
pub(crate) fn clean_up() {
    if missing().is_none() {
        let _ = fs::remove_dir_all(directory());
    }
}

/// What a thread has read from a pipe so far.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    /// Reads the pipe in a thread, to its end.
    pub(crate) fn collect(&self, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let collected = self.clone();
        thread::spawn(move || {
            let mut piece = [0; 65536];
            // A terminal's controller fails with EIO once its last user is gone.
            while let Ok(len @ 1..) = pipe.read(&mut piece) {
                let mut bytes = collected.0.lock().expect("not poisoned");
                bytes.extend_from_slice(&piece[..len]);
            }
        })
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("not poisoned").clone()
    }

    /// All of it, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// Where cgroup v2 is mounted.
pub(crate) fn cgroup2_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem
            .starts_with("cgroup2 ")
            .then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Why a program that some test needs is not there, if so.
pub(crate) fn no_program(path: &str) -> Option<String> {
    (!Path::new(path).is_file()).then(|| format!("no {path}"))
}

/// A program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Why nothing can be built here, if so.
pub(crate) fn no_cargo() -> Option<String> {
    on_path("cargo")
        .is_none()
        .then(|| "cargo is not on root's PATH".to_owned())
}

/// Runs it; an error with all that it says, if it fails.
pub(crate) fn succeeds(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Whether the running kernel is this version or a later one.
pub(crate) fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|part| part.parse::<u32>().ok());
    (next(), next()) >= (Some(major), Some(minor))
}
