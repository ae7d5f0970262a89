//! The image, made as deploy/Containerfile says and run as deploy/kubernetes.yaml says.

use std::{env, fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{BY_LOAD, Held, ZOMBIES, await_figures, confinement, start};
use crate::{
    Outcome, Test, context,
    context::succeeds,
    ensure,
    runc::{self, Bundle},
    tracer::Tracer,
};

const CONTAINERFILE: &str = include_str!("../../../deploy/Containerfile");
const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes.yaml");

const BUILDAH: &str = "/usr/bin/buildah";

pub(super) fn tests() -> Vec<Test> {
    let skip = runc::missing().or_else(|| context::no_program(BUILDAH));
    let skip = skip.or_else(context::no_cargo);
    vec![
        Test::new("serve::deploy-image-and-daemon-set", image_and_daemon_set)
            .long("builds an image")
            .unless(skip),
    ]
}

/// A container of the image, with what the DaemonSet has, the node's pids and some capabilities,
/// sees the node's zombies, and has no rights left after that.
fn image_and_daemon_set() -> Outcome {
    let image = context::fresh_path("image");
    let entry_point = build(&image)?;
    let bundle = Bundle::new(&config(&entry_point)?)?;
    fs::remove_dir(bundle.root())
        .and_then(|()| fs::rename(image.join("root"), bundle.root()))
        .map_err(|error| format!("{}: {error}", image.display()))?;
    let (tracer, address) = start(Tracer::of(bundle.run()))?;
    let held = Held::start(3)?;
    await_figures(address, "3 zombies", |figures| {
        figures.sum(ZOMBIES, BY_LOAD) == 3.0
    })?;
    let status = format!("/proc/{}/status", bundle.pid()?);
    let status = fs::read_to_string(&status).map_err(|error| format!("{status}: {error}"))?;
    let none = "CapPrm:\t0000000000000000\n";
    ensure!(status.contains(none), "no {none:?}: {status}");
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
    let uid = uid.and_then(|line| line.split('\t').next()?.parse().ok());
    let own = confinement::own_user();
    ensure!(uid.is_some_and(|uid| own.contains(&uid)), "{status}");
    drop(held);
    bundle.kill("TERM")?;
    let run = tracer.finish()?;
    run.expect_code(0)?;
    ensure!(!run.stderr.contains("cannot use"), "{}", run.stderr);
    bundle.no_residue()
}

/// Follows the Containerfile, and copies the image's root into this directory. Gives its entry
/// point.
fn build(directory: &Path) -> Result<Vec<String>, String> {
    let [cargo, buildah] = &commands()[..] else {
        return Err(format!("not two commands: {:?}", commands()));
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut compile = Command::new("sh");
    compile.args(["-c", cargo]).current_dir(&repository);
    // The commands name the directory that cargo takes if it is told of no other.
    succeeds(compile.env_remove("CARGO_TARGET_DIR"))?;

    // Whatever buildah keeps is gone with the mounts.
    let script = format!(
        "mount -t tmpfs tmpfs /var/lib
         mount -t tmpfs tmpfs /run
         {buildah}
         container=$(buildah from localhost/zombie-trace)
         cp --archive \"$(buildah mount \"$container\")\" \"$0/root\"
         buildah inspect --type image localhost/zombie-trace >\"$0/image.json\""
    );
    let made = |error| format!("{}: {error}", directory.display());
    fs::create_dir(directory).map_err(made)?;
    let mut pack = Command::new("unshare");
    pack.args(["--mount", "sh", "-euc", &script])
        .arg(directory)
        // It needs nothing of the kernel.
        .env("STORAGE_DRIVER", "vfs")
        .current_dir(&repository);
    succeeds(&mut pack)?;
    let image = fs::read(directory.join("image.json")).map_err(made)?;
    let image: Value = serde_json::from_slice(&image).map_err(|error| error.to_string())?;
    let entry_point = image["OCIv1"]["config"]["Entrypoint"].clone();
    serde_json::from_value(entry_point).map_err(|error| format!("no entry point: {error}: {image}"))
}

/// Those that the Containerfile's comment has, which are indented there.
fn commands() -> Vec<String> {
    let lines = CONTAINERFILE
        .lines()
        .filter_map(|line| line.strip_prefix("#   "));
    let mut commands = vec![String::new()];
    for line in lines {
        let command = commands.last_mut().expect("one at least");
        *command += line;
        if command.ends_with('\\') {
            *command += "\n";
        } else {
            commands.push(String::new());
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// What runc takes, of the DaemonSet's capabilities and mounts.
fn config(entry_point: &[String]) -> Result<Value, String> {
    let line = |key: &str| {
        DAEMON_SET
            .lines()
            .find_map(|line| line.trim().strip_prefix(key))
    };
    let list = line("add: [").and_then(|list| list.strip_suffix(']'));
    let list = list.ok_or("no capabilities in kubernetes.yaml")?;
    let capabilities: Vec<_> = list.split(", ").map(|name| format!("CAP_{name}")).collect();
    let tracefs = line("mountPath: ").ok_or("no mount in kubernetes.yaml")?;
    for (key, expected) in [
        ("privileged: ", "false"),
        ("hostPID: ", "true"),
        ("allowPrivilegeEscalation: ", "false"),
        ("readOnlyRootFilesystem: ", "true"),
    ] {
        let value = line(key);
        ensure!(value == Some(expected), "{key}{value:?} for {expected}");
    }
    let ourselves = std::process::id().to_string();
    let mut args = entry_point.to_vec();
    args.extend(["--listen", "127.0.0.1:0", "--tree", &ourselves].map(str::to_owned));
    Ok(json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "node",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "noNewPrivileges": true,
            "args": args,
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": tracefs, "type": "tracefs", "source": "tracefs", "options": ["ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {"namespaces": [{"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
    }))
}
