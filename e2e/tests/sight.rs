//! What can't be seen is never taken for what is not there: a /proc that is missing, hides processes
//! or numbers them differently, and confinements that keep root from tracing.

use std::{
    env,
    ffi::{CStr, CString},
    fs, io,
    io::{BufRead, BufReader},
    mem,
    os::unix::{ffi::OsStrExt as _, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    ptr,
};

use crate::{
    Outcome, Test,
    command::before_exec,
    context, ensure,
    fault::children,
    privilege::{BPF, DAC_READ_SEARCH, PERFMON, only},
    pty::until,
    puppet::Puppet,
    tracer::{Run, Tracer},
};

const UNSHARE: &str = "/usr/bin/unshare";
const NOBODY: u32 = 65534;
/// What the kernel says of its architecture.
const ARCH: &str = "/proc/sys/kernel/arch";

pub(crate) fn tests() -> Vec<Test> {
    let unshare = || context::no_program(UNSHARE);
    let no_cgroup = || {
        context::cgroup2_mount()
            .is_none()
            .then(|| "no cgroup v2 mount".into())
    };
    vec![
        Test::new("sight::no-proc", no_proc),
        Test::new("sight::foreign-proc", foreign_proc).unless(unshare()),
        Test::new("sight::foreign-proc-run", foreign_proc_run).unless(unshare()),
        Test::new("sight::hidepid", hidepid),
        Test::new("sight::hidepid-lists-its-own", hidepid_lists_its_own),
        Test::new("sight::hidepid-group", hidepid_group),
        Test::new("sight::subset-pid", subset_pid).unless(no_subset()),
        Test::new("sight::odd-mounts", odd_mounts),
        Test::new("sight::user-namespace", user_namespace).unless(unshare()),
        Test::new("sight::user-namespace-inspect", user_namespace_inspect).unless(unshare()),
        Test::new("sight::seccomp", seccomp),
        Test::new("sight::btf-of-a-user", btf_of_a_user),
        Test::new("sight::foreign-kernel", foreign_kernel).unless(no_arch()),
        Test::new("sight::cgroup-paths", || in_cgroups(paths)).unless(no_cgroup()),
        Test::new("sight::cgroup-removed", || in_cgroups(removed)).unless(no_cgroup()),
        Test::new("sight::demo-scans-once", demo_scans_once),
    ]
}

fn no_arch() -> Option<String> {
    let is_missing = !Path::new(ARCH).exists();
    is_missing.then(|| format!("no {ARCH} before 6.1"))
}

fn no_subset() -> Option<String> {
    (!context::kernel_is_at_least(5, 8)).then(|| "subset=pid is of 5.8".to_owned())
}

fn zombie_trace(args: &[&str]) -> Tracer {
    let mut command = Command::new(context::zombie_trace());
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR");
    Tracer::of(command)
}

/// Fails unless the status is this, all of these are named on standard error, and nobody says that
/// there are no zombies.
fn said(run: &Run, code: i32, named: &[&str]) -> Outcome {
    run.expect_code(code)?;
    for name in named {
        if !run.stderr.contains(name) {
            return run.fail(format!("{name:?} is not named"));
        }
    }
    if String::from_utf8_lossy(&run.stdout).contains("no zombies") {
        return run.fail("\"no zombies\", though they can't be seen");
    }
    Ok(())
}

/// In a mount namespace of its own: this file system at /proc, and then the user.
fn with_proc(
    kind: &'static CStr,
    options: &'static CStr,
    user: Option<u32>,
) -> impl Fn(&mut Command) {
    move |command| {
        before_exec(command, move || {
            let succeeded = |result: libc::c_int| match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            };
            let none = ptr::null();
            // SAFETY: valid C strings, and null pointers where they are allowed.
            unsafe {
                succeeded(libc::unshare(libc::CLONE_NEWNS))?;
                let private = libc::MS_REC | libc::MS_PRIVATE;
                succeeded(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
                let (kind, target) = (kind.as_ptr(), c"/proc".as_ptr());
                succeeded(libc::mount(kind, target, kind, 0, options.as_ptr().cast()))?;
                if let Some(user) = user {
                    succeeded(libc::setgroups(0, none.cast()))?;
                    succeeded(libc::setresgid(user, user, user))?;
                    succeeded(libc::setresuid(user, user, user))?;
                }
            }
            Ok(())
        });
    }
}

/// A parent with one zombie.
fn parent() -> Result<Puppet, String> {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey("zombie plain 0")?;
    Ok(puppet)
}

const GATE: [&str; 3] = ["ps", "--fail-if", "alive>0"];

fn no_proc() -> Outcome {
    let puppet = parent()?;
    let pid = puppet.pid().to_string();
    for args in [
        &["ps"][..],
        &GATE,
        &["ps", "--json"],
        &["inspect", &pid],
        &["demo", "-d", "10ms", "classic"],
    ] {
        let run = zombie_trace(args)
            .with(with_proc(c"tmpfs", c"", None))
            .run()?;
        said(&run, 1, &["mount -t proc"])?;
        if !run.stdout.is_empty() {
            return run.fail("something on standard output");
        }
    }
    let run = zombie_trace(&["doctor"])
        .with(with_proc(c"tmpfs", c"", None))
        .run()?;
    run.expect_code(1)?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    ensure!(stdout.contains("no procfs is mounted"), "{stdout}");
    ensure!(!stdout.contains("missing CAP_BPF"), "{stdout}");
    Ok(())
}

/// As an emulated program sees a machine of another architecture. What reads /proc or traces is refused; what doesn't,
/// works.
fn foreign_kernel() -> Outcome {
    let arch = env::temp_dir().join(format!("zombie-trace-arch-{}", std::process::id()));
    fs::write(&arch, "riscv64\n").map_err(|error| error.to_string())?;
    let source = CString::new(arch.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let on_riscv = |command: &mut Command| {
        let source = source.clone();
        before_exec(command, move || {
            // SAFETY: valid C strings, and null pointers where they are allowed.
            let succeeded = unsafe {
                let none = ptr::null();
                libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(
                        none,
                        c"/".as_ptr(),
                        none,
                        libc::MS_REC | libc::MS_PRIVATE,
                        none.cast(),
                    ) == 0
                    && libc::mount(
                        source.as_ptr(),
                        c"/proc/sys/kernel/arch".as_ptr(),
                        none,
                        libc::MS_BIND,
                        none.cast(),
                    ) == 0
            };
            match succeeded {
                true => Ok(()),
                false => Err(io::Error::last_os_error()),
            }
        });
    };
    let refused = || {
        let named = ["runs in emulation", "this kernel is for riscv64"];
        for args in [
            &["-d", "1ms"][..],
            &["--", "/bin/true"],
            &["serve", "--listen", "127.0.0.1:0"],
            &GATE,
            &["inspect", "1"],
            &["demo", "-d", "10ms", "classic"],
        ] {
            said(&zombie_trace(args).with(on_riscv).run()?, 1, &named)?;
        }
        let run = zombie_trace(&["doctor"]).with(on_riscv).run()?;
        run.expect_code(1)?;
        let stdout = String::from_utf8_lossy(&run.stdout);
        ensure!(named.iter().all(|name| stdout.contains(name)), "{stdout}");
        let run = zombie_trace(&["completions", "bash"])
            .with(on_riscv)
            .run()?;
        run.expect_code(0)?;
        Ok(())
    };
    let outcome = refused();
    let _ = fs::remove_file(&arch);
    outcome
}

/// /proc is of the pid namespace around ours: other numbers, and other processes by our numbers.
fn foreign_proc() -> Outcome {
    let puppet = parent()?;
    let pid = puppet.pid().to_string();
    for args in [
        &["ps"][..],
        &GATE,
        &["inspect", &pid],
        &["demo", "-d", "10ms", "classic"],
    ] {
        let run = zombie_trace(args)
            .wrapped([UNSHARE, "--pid", "--fork"])
            .run()?;
        said(&run, 1, &["another pid namespace", "mount -t proc"])?;
        let run = zombie_trace(args)
            .wrapped([UNSHARE, "--pid", "--fork", "--mount-proc"])
            .run()?;
        if run.stderr.contains("another pid namespace") {
            return run.fail("it is ours");
        }
    }
    Ok(())
}

/// A run goes on, without causes, and says so.
fn foreign_proc_run() -> Outcome {
    // The shell's child ends, and what the shell becomes does not wait for it.
    const PARENT: &str = "/bin/true & exec /bin/sleep 600";
    let trace = |wrapper: &[&str], cause: serde_json::Value| {
        let mut running = Tracer::json(["--alive-after", "200ms"])
            .command(["/bin/sh", "-c", PARENT])
            .wrapped(wrapper)
            .start()?;
        running.wait_line(&format!("a living zombie: {cause}"), |line| {
            line["type"] == "alive" && line["cause"] == cause
        })?;
        let tracer = children(running.pid());
        let command: Vec<u32> = tracer.iter().flat_map(|pid| children(*pid)).collect();
        let [command] = command[..] else {
            return Err(format!("not one command: {command:?}"));
        };
        // SAFETY: no pointers; it is the command of a tracer that runs.
        unsafe { libc::kill(command.cast_signed(), libc::SIGTERM) };
        let run = running.finish()?;
        run.expect_code(128 + libc::SIGTERM)?;
        let lines = String::from_utf8_lossy(&run.output).into_owned();
        let causes: Vec<serde_json::Value> = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["type"] == "alive")
            .map(|line| line["cause"].clone())
            .collect();
        ensure!(!causes.is_empty(), "no living zombie in:\n{lines}");
        Ok::<_, String>((run, causes))
    };
    let (run, causes) = trace(&[UNSHARE, "--pid", "--fork"], serde_json::Value::Null)?;
    said(
        &run,
        128 + libc::SIGTERM,
        &["no causes", "another pid namespace"],
    )?;
    ensure!(causes.iter().all(serde_json::Value::is_null), "{causes:?}");
    let options = [UNSHARE, "--pid", "--fork", "--mount-proc"];
    let (run, _) = trace(&options, "foreign-child".into())?;
    if run.stderr.contains("no causes") {
        return run.fail("it is ours");
    }
    Ok(())
}

fn hidepid() -> Outcome {
    let puppet = parent()?;
    let pid = puppet.pid().to_string();
    for options in [c"hidepid=1", c"hidepid=2", c"hidepid=4"] {
        if options == c"hidepid=4" && no_subset().is_some() {
            continue;
        }
        for args in [&["ps"][..], &GATE, &["ps", "--json"], &["ps", "-P", &pid]] {
            let run = zombie_trace(args)
                .with(with_proc(c"proc", options, Some(NOBODY)))
                .run()?;
            said(&run, 1, &["hidepid=", "run it as root"])?;
        }
        // Root sees everything all the same, unless it may not trace everything.
        if options != c"hidepid=4" {
            let run = zombie_trace(&["ps", "-P", &pid, "--fail-if", "alive>0"])
                .with(with_proc(c"proc", options, None))
                .run()?;
            said(&run, 3, &["FAIL alive = 1 (limit 0)"])?;
        }
        let run = zombie_trace(&["inspect", &pid])
            .with(with_proc(c"proc", options, Some(NOBODY)))
            .run()?;
        said(&run, 1, &["hidepid=", &format!("process {pid} exists")])?;
    }
    Ok(())
}

/// What it can see is listed, although the status says that it is not all.
fn hidepid_lists_its_own() -> Outcome {
    let demo = Demo::start(Some(NOBODY), "classic")?;
    let parent = demo.parent.to_string();
    let run = zombie_trace(&["ps", "--json", "-P", &parent])
        .with(with_proc(c"proc", c"hidepid=2", Some(NOBODY)))
        .run()?;
    said(&run, 1, &["hidepid="])?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    ensure!(stdout.lines().count() == 1, "not one zombie: {stdout}");
    Ok(())
}

fn hidepid_group() -> Outcome {
    let puppet = parent()?;
    let run = zombie_trace(&["ps", "-P", &puppet.pid().to_string()])
        .with(with_proc(c"proc", c"hidepid=2,gid=65534", Some(NOBODY)))
        .run()?;
    run.expect_code(0)?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    ensure!(stdout.contains("<defunct>"), "{stdout}");
    Ok(())
}

/// Only files of the machine are missing there, and a run needs none of them.
fn subset_pid() -> Outcome {
    let puppet = parent()?;
    let run = zombie_trace(&[
        "ps",
        "-P",
        &puppet.pid().to_string(),
        "--fail-if",
        "alive>0",
    ])
    .with(with_proc(c"proc", c"subset=pid", None))
    .run()?;
    said(&run, 3, &["FAIL alive = 1 (limit 0)"])
}

/// Users mount file systems of their own wherever they can: no such path keeps others from seeing.
fn odd_mounts() -> Outcome {
    let puppet = parent()?;
    let pid = puppet.pid().to_string();
    let directory = context::fresh_path("mounts");
    let points = [&b"\xff\xfe"[..], b" - proc", b"a\nb", b"\\040#"]
        .map(|name| directory.join(std::ffi::OsStr::from_bytes(name)));
    for point in &points {
        fs::create_dir_all(point).map_err(|error| format!("{}: {error}", point.display()))?;
    }
    let points = points
        .map(|point| CString::new(point.into_os_string().into_encoded_bytes()).expect("no NUL"));
    let mounted = move |command: &mut Command| {
        let points = points.clone();
        before_exec(command, move || {
            let none = ptr::null::<libc::c_char>();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            // SAFETY: valid C strings, and null pointers where they are allowed.
            let failed = unsafe {
                let kind = c"tmpfs".as_ptr();
                let mount =
                    |point: &CString| libc::mount(kind, point.as_ptr(), kind, 0, none.cast()) != 0;
                libc::unshare(libc::CLONE_NEWNS) != 0
                    || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
                    || points.iter().any(mount)
            };
            match failed {
                true => Err(io::Error::last_os_error()),
                false => Ok(()),
            }
        });
    };
    for args in [
        &["ps", "-P", &pid, "--fail-if", "alive>0"][..],
        &["ps", "-P", &pid, "-c", "/", "--fail-if", "alive>0"],
    ] {
        if args.contains(&"-c") && context::cgroup2_mount().is_none() {
            continue;
        }
        let run = zombie_trace(args).with(&mounted).run()?;
        said(&run, 3, &["FAIL alive = 1 (limit 0)"])?;
    }
    let run = zombie_trace(&["inspect", &pid]).with(&mounted).run()?;
    run.expect_code(0)?;
    let run = Tracer::json(["-P", &pid, "-d", "1ms"])
        .with(&mounted)
        .run()?;
    said(&run, 0, &[])?;
    let cause = |line: &serde_json::Value| !line["cause"].is_null();
    match run.report()?.alive().all(cause) && !run.stderr.contains("no causes") {
        true => Ok(()),
        false => run.fail("no cause"),
    }
}

/// Root of a user namespace has every capability, and may not trace.
fn user_namespace() -> Outcome {
    let unshared = [UNSHARE, "--user", "--map-root-user"];
    let run = zombie_trace(&["-d", "1ms"]).wrapped(unshared).run()?;
    said(&run, 1, &["user namespace", "run it as root outside"])?;
    if run.stderr.contains("failed to create map") {
        return run.fail("a random map is blamed");
    }
    let run = zombie_trace(&["doctor"]).wrapped(unshared).run()?;
    run.expect_code(1)?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    let capabilities = stdout.lines().find(|line| line.starts_with("capabilities"));
    ensure!(
        capabilities.is_some_and(|line| line.contains("user namespace")),
        "{stdout}"
    );
    Ok(())
}

/// It is root, so that a missing CAP_SYS_PTRACE is not what it lacks.
fn user_namespace_inspect() -> Outcome {
    let puppet = parent()?;
    let run = zombie_trace(&["inspect", &puppet.pid().to_string()])
        .wrapped([UNSHARE, "--user", "--map-root-user"])
        .run()?;
    run.expect_code(0)?;
    let stdout = String::from_utf8_lossy(&run.stdout);
    ensure!(stdout.contains("can't be read from inside"), "{stdout}");
    ensure!(!stdout.contains("CAP_SYS_PTRACE"), "{stdout}");
    Ok(())
}

/// A container's filter, as far as bpf(2) is concerned.
fn seccomp() -> Outcome {
    let filtered = |command: &mut Command| {
        before_exec(command, || {
            let statement = |code: u32, k: u32| libc::sock_filter {
                code: code as u16,
                jt: 0,
                jf: 0,
                k,
            };
            let load = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0);
            let mut is_bpf = statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                libc::SYS_bpf as u32,
            );
            is_bpf.jf = 1;
            let returned = |value| statement(libc::BPF_RET | libc::BPF_K, value);
            let refuse = returned(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
            let allow = returned(libc::SECCOMP_RET_ALLOW);
            let mut filter = [load, is_bpf, refuse, allow];
            let program = libc::sock_fprog {
                len: filter.len() as u16,
                filter: filter.as_mut_ptr(),
            };
            // SAFETY: the program and its filter live until the call returns.
            let result = unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
            };
            match result {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    };
    let run = zombie_trace(&["-d", "1ms"]).with(filtered).run()?;
    said(&run, 1, &["seccomp", "allow bpf"])?;
    let run = zombie_trace(&["doctor", "--json"]).with(filtered).run()?;
    run.expect_code(1)?;
    let found: serde_json::Value =
        serde_json::from_slice(&run.stdout).map_err(|error| error.to_string())?;
    let confinement = &found["confinement"];
    ensure!(
        confinement["seccomp_filter"] == true && confinement["user_namespace"] == false,
        "{confinement}"
    );
    let refused = confinement["bpf_refused"].as_str().unwrap_or_default();
    ensure!(refused.contains("seccomp"), "{confinement}");
    Ok(())
}

/// With file capabilities, where nothing shows whether a BTF is true.
fn btf_of_a_user() -> Outcome {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    let copy = context::fresh_path("copy.btf");
    fs::copy(BTF, &copy).map_err(|error| format!("{BTF}: {error}"))?;
    let shown = copy.to_str().expect("UTF-8");
    let set = [BPF, PERFMON, DAC_READ_SEARCH]
        .iter()
        .fold(0, |set, bit| set | 1 << bit);
    let run = zombie_trace(&["--btf", shown, "-d", "1ms"])
        .with(|command| {
            before_exec(command, || {
                let none = ptr::null();
                let (kind, target) = (c"tmpfs".as_ptr(), c"/sys/kernel/btf".as_ptr());
                // SAFETY: valid C strings, and null pointers where they are allowed.
                let failed = unsafe {
                    let private = libc::MS_REC | libc::MS_PRIVATE;
                    libc::unshare(libc::CLONE_NEWNS) != 0
                        || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
                        || libc::mount(kind, target, kind, 0, none.cast()) != 0
                };
                if failed {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
            only(command, set);
        })
        .run()?;
    said(&run, 1, &["--btf", shown, "only root"])
}

/// Runs in a cgroup with one below it.
fn in_cgroups(test: fn(&Path, &str) -> Outcome) -> Outcome {
    let mount = context::cgroup2_mount().expect("probed");
    let name = format!("zt-sight-{}", std::process::id());
    let group = mount.join(&name);
    let below = group.join("below");
    fs::create_dir_all(&below).map_err(|error| format!("{}: {error}", below.display()))?;
    let outcome = test(&group, &name);
    for directory in [&below, &group] {
        // Dead tasks leave their cgroup only with their last reference.
        for _ in 0..2000 {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                _ => break,
            }
        }
    }
    outcome
}

/// How many zombies of the puppet `ps` finds in a cgroup.
fn found(puppet: &Puppet, directory: &Path, cgroup: &str) -> Result<usize, String> {
    let pid = puppet.pid().to_string();
    let run = zombie_trace(&["ps", "--json", "-P", &pid, "-c", cgroup])
        .with(|command| {
            command.current_dir(directory);
        })
        .run()?;
    run.expect_code(0)?;
    Ok(String::from_utf8_lossy(&run.stdout).lines().count())
}

/// However a cgroup is named, it is the same.
fn paths(group: &Path, name: &str) -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    puppet.obey(&format!("cgroup {}", group.join("below").display()))?;
    puppet.obey("zombie plain 0")?;
    let mount = group.parent().expect("it is below the mount");
    let elsewhere = Path::new("/");
    let absolute = group.to_str().expect("UTF-8");
    for (directory, cgroup) in [
        (elsewhere, absolute),
        (elsewhere, &format!("{absolute}/")),
        (elsewhere, &format!("{absolute}/below/..")),
        (elsewhere, &format!("/{name}")),
        (elsewhere, name),
        (mount, name),
        (mount, &format!("./{name}")),
        (group, "."),
        (group, "below"),
        (&group.join("below"), ".."),
    ] {
        let count = found(&puppet, directory, cgroup)?;
        ensure!(
            count == 1,
            "in {}, -c {cgroup}: {count} zombies",
            directory.display()
        );
    }
    puppet.obey(&format!("cgroup {absolute}"))?;
    puppet.obey("zombie upper 0")?;
    for (cgroup, expected) in [(name.to_owned(), 2), (format!("{name}/below"), 1)] {
        let count = found(&puppet, elsewhere, &cgroup)?;
        ensure!(count == expected, "-c {cgroup}: {count} zombies");
    }
    for gone in ["no-such-cgroup", "/etc"] {
        let run = zombie_trace(&["ps", "-c", gone]).run()?;
        said(&run, 1, &["--cgroup", gone, "no such cgroup v2"])?;
    }
    Ok(())
}

/// A cgroup of zombies alone can be removed, and another one can get its name.
fn removed(group: &Path, name: &str) -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let mount = group.parent().expect("it is below the mount");
    let below = group.join("below");
    puppet.obey(&format!("cgroup {}", below.display()))?;
    puppet.obey("zombie plain 0")?;
    puppet.obey(&format!("cgroup {}", mount.display()))?;
    // A dead task leaves its cgroup only with its last reference.
    until("the cgroup is removed", || {
        Ok(fs::remove_dir(&below).is_ok())
    })?;
    let elsewhere = Path::new("/");
    let upper = found(&puppet, elsewhere, name)?;
    ensure!(upper == 1, "below a removed cgroup: {upper} zombies");
    fs::create_dir(&below).map_err(|error| format!("{}: {error}", below.display()))?;
    let other = found(&puppet, elsewhere, &format!("{name}/below"))?;
    ensure!(other == 0, "in a cgroup that is another: {other} zombies");
    Ok(())
}

/// A running `zombie-trace demo`.
struct Demo {
    child: Child,
    parent: u32,
}

impl Demo {
    fn start(user: Option<u32>, kind: &str) -> Result<Self, String> {
        let mut command = Command::new(context::zombie_trace());
        command
            .args(["demo", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().map_err(|error| format!("demo: {error}"))?;
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut parent = None;
        for line in stdout.lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("The parent is process ") {
                parent = rest.split('.').next().and_then(|pid| pid.parse().ok());
            }
            if line.starts_with("All of it ends") {
                break;
            }
        }
        let mut demo = Self { child, parent: 0 };
        // If it fails, the child is ended by the drop.
        demo.parent = parent.ok_or_else(|| format!("demo {kind} did not start"))?;
        Ok(demo)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // SAFETY: no pointers; the child is not reaped yet, so the pid is its.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

/// Cleaning up after a thousand children takes a few scans of /proc, not one scan per child.
fn demo_scans_once() -> Outcome {
    const SCANS: u64 = 10;
    let mut demo = Demo::start(None, "burst")?;
    let pid = demo.child.id();
    let processes = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    // A stat file is read twice, to its end.
    let scan = 2 * processes.count() as u64;
    drop(demo.child.stdin.take());
    // SAFETY: no pointers; the child is not reaped yet.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
    // SAFETY: an all-zero siginfo_t is valid.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: `info` is valid for writes. It stays a zombie, whose counters can be read.
    let waited = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, flags) };
    ensure!(waited == 0, "waitid: {}", io::Error::last_os_error());
    let path = format!("/proc/{pid}/io");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let reads: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("syscr: "))
        .and_then(|number| number.parse().ok())
        .ok_or("no syscr")?;
    ensure!(
        reads < SCANS * scan,
        "{reads} reads; {scan} are one look at all of /proc"
    );
    Ok(())
}
