//! The unit of deploy/, started by a real systemd, which is the first process of a container.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Held, ZOMBIES, await_figures, capabilities_kept, engine, scrape};
use crate::{
    Outcome, Test, backend,
    context::{self, succeeds},
    ensure,
    runc::{self, Bundle, bound},
};

const UNIT: &str = include_str!("../../../deploy/zombie-trace.service");
const NAME: &str = "zombie-trace.service";

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What is to run in the end. A unit that nothing wants would be forgotten when it stops, and how
/// it ended with it.
const TARGET: &str = "[Unit]\nWants=zombie-trace.service\n";

/// The load generator under a name that no other parent has.
const PARENT: &str = "zt-unit-load";

/// systemd is up within a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// Of users that exist as long as their service (DynamicUser= in systemd.exec(5)).
const DYNAMIC_USERS: std::ops::RangeInclusive<u32> = 61184..=65519;

pub(super) fn tests() -> Vec<Test> {
    let skip = runc::missing().or_else(|| context::no_program(SYSTEMD));
    let no_cgroup2 = || context::cgroup2_mount().map_or(Some("no cgroup v2".into()), |_| None);
    vec![
        Test::new("serve::deploy-unit-runs", runs)
            .long("takes a systemd in a container")
            .unless(skip.or_else(no_cgroup2)),
    ]
}

/// With all its hardening it sees zombies, has no rights by then, and stops without an error.
fn runs() -> Outcome {
    let address = engine::free_address()?;
    let machine = Machine::boot(address)?;
    runs_in(&machine, address)
        .map_err(|error| format!("{error}\n{}", machine.said(&["journalctl", "--no-pager"])))
}

fn runs_in(machine: &Machine, address: SocketAddr) -> Outcome {
    machine.await_answer(address)?;
    ensure!(machine.property("ActiveState")? == "active", "not active");
    let path = format!("/usr/local/bin/{PARENT}");
    let held = Held::by(machine.bundle.exec(&[&path, "held", "--count", "3"]))?;
    let parent = format!("parent=\"{PARENT}\"");
    await_figures(address, "3 zombies", |figures| {
        figures.sum(ZOMBIES, &parent) == 3.0
    })?;
    has_no_rights(machine)?;
    // Such as a kind of protection that is not to be had here.
    let warnings = [
        "journalctl",
        "--quiet",
        "--priority=warning",
        "--unit",
        NAME,
    ];
    let warnings = machine.said(&warnings);
    ensure!(warnings.is_empty(), "{warnings}");
    // Its own filter leaves it Landlock and seccomp.
    let said = machine.said(&["journalctl", "--quiet", "--unit", NAME]);
    ensure!(!said.contains("cannot use"), "{said}");
    drop(held);
    machine.systemctl(&["stop", NAME])?;
    for (property, expected) in [
        ("ActiveState", "inactive"),
        ("Result", "success"),
        // CLD_EXITED
        ("ExecMainCode", "1"),
        ("ExecMainStatus", "0"),
    ] {
        let value = machine.property(property)?;
        ensure!(value == expected, "{property} is {value}");
    }
    Ok(())
}

/// Nor do its threads.
fn has_no_rights(machine: &Machine) -> Outcome {
    let main = machine.property("MainPID")?;
    let statuses = machine.said(&["sh", "-c", "cat /proc/$0/task/*/status", &main]);
    let values = |key: &str| -> Vec<&str> {
        let lines = statuses.lines();
        let values = lines.filter_map(|line| line.strip_prefix(key));
        values.map(str::trim).collect()
    };
    let threads = values("Pid:").len();
    ensure!(threads >= 3, "{threads} threads: {statuses}");
    let none = format!("{:016x}", 0);
    let kept = capabilities_kept();
    for (key, expected) in [
        ("CapInh:", &*none),
        ("CapPrm:", &kept),
        ("CapEff:", &kept),
        ("CapAmb:", &none),
        ("NoNewPrivs:", "1"),
        // SECCOMP_MODE_FILTER
        ("Seccomp:", "2"),
    ] {
        ensure!(values(key) == vec![expected; threads], "{key} {statuses}");
    }
    for users in values("Uid:") {
        let mut users = users.split('\t').map(str::parse);
        ensure!(
            users.all(|user| user.is_ok_and(|user| DYNAMIC_USERS.contains(&user))),
            "{statuses}"
        );
    }
    Ok(())
}

/// A container whose first process is systemd. It ends when this is dropped.
struct Machine {
    bundle: Bundle,
    systemd: Child,
}

impl Machine {
    /// One that is to serve at this address, which is this machine's too.
    fn boot(address: SocketAddr) -> Result<Self, String> {
        let bundle = Bundle::new(&config())?;
        fill(&bundle.root(), address).map_err(|error| format!("a root: {error}"))?;
        let mut run = bundle.run();
        run.stdout(Stdio::null()).stderr(Stdio::null());
        let systemd = run.spawn().map_err(|error| format!("{run:?}: {error}"))?;
        Ok(Self { bundle, systemd })
    }

    fn await_answer(&self, address: SocketAddr) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = scrape(address) {
            ensure!(Instant::now() < deadline, "{error}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// What a command in it says.
    fn said(&self, args: &[&str]) -> String {
        match succeeds(&mut self.bundle.exec(args)) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => error,
        }
    }

    fn systemctl(&self, args: &[&str]) -> Result<String, String> {
        let args = [&["systemctl"], args].concat();
        let output = succeeds(&mut self.bundle.exec(&args))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What systemd knows of the unit.
    fn property(&self, name: &str) -> Result<String, String> {
        self.systemctl(&["show", "--value", "--property", name, NAME])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.bundle.kill("KILL").is_err() {
            let _ = self.systemd.kill();
        }
        let _ = self.systemd.wait();
    }
}

/// A root with no more of /etc than the unit and its settings.
fn fill(root: &Path, address: SocketAddr) -> io::Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        // In /usr, which is bound.
        symlink(fs::read_link(Path::new("/").join(name))?, root.join(name))?;
    }
    let etc = root.join("etc");
    let units = etc.join("systemd/system");
    let drop_ins = units.join(format!("{NAME}.d"));
    fs::create_dir_all(&drop_ins)?;
    fs::create_dir(etc.join("default"))?;
    // Without one it would ask for much else at its first boot.
    fs::write(etc.join("machine-id"), format!("{:032x}\n", 1))?;
    fs::write(units.join("default.target"), TARGET)?;
    fs::write(units.join(NAME), UNIT)?;
    fs::write(
        etc.join("default/zombie-trace"),
        format!("ZOMBIE_TRACE_OPTIONS=--listen {address}\n"),
    )?;
    let more = further_capabilities().join(" ");
    fs::write(
        drop_ins.join("capabilities.conf"),
        format!("[Service]\nAmbientCapabilities={more}\nCapabilityBoundingSet={more}\n"),
    )
}

/// Those of which the unit says that they are needed for this kernel.
fn further_capabilities() -> Vec<&'static str> {
    let tracepoint = backend::used() == Some("tracepoint");
    let before_5_11 = !context::kernel_is_at_least(5, 11);
    let needed = [
        (tracepoint, "CAP_DAC_READ_SEARCH"),
        (before_5_11, "CAP_SYS_RESOURCE"),
    ];
    let needed = needed.into_iter().filter(|(needed, _)| *needed);
    needed.map(|(_, name)| name).collect()
}

/// Enough for systemd: it mounts, becomes other users, and limits what a unit may do.
const CAPABILITIES: [&str; 16] = [
    "CAP_BPF",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_PERFMON",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
];

fn config() -> Value {
    let mut capabilities = CAPABILITIES.to_vec();
    capabilities.extend(further_capabilities());
    let new = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    let namespaces = ["pid", "mount", "ipc", "uts", "cgroup"];
    let program = |path: &Path, name: &str| bound(path, &Path::new("/usr/local/bin").join(name));
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "machine",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            // By which systemd knows where it is.
            "env": ["container=oci", "PATH=/usr/sbin:/usr/bin"],
            "args": [SYSTEMD],
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
        },
        "mounts": [
            new("/proc", "proc", &[]),
            new("/sys", "sysfs", &["ro"]),
            new("/sys/kernel/tracing", "tracefs", &["ro"]),
            new("/sys/fs/cgroup", "cgroup2", &[]),
            new("/dev", "tmpfs", &["mode=755"]),
            new("/run", "tmpfs", &["mode=755"]),
            new("/tmp", "tmpfs", &[]),
            new("/var", "tmpfs", &["mode=755"]),
            bound(Path::new("/usr"), Path::new("/usr")),
            new("/usr/local/bin", "tmpfs", &["mode=755"]),
            program(context::zombie_trace(), "zombie-trace"),
            program(context::load(), PARENT),
        ],
        "linux": {
            "cgroupsPath": format!("/zt-e2e/unit-{}", std::process::id()),
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            // Settings of the kernel are this machine's too.
            "readonlyPaths": ["/proc/sys"],
        },
    })
}
