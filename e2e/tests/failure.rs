//! What goes wrong is said, with the flag, file or capability by name, and the status is right.

use std::{
    ffi::{CStr, CString},
    fs,
    io::{self, Read as _},
    path::Path,
    process::Command,
    ptr,
};

use crate::{
    Outcome, Test, check,
    command::before_exec,
    context, ensure,
    privilege::{self, only},
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    let usage = |name: &str, args: &'static [&str], named: &'static str| {
        Test::new(format!("failure::usage-{name}"), move || {
            said(&Tracer::new(args).run()?, 2, &[named])
        })
    };
    vec![
        usage("unknown-option", &["--no-such-option"], "--no-such-option"),
        usage("min-without-unit", &["-m", "10", "-d", "1ms"], "--min"),
        usage(
            "min-unknown-unit",
            &["-m", "10parsecs", "-d", "1ms"],
            "--min",
        ),
        usage("min-negative", &["--min=-1s", "-d", "1ms"], "--min"),
        usage(
            "min-overflow",
            &["-m", "99999999999999999999s", "-d", "1ms"],
            "--min",
        ),
        usage("duration-without-unit", &["-d", "1"], "--duration"),
        usage("duration-empty", &["-d", ""], "--duration"),
        usage("ppid-zero", &["-P", "0", "-d", "1ms"], "--ppid"),
        usage("ppid-too-large", &["-P", "99999999", "-d", "1ms"], "--ppid"),
        usage("pid-no-number", &["-p", "abc", "-d", "1ms"], "--pid"),
        usage("tree-negative", &["--tree=-5", "-d", "1ms"], "--tree"),
        usage(
            "backend-unknown",
            &["--backend", "magic", "-d", "1ms"],
            "--backend",
        ),
        usage(
            "color-unknown",
            &["--color", "pink", "-d", "1ms"],
            "--color",
        ),
        usage("buffer-bad", &["--buffer", "lots", "-d", "1ms"], "--buffer"),
        usage(
            "user-without-command",
            &["-u", "nobody", "-d", "1ms"],
            "--user",
        ),
        Test::new("failure::pid-not-there", pid_not_there),
        Test::new("failure::user-unknown", user_unknown),
        Test::new("failure::output-unwritable", output_unwritable),
        Test::new("failure::output-full-device", output_full_device),
        Test::new("failure::output-full-disk", output_full_disk),
        Test::new("failure::cgroup-not-there", cgroup_not_there),
        Test::new("failure::no-privileges", no_privileges),
        Test::new("failure::no-tracefs", no_tracefs),
        Test::new("failure::no-proc", no_proc),
        Test::new("failure::no-btf", no_btf),
        Test::new("failure::btf-lacks-a-field", btf_lacks_a_field),
        Test::new("failure::btf-cut-short", btf_cut_short),
        Test::new("failure::btf-option", btf_option),
        Test::new("failure::btf-option-elsewhere", btf_elsewhere),
        Test::new("failure::btf-option-doctored", btf_doctored),
        Test::new("failure::verifier-log", verifier_log),
        Test::new("failure::release-is-no-proof", release_is_no_proof),
    ]
}

/// Fails unless the status is this and all of these are named on standard error.
fn said(run: &Run, code: i32, named: &[&str]) -> Outcome {
    run.expect_code(code)?;
    for name in named {
        if !run.stderr.contains(name) {
            return run.fail(format!("{name:?} is not named"));
        }
    }
    if run.stderr.contains("panicked") {
        run.fail("a panic")
    } else {
        Ok(())
    }
}

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Mounts something over something in a mount namespace of the command's own.
fn over(source: &Path, target: &Path, kind: Option<&'static CStr>) -> impl Fn(&mut Command) {
    let (source, target) = (c_path(source), c_path(target));
    move |command| {
        let (source, target) = (source.clone(), target.clone());
        before_exec(command, move || {
            let bind = if kind.is_some() { 0 } else { libc::MS_BIND };
            let kind = kind.map_or(ptr::null(), CStr::as_ptr);
            // SAFETY: valid C strings and null pointers where they are allowed.
            unsafe {
                let private = libc::MS_REC | libc::MS_PRIVATE;
                if libc::unshare(libc::CLONE_NEWNS) != 0
                    || libc::mount(
                        ptr::null(),
                        c"/".as_ptr(),
                        ptr::null(),
                        private,
                        ptr::null(),
                    ) != 0
                    || libc::mount(source.as_ptr(), target.as_ptr(), kind, bind, ptr::null()) != 0
                {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// /proc shows nothing where the tracer runs.
fn no_proc() -> Outcome {
    let run = Tracer::json(["-d", "1ms"])
        .with(over(Path::new("none"), Path::new("/proc"), Some(c"tmpfs")))
        .run()?;
    said(&run, 1, &["mount procfs"])
}

/// A kernel that names an old release, as enterprise distributions' do, and has all that is needed.
/// setarch(8) `--uname-2.6` has the same effect.
fn release_is_no_proof() -> Outcome {
    let names_2_6 = |command: &mut Command| {
        before_exec(command, || {
            // SAFETY: personality(2) takes no pointer.
            match unsafe { libc::personality(libc::UNAME26 as libc::c_ulong) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    };
    let run = Tracer::json::<&str>([])
        .scenario(["blocked-waiter"])
        .with(names_2_6)
        .run()?;
    let (report, _) = check::scenario_run(&run)?;
    let kernel = report.start()["kernel"].as_str().unwrap_or_default();
    ensure!(
        kernel.starts_with("2.6."),
        "the tracer saw release {kernel}"
    );
    let doctor = Tracer::new(["doctor"]).with(names_2_6).run()?;
    said(&doctor, 0, &[])?;
    let text = String::from_utf8_lossy(&doctor.stdout);
    ensure!(
        text.contains("it has what tracing needs"),
        "doctor takes the release for a proof:\n{text}"
    );
    Ok(())
}

/// As on a kernel that was built without it.
fn no_btf() -> Outcome {
    let directory = Path::new(BTF).parent().expect("it has one");
    let run = Tracer::json(["-d", "1ms"])
        .with(over(Path::new("none"), directory, Some(c"tmpfs")))
        .run()?;
    said(&run, 1, &["BTF", BTF, "CONFIG_DEBUG_INFO_BTF"])
}

/// Runs with this in the place of the kernel's own BTF.
fn with_btf(name: &str, bytes: &[u8]) -> Result<Run, String> {
    let path = context::fresh_path(name);
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Tracer::json(["-d", "1ms"])
        .with(over(&path, Path::new(BTF), None))
        .run()
}

fn btf_lacks_a_field() -> Outcome {
    let mut bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    let name = b"\0exit_signal\0";
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.ok_or("the BTF has no exit_signal")?;
    bytes[at + 1..at + name.len() - 1].copy_from_slice(b"exit_sygnal");
    said(
        &with_btf("renamed.btf", &bytes)?,
        1,
        &["task_struct.exit_signal"],
    )
}

/// The same by `--btf FILE`, where the kernel has no BTF of its own: whatever the file lacks is
/// named, with the file.
fn btf_option() -> Outcome {
    let bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    let renamed = |field: &[u8]| -> Result<Vec<u8>, String> {
        let mut bytes = bytes.clone();
        let name = [b"\0", field, b"\0"].concat();
        let at = bytes.windows(name.len()).position(|window| window == name);
        bytes[at.ok_or("no such name in the BTF")? + 1] = b'?';
        Ok(bytes)
    };
    let written = |name: &str, bytes: &[u8]| -> Result<String, String> {
        let path = context::fresh_path(name);
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.to_str().expect("UTF-8").to_owned())
    };
    let field = written("field.btf", &renamed(b"start_boottime")?)?;
    let structure = written("struct.btf", &renamed(b"kernfs_node")?)?;
    let short = written("short.btf", &bytes[..1000])?;
    let directory = Path::new(BTF).parent().expect("it has one");
    for (path, named) in [
        (field.as_str(), "task_struct.start_boottime"),
        (&structure, "struct kernfs_node"),
        (&short, "malformed"),
        ("/etc/passwd", "malformed"),
        ("/nonexistent/btf", "No such file"),
    ] {
        let run = Tracer::json(["--btf", path, "-d", "1ms"])
            .with(over(Path::new("none"), directory, Some(c"tmpfs")))
            .run()?;
        said(&run, 1, &[path, named])?;
    }
    Ok(())
}

/// The kernel's own BTF is right: a file that differs by one byte is refused, a copy is not.
fn btf_doctored() -> Outcome {
    let mut bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    let copy = context::fresh_path("copy.btf");
    let doctored = context::fresh_path("doctored.btf");
    fs::write(&copy, &bytes).map_err(|error| error.to_string())?;
    // An offset somewhere, so that it is still BTF.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&doctored, &bytes).map_err(|error| error.to_string())?;
    let shown = doctored.to_str().expect("UTF-8");
    let run = Tracer::json(["--btf", shown, "-d", "1ms"]).run()?;
    said(&run, 1, &["--btf", shown, BTF, "differs"])?;
    let run = Tracer::json(["--btf", copy.to_str().expect("UTF-8")])
        .scenario(["hold"])
        .run()?;
    check::scenario_run(&run).map(drop)
}

/// The verifier's log has addresses of the kernel: root sees it, and a user with capabilities does not.
fn verifier_log() -> Outcome {
    let mut bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    // Each name now stands for the other field: the programs follow a number.
    let [one, other] = [b"\0real_parent\0", b"\0exit_signal\0"];
    let place = |name: &[u8]| bytes.windows(name.len()).position(|window| window == name);
    let (Some(first), Some(second)) = (place(one), place(other)) else {
        return Err("the BTF lacks a field".into());
    };
    bytes[first..first + one.len()].copy_from_slice(other);
    bytes[second..second + other.len()].copy_from_slice(one);
    let path = context::fresh_path("swapped.btf");
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let refused = |change: fn(&mut Command)| {
        let run = Tracer::new(["-v", "-d", "1ms"])
            .with(over(&path, Path::new(BTF), None))
            .with(change)
            .run()?;
        said(&run, 1, &["the kernel refuses", "Permission denied"])?;
        Ok::<_, String>(run)
    };
    let root = refused(|_| {})?;
    if !root.stderr.contains("processed ") || !root.stderr.contains("0xffff") {
        return root.fail("root gets no verifier log, so that the test shows nothing");
    }
    let user = refused(|command| {
        let mut set = 1 << privilege::BPF | 1 << privilege::PERFMON;
        set |= 1 << privilege::DAC_READ_SEARCH;
        if !context::kernel_is_at_least(5, 11) {
            set |= 1 << privilege::SYS_RESOURCE;
        }
        only(command, set);
    })?;
    if user.stderr.contains("0xffff") || user.stderr.contains("processed ") {
        return user.fail("a user sees the verifier's log");
    }
    said(&user, 1, &["shown to root only"])
}

/// Where the kernel's BTF can't be seen, a copy of it will do.
fn btf_elsewhere() -> Outcome {
    let copy = context::fresh_path("copy.btf");
    fs::copy(BTF, &copy).map_err(|error| format!("{BTF}: {error}"))?;
    let directory = Path::new(BTF).parent().expect("it has one");
    let run = Tracer::json(["--btf", copy.to_str().expect("UTF-8")])
        .scenario(["hold"])
        .with(over(Path::new("none"), directory, Some(c"tmpfs")))
        .run()?;
    check::scenario_run(&run).map(drop)
}

fn btf_cut_short() -> Outcome {
    let bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    said(
        &with_btf("short.btf", &bytes[..bytes.len() / 2])?,
        1,
        &[BTF, "malformed"],
    )
}

/// Could have been a pid once: a warning, and on it goes.
fn pid_not_there() -> Outcome {
    // Beyond any pid_max in use in these tests, and yet possible (PID_MAX_LIMIT is 2²²).
    const GONE: &str = "4194000";
    ensure!(
        !Path::new("/proc").join(GONE).exists(),
        "there is a process {GONE}"
    );
    for option in ["-P", "--tree", "-p"] {
        let run = Tracer::json([option, GONE, "-d", "200ms"]).run()?;
        said(&run, 0, &[GONE])?;
        let problems = check::accounting(&run.report()?);
        ensure!(problems.is_empty(), "{option}: {problems:?}");
    }
    Ok(())
}

fn user_unknown() -> Outcome {
    let run = Tracer::json(["-u", "no-such-user"])
        .command(["/bin/true"])
        .run()?;
    said(
        &run,
        run.status.code().unwrap_or(0),
        &["no-such-user", "user"],
    )?;
    // Whether that is usage (2) or an error (1) is not laid down.
    if matches!(run.status.code(), Some(1 | 2)) {
        Ok(())
    } else {
        run.fail("status")
    }
}

/// Told before the command runs.
fn output_unwritable() -> Outcome {
    let witness = context::fresh_path("witness");
    let path = "/nonexistent/directory/file";
    let run = Tracer::new(["--json", "-o", path])
        .command([Path::new("/bin/touch"), &witness])
        .run()?;
    said(&run, 1, &[path])?;
    ensure!(!witness.exists(), "the command ran all the same");
    Ok(())
}

fn output_full_device() -> Outcome {
    for format in [&["--json"][..], &[]] {
        let run = Tracer::new(["-a", "-o", "/dev/full"])
            .args(format)
            .scenario(["fork-loop", "500"])
            .run()?;
        said(&run, 1, &["/dev/full"])?;
    }
    Ok(())
}

/// The file holds whole lines only.
fn output_full_disk() -> Outcome {
    let mount = context::fresh_path("full");
    fs::create_dir(&mount).map_err(|error| error.to_string())?;
    let target = c_path(&mount);
    // SAFETY: all are valid C strings.
    let result = unsafe {
        let (name, options) = (c"tmpfs".as_ptr(), c"size=64k".as_ptr());
        libc::mount(name, target.as_ptr(), name, 0, options.cast())
    };
    ensure!(
        result == 0,
        "mounting a tmpfs: {}",
        io::Error::last_os_error()
    );
    let outcome = fill(&mount.join("out.jsonl"), 2000, Ok)
        .and_then(|()| fill(&mount.join("out.jsonl.zst"), 8000, decoded));
    // SAFETY: a valid C string.
    unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    outcome
}

/// The disk is full before so many processes are in the file. What `read` gives is whole lines.
fn fill(path: &Path, processes: u32, read: impl Fn(Vec<u8>) -> Result<Vec<u8>, String>) -> Outcome {
    let shown = path.to_str().expect("UTF-8");
    let run = Tracer::new(["--json", "-a", "-o", shown])
        .scenario(["fork-loop", &processes.to_string()])
        .run()?;
    said(&run, 1, &[shown])?;
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if bytes.len() < 32 << 10 {
        return run.fail(format!("only {} bytes in the file", bytes.len()));
    }
    let output = String::from_utf8(read(bytes)?).map_err(|error| error.to_string())?;
    if !output.ends_with('\n') {
        return run.fail("the last line is not whole");
    }
    for line in output.lines() {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(line) {
            return run.fail(format!("{error}: {line}"));
        }
    }
    fs::remove_file(path).map_err(|error| error.to_string())
}

/// What a frame without an end holds.
fn decoded(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let mut decoder = zstd::Decoder::new(&bytes[..]).map_err(|error| error.to_string())?;
    match decoder.read_to_end(&mut text) {
        Ok(_) => Err("the frame has an end".to_owned()),
        Err(_) => Ok(text),
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("UTF-8")).expect("no NUL")
}

fn cgroup_not_there() -> Outcome {
    let run = Tracer::json(["-c", "/no-such-cgroup-anywhere", "-d", "200ms"]).run()?;
    let code = run.status.code().unwrap_or(0);
    said(&run, code, &["/no-such-cgroup-anywhere"])?;
    if matches!(code, 1 | 2) {
        Ok(())
    } else {
        run.fail("status")
    }
}

/// Root without any capability: what is missing, and two ways to get it.
fn no_privileges() -> Outcome {
    let powerless = |command: &mut Command| {
        before_exec(command, || {
            for capability in 0..libc::c_ulong::MAX {
                // SAFETY: no pointers. EINVAL is the end of the capabilities.
                if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                    break;
                }
            }
            Ok(())
        });
    };
    let run = Tracer::json(["-d", "200ms"]).with(powerless).run()?;
    said(&run, 1, &["CAP_BPF", "CAP_PERFMON"])?;
    let line_with = |word: &str| run.stderr.lines().any(|line| line.contains(word));
    for word in ["sudo ", "setcap "] {
        if !line_with(word) {
            return run.fail(format!("no line with {word:?}"));
        }
    }
    Ok(())
}

/// tracefs and debugfs are not mounted where the tracer runs: it manages by itself.
fn no_tracefs() -> Outcome {
    let unmounted = |command: &mut Command| {
        before_exec(command, || {
            // SAFETY: valid C strings; what is not mounted fails, and that is fine.
            unsafe {
                if libc::unshare(libc::CLONE_NEWNS) != 0 {
                    return Err(io::Error::last_os_error());
                }
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null());
                for target in [c"/sys/kernel/debug/tracing", c"/sys/kernel/tracing"] {
                    while libc::umount2(target.as_ptr(), libc::MNT_DETACH) == 0 {}
                }
                while libc::umount2(c"/sys/kernel/debug".as_ptr(), libc::MNT_DETACH) == 0 {}
            }
            Ok(())
        });
    };
    let run = Tracer::json([""; 0])
        .scenario(["hold"])
        .with(unmounted)
        .run()?;
    check::scenario_run(&run).map(drop)
}
