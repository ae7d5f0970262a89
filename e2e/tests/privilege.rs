//! What the tracer can do without being root.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Outcome, Test,
    backend::{self, BACKENDS},
    check,
    command::before_exec,
    context, ensure,
    puppet::Puppet,
    tracer::{Run, Tracer, json_lines},
};

/// Bits of capability sets (include/uapi/linux/capability.h).
pub(crate) const DAC_READ_SEARCH: u32 = 2;
const SYS_PTRACE: u32 = 19;
pub(crate) const SYS_RESOURCE: u32 = 24;
pub(crate) const PERFMON: u32 = 38;
pub(crate) const BPF: u32 = 39;

/// What the error names, and tells to lower.
const PARANOID: &str = "sysctl kernel.perf_event_paranoid=2";

pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("backend::privilege-no-bpf", || {
            lacking(&[PERFMON, DAC_READ_SEARCH], "CAP_BPF")
        }),
        Test::new("backend::privilege-no-perfmon", || {
            lacking(&[BPF, DAC_READ_SEARCH], "CAP_PERFMON")
        }),
        Test::new("backend::privilege-none", || lacking(&[], "CAP_PERFMON")),
        Test::new("backend::privilege-locked-memory", || {
            lacking(&[BPF, PERFMON, DAC_READ_SEARCH], "CAP_SYS_RESOURCE")
        })
        .unless(
            context::kernel_is_at_least(5, 11)
                .then(|| "maps are no locked memory since 5.11".into()),
        ),
    ];
    for backend in BACKENDS {
        let skip = backend::problem(backend).map(|problem| format!("{backend}: {problem}"));
        let name = format!("backend::privilege-enough-{backend}");
        tests.push(Test::new(name, move || enough(backend)).unless(skip));
    }
    let skip = no_file_capabilities();
    tests.extend([
        Test::new("backend::privilege-files", files_stay_closed).unless(skip.clone()),
        Test::new("backend::privilege-file-capabilities", by_file_capabilities)
            .unless(skip.clone()),
        Test::new("backend::privilege-causes", causes).unless(skip),
        Test::new("backend::privilege-set-user-id", set_user_id),
    ]);
    tests
        .into_iter()
        .map(|test| test.unless(backend::forced()))
        .collect()
}

/// The documented `setcap` line, `=ep`, on a copy of the tracer.
fn with_file_capabilities() -> Result<PathBuf, String> {
    with_capabilities(&[])
}

/// That, with more capabilities.
fn with_capabilities(more: &[u32]) -> Result<PathBuf, String> {
    let mut capabilities = vec![BPF, PERFMON, DAC_READ_SEARCH];
    capabilities.extend(more);
    if !context::kernel_is_at_least(5, 11) {
        capabilities.push(SYS_RESOURCE);
    }
    let set = capabilities.iter().fold(0_u64, |set, bit| set | 1 << bit);
    let path = context::fresh_path("capable");
    fs::copy(context::zombie_trace(), &path)
        .and_then(|_| set_file_capabilities(&path, set))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// As setcap(8) does, `=ep`.
fn set_file_capabilities(path: &Path, set: u64) -> io::Result<()> {
    // `struct vfs_cap_data` (include/uapi/linux/capability.h): permitted and inheritable, twice.
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    let data = [REVISION_2_EFFECTIVE, set as u32, 0, (set >> 32) as u32, 0].map(u32::to_le);
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let name = c"security.capability";
    // SAFETY: valid C strings, and as many bytes as there are.
    let result = unsafe {
        let (value, size) = ((&raw const data).cast(), size_of_val(&data));
        libc::setxattr(path.as_ptr(), name.as_ptr(), value, size, 0)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Why files can't have capabilities here, if so.
fn no_file_capabilities() -> Option<String> {
    let path = context::fresh_path("probe");
    let tried = fs::write(&path, "").and_then(|()| set_file_capabilities(&path, 1 << BPF));
    tried
        .err()
        .map(|error| format!("file capabilities: {error}"))
}

/// A user who runs it with file capabilities opens no more files than without.
fn files_stay_closed() -> Outcome {
    let program = with_file_capabilities()?;
    let secret = context::fresh_path("secret.jsonl");
    let run = Tracer::json(["-d", "10ms"]).run()?;
    run.expect_code(0)?;
    fs::write(&secret, &run.output)
        .and_then(|()| fs::set_permissions(&secret, Permissions::from_mode(0o600)))
        .map_err(|error| format!("{}: {error}", secret.display()))?;
    let secret = secret.to_str().expect("UTF-8");
    for args in [
        &["report", secret][..],
        &["diff", secret, secret],
        &["--btf", secret, "-d", "1ms"],
        &["doctor", "--btf", secret],
    ] {
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::null());
        // Root may.
        let root = Tracer::of(command).run()?;
        let by_root = format!("{}{}", root.stderr, String::from_utf8_lossy(&root.stdout));
        ensure!(
            !by_root.contains("Permission denied"),
            "{args:?}: {by_root}"
        );
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::null());
        only(&mut command, 0);
        let run = Tracer::of(command).run()?;
        let said = format!("{}{}", run.stderr, String::from_utf8_lossy(&run.stdout));
        ensure!(said.contains("Permission denied"), "{args:?}: {said}");
    }
    Ok(())
}

/// With them alone each backend traces that reads tracefs or does not, and its process keeps no
/// right to open files.
fn by_file_capabilities() -> Outcome {
    let program = with_file_capabilities()?;
    for backend in BACKENDS {
        if backend::problem(backend).is_some() {
            continue;
        }
        let mut command = Command::new(&program);
        command.args(["--backend", backend]).stdin(Stdio::null());
        only(&mut command, 0);
        let running = Tracer::of(command).start()?;
        let path = format!("/proc/{}/status", running.pid());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        let files = effective.map(|set| set & 1 << DAC_READ_SEARCH);
        ensure!(files == Some(0), "{backend}: {status}");
        running.stop()?.expect_code(0)?;
    }
    Ok(())
}

/// The thread that reads /proc can do so each time, though this is in force only while it reads. Without the
/// capability, what the kernel side knows still makes a cause of it.
fn causes() -> Outcome {
    for (capabilities, place) in [
        (&[SYS_PTRACE][..], "it sleeps in "),
        (&[], "not waiting now"),
    ] {
        let program = with_capabilities(capabilities)?;
        let mut puppet = Puppet::start(Stdio::inherit())?;
        let mut command = Command::new(&program);
        command
            .args(["--json", "--alive-after", "300ms", "--tree"])
            .arg(puppet.pid().to_string())
            .stdin(Stdio::null());
        only(&mut command, 0);
        let mut running = Tracer::of(command).start()?;
        // Its command line is read first.
        puppet.obey("zombie reaped 0")?;
        puppet.obey("reap reaped")?;
        let zombie = puppet.obey("zombie left 0")?;
        // A parent that has not come to its sleep yet is none that never waits.
        let is_right = |line: &serde_json::Value| {
            line["type"] == "alive"
                && line["pid"] == zombie
                && line["cause"] == "never-waits"
                && line["cause_text"]
                    .as_str()
                    .is_some_and(|text| text.contains(place))
        };
        let what = format!("with {capabilities:?}: never-waits, {place}");
        running.wait_stdout_for(&what, |text| {
            json_lines(text.as_bytes()).iter().any(is_right)
        })?;
        running.stop()?.expect_code(0)?;
    }
    Ok(())
}

/// It would open files as root.
fn set_user_id() -> Outcome {
    let program = context::fresh_path("set-user-id");
    fs::copy(context::zombie_trace(), &program)
        .and_then(|_| fs::set_permissions(&program, Permissions::from_mode(0o4755)))
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let mut command = Command::new(&program);
    command.args(["report", "/dev/null"]).stdin(Stdio::null());
    only(&mut command, 0);
    let run = Tracer::of(command).run()?;
    run.expect_code(1)?;
    ensure!(run.stderr.contains("set-user-ID"), "{}", run.stderr);
    Ok(())
}

/// The capabilities of the documented setcap line, and nothing else.
fn enough(backend: &'static str) -> Outcome {
    let mut capabilities = vec![BPF, PERFMON];
    if backend == "tracepoint" {
        capabilities.push(DAC_READ_SEARCH);
    }
    if !context::kernel_is_at_least(5, 11) {
        capabilities.push(SYS_RESOURCE);
    }
    let try_it = || {
        as_nobody(&capabilities, |tracer| {
            tracer.args(["--backend", backend]).scenario(["hold"])
        })
    };
    let mut run = try_it()?;
    // Some of Debian's kernels ask for more, unless they are told not to.
    if run.status.code() == Some(1) && run.stderr.contains(PARANOID) && backend != "fentry" {
        let path = "/proc/sys/kernel/perf_event_paranoid";
        let level = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let set = |level: &str| fs::write(path, level).map_err(|error| format!("{path}: {error}"));
        set("2")?;
        let second = try_it();
        set(&level)?;
        run = second?;
    }
    check::scenario_run(&run).map(drop)
}

/// One that is missing is named, and both ways to get it.
fn lacking(capabilities: &'static [u32], missing: &str) -> Outcome {
    let run = as_nobody(capabilities, |tracer| tracer.args(["-d", "1ms"]))?;
    run.expect_code(1)?;
    for named in [missing, "sudo ", "setcap "] {
        if !run.stderr.contains(named) {
            return run.fail(format!("{named:?} is not named"));
        }
    }
    Ok(())
}

fn as_nobody(capabilities: &[u32], more: impl FnOnce(Tracer) -> Tracer) -> Result<Run, String> {
    let directory = context::fresh_path("nobody");
    let owned = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY));
    fs::create_dir(&directory)
        .and_then(|()| owned(&directory))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let set = capabilities
        .iter()
        .fold(0_u64, |set, capability| set | 1 << capability);
    more(Tracer::json_in(&directory))
        .with(|command| only(command, set))
        .run()
}

/// Becomes a user without rights, but for these capabilities.
pub(crate) fn only(command: &mut Command, set: u64) {
    before_exec(command, move || {
        let succeeded = |result: libc::c_long| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // `struct __user_cap_header_struct` and `_data_struct` (capget(2)).
        const VERSION_3: u32 = 0x2008_0522;
        let header = [VERSION_3, 0];
        let (low, high) = (set as u32, (set >> 32) as u32);
        let data = [[low, low, low], [high, high, high]];
        // SAFETY: no pointers but to the two arrays, which are of the right size, to valid C strings,
        // and null ones where they are allowed.
        unsafe {
            // Only root can mount tracefs, so it has to be there.
            let (none, kind) = (std::ptr::null(), c"tracefs".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            succeeded(libc::unshare(libc::CLONE_NEWNS).into())?;
            succeeded(libc::mount(none, c"/".as_ptr(), none, private, none.cast()).into())?;
            let target = c"/sys/kernel/tracing".as_ptr();
            // EBUSY if it is.
            libc::mount(kind, target, kind, 0, none.cast());
            succeeded(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into())?;
            succeeded(libc::setgroups(0, std::ptr::null()).into())?;
            succeeded(libc::setresgid(NOBODY, NOBODY, NOBODY).into())?;
            succeeded(libc::setresuid(NOBODY, NOBODY, NOBODY).into())?;
            succeeded(libc::syscall(libc::SYS_capset, &header, &data))?;
            for capability in (0..64).filter(|bit| set & 1 << bit != 0) {
                let raise = libc::PR_CAP_AMBIENT_RAISE;
                succeeded(libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0).into())?;
            }
        }
        Ok(())
    });
}
