//! Container runtimes by the way that they name cgroups.

use std::sync::Arc;

use super::identity::{Container, Runtime, is_long_id};

impl Container {
    /// From a path in the cgroup v2 hierarchy; of nested containers the innermost. `None` if the
    /// path is no container's.
    ///
    /// What serves a container from outside, in a cgroup beside it (conmon, LXC's monitor,
    /// systemd-nspawn itself), is not in it.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut container: Option<Self> = None;
        let mut pod: Option<Arc<str>> = None;
        let mut pod_is_inner = false;
        let mut above = "";
        let mut in_kubepods = false;
        for name in path.split('/') {
            in_kubepods |= name == "kubepods";
            if is_helper(above, name) {
                return container;
            }
            if let Some(uid) = pod_uid(name, in_kubepods) {
                pod = Some(uid.into());
                pod_is_inner = true;
            }
            if let Some((runtime, id)) = container_id(above, name) {
                container = Some(Self {
                    runtime,
                    id: Some(id.into()),
                    pod_uid: pod.clone(),
                    hostname: None,
                });
                pod_is_inner = false;
            }
            above = name;
        }
        if pod_is_inner {
            return Some(Self {
                pod_uid: pod,
                ..Self::default()
            });
        }
        container
    }
}

/// How the engines that give long ids name a container's cgroup: `PREFIX-ID.scope` with the systemd
/// driver, `PREFIX-ID` or `SLICE:PREFIX:ID` with the cgroupfs driver, the last if they are given a
/// path for systemd.
pub(super) const PREFIXES: [(&str, Runtime); 5] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    // CRI-O 1.30, internal/config/cgmgr.
    ("crio", Runtime::CriO),
    ("libpod", Runtime::Podman),
];

/// Those that take any name for an id: runc 1.1 (libcontainer/specconv, ScopePrefix) and crun 1.15
/// (get_systemd_scope_and_slice), both run by hand.
const NAMED: [(&str, Runtime); 2] = [("runc-", Runtime::Runc), ("crun-", Runtime::Crun)];

/// A cgroup of podman's that is not named after the container alone: with `--cgroups=split`
/// (podman 4.9, libpod/container_internal_linux.go).
pub(super) const PODMAN_PAYLOAD: &str = "libpod-payload-";

/// Runtime and id, given the names of a cgroup and of the one above.
fn container_id<'a>(
    above: &str,
    name: &'a str,
) -> Option<(Option<Runtime>, std::borrow::Cow<'a, str>)> {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    if is_long_id(stem) {
        let runtime = (above == "docker").then_some(Runtime::Docker);
        return Some((runtime, stem.into()));
    }
    if let Some(id) = stem.strip_prefix(PODMAN_PAYLOAD)
        && is_long_id(id)
    {
        return Some((Some(Runtime::Podman), id.into()));
    }
    let (prefix, id) = match name.rsplit_once(':') {
        Some((slice, id)) => (slice.rsplit(':').next().unwrap_or(slice), id),
        None => stem.rsplit_once('-').unwrap_or_default(),
    };
    let known = PREFIXES.iter().find(|(known, _)| *known == prefix);
    if is_long_id(id) && (known.is_some() || name.contains(':')) {
        return Some((known.map(|(_, runtime)| *runtime), id.into()));
    }
    if name.ends_with(".scope") {
        for (prefix, runtime) in NAMED {
            if let Some(id) = stem.strip_prefix(prefix) {
                return Some((Some(runtime), unescape(id).into()));
            }
        }
    }
    // LXC 4.0 (src/lxc/cgroups/cgroup_utils.h); 3.1 had directories; before, and with Proxmox,
    // there is `lxc` alone.
    if let Some(id) = name.strip_prefix("lxc.payload.") {
        return Some((Some(Runtime::Lxc), id.into()));
    }
    if above == "lxc" || above == "lxc.payload" {
        return Some((Some(Runtime::Lxc), name.into()));
    }
    // systemd 256, src/nspawn/nspawn-cgroup.c (create_subcgroup): the container is in `payload`.
    if name == "payload"
        && let Some(machine) = machine(above).or_else(|| nspawn_service(above))
    {
        return Some((Some(Runtime::SystemdNspawn), machine.into()));
    }
    // Whatever else has registered it with machined; libvirt and vmspawn do so with machines that
    // are no containers, of which the name tells only for libvirt's.
    machine(name)
        .filter(|machine| !machine.starts_with("qemu-"))
        .map(|machine| (None, machine.into()))
}

/// A container's servants, beside it.
fn is_helper(above: &str, name: &str) -> bool {
    const HELPERS: [&str; 3] = ["crio-conmon-", "libpod-conmon-", "lxc.monitor."];
    HELPERS.iter().any(|helper| name.starts_with(helper)) || above == "lxc.monitor"
}

/// `machine-NAME.scope`.
fn machine(name: &str) -> Option<String> {
    let escaped = name.strip_prefix("machine-")?.strip_suffix(".scope")?;
    Some(unescape(escaped))
}

fn nspawn_service(name: &str) -> Option<String> {
    let escaped = name
        .strip_prefix("systemd-nspawn@")?
        .strip_suffix(".service")?;
    Some(unescape(escaped))
}

/// UID of a pod, given the name of a cgroup. The kubelet's systemd driver names it
/// `kubepods[-QOS]-podUID.slice` with `_` for `-`, its cgroupfs driver `podUID` somewhere below
/// `kubepods` (Kubernetes 1.30, pkg/kubelet/cm/cgroup_manager_linux.go).
fn pod_uid(name: &str, in_kubepods: bool) -> Option<String> {
    if in_kubepods && let Some(uid) = name.strip_prefix("pod") {
        return is_pod_uid(uid).then(|| uid.to_owned());
    }
    // Of `SLICE:PREFIX:ID` the slice.
    let slice = name.split(':').next()?.strip_suffix(".slice")?;
    // kind puts `kubelet-` in front.
    let (_, qos) = slice.split_once("kubepods")?;
    let (_, uid) = qos.rsplit_once("-pod")?;
    let uid = uid.replace('_', "-");
    is_pod_uid(&uid).then_some(uid)
}

/// A UUID; for a static pod an MD5 sum, of which only the length differs.
fn is_pod_uid(uid: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match uid.len() {
        32 => hex(uid),
        36 => {
            let lengths: Vec<_> = uid.split('-').map(str::len).collect();
            lengths == [8, 4, 4, 4, 12] && uid.split('-').all(hex)
        }
        _ => false,
    }
}

/// As [`unescape`] undoes it, for names without `/` and without a leading dot.
pub(super) fn escape(name: &str) -> String {
    let escaped = |c: char| match c {
        '-' => "\\x2d".to_owned(),
        c => c.to_string(),
    };
    name.chars().map(escaped).collect()
}

/// systemd's escapes in the names of units: `\x2d` for `-` (systemd.unit(5)).
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => {
                bytes.extend(b"\\x");
                bytes.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "b2a102854b4969b2ce98dc329c86b4fb2b06e4ad2cc8da9d8a7578c9cd2004a2";
    const INNER: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
    const UID: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";
    const UID_: &str = "72f7f152_440c_66ac_9084_e0fc1d8a910c";
    const HASH: &str = "0f2e9ab8f4c3dd0e5fbeb3b1f8a0a1c7";

    /// Runtime, id, pod.
    type Found<'a> = (Option<Runtime>, Option<&'a str>, Option<&'a str>);

    fn of(path: &str) -> Option<(Option<Runtime>, Option<String>, Option<String>)> {
        Container::of_path(path).map(|container| {
            assert_eq!(container.hostname, None);
            let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
            (
                container.runtime,
                text(container.id),
                text(container.pod_uid),
            )
        })
    }

    fn check(cases: &[(String, Option<Found<'_>>)]) {
        for (path, expected) in cases {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let expected = expected.map(|(runtime, id, pod)| (runtime, owned(id), owned(pod)));
            assert_eq!(of(path), expected, "{path}");
        }
    }

    #[test]
    fn docker() {
        let docker = Some((Some(Runtime::Docker), Some(ID), None));
        check(&[
            (format!("/system.slice/docker-{ID}.scope"), docker),
            (format!("/system.slice/docker-{ID}.scope/init"), docker),
            (format!("/docker/{ID}"), docker),
            // Rootless.
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"
                ),
                docker,
            ),
            // runc's cgroupfs driver with a path for systemd.
            (format!("/system.slice:docker:{ID}"), docker),
            ("/system.slice/docker.service".into(), None),
            ("/system.slice/docker.socket".into(), None),
            ("/docker/buildkit".into(), None),
        ]);
    }

    #[test]
    fn kubernetes_with_the_systemd_driver() {
        let containerd = Some((Some(Runtime::Containerd), Some(ID), Some(UID)));
        let crio = Some((Some(Runtime::CriO), Some(ID), Some(UID)));
        let burstable =
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice");
        check(&[
            (format!("{burstable}/cri-containerd-{ID}.scope"), containerd),
            // Guaranteed: there is no slice for the class.
            (
                format!("/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{ID}.scope"),
                containerd,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_}.slice/cri-containerd-{ID}.scope/system.slice/cron.service"
                ),
                containerd,
            ),
            (format!("{burstable}/crio-{ID}.scope"), crio),
            // crun puts the process into a cgroup of its own.
            (format!("{burstable}/crio-{ID}.scope/container"), crio),
            (format!("{burstable}/crio-conmon-{ID}.scope"), None),
            // A static pod: its UID is a hash.
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{HASH}.slice/cri-containerd-{ID}.scope"
                ),
                Some((Some(Runtime::Containerd), Some(ID), Some(HASH))),
            ),
            // cri-dockerd.
            (
                format!("{burstable}/docker-{ID}.scope"),
                Some((Some(Runtime::Docker), Some(ID), Some(UID))),
            ),
            // Of the pod, and of none of its containers.
            (burstable.clone(), Some((None, None, Some(UID)))),
            // containerd without `SystemdCgroup = true` under a kubelet with the systemd driver.
            (
                format!(
                    "/system.slice/containerd.service/kubepods-besteffort-pod{UID_}.slice:cri-containerd:{ID}"
                ),
                containerd,
            ),
            (
                format!("/kubepods-pod{UID_}.slice:cri-containerd:{ID}"),
                containerd,
            ),
            ("/kubepods.slice".into(), None),
            ("/kubepods.slice/kubepods-burstable.slice".into(), None),
            ("/system.slice/containerd.service".into(), None),
        ]);
    }

    #[test]
    fn kubernetes_with_the_cgroupfs_driver() {
        let plain = Some((None, Some(ID), Some(UID)));
        check(&[
            (format!("/kubepods/burstable/pod{UID}/{ID}"), plain),
            (format!("/kubepods/pod{UID}/{ID}"), plain),
            (
                format!("/kubepods/besteffort/pod{HASH}/{ID}"),
                Some((None, Some(ID), Some(HASH))),
            ),
            (
                format!("/kubepods/burstable/pod{UID}/crio-{ID}"),
                Some((Some(Runtime::CriO), Some(ID), Some(UID))),
            ),
            (
                format!("/kubepods/burstable/pod{UID}/crio-conmon-{ID}"),
                None,
            ),
            (
                format!("/kubepods/burstable/pod{UID}"),
                Some((None, None, Some(UID))),
            ),
            // Not below `kubepods`.
            (format!("/pod{UID}"), None),
            ("/kubepods/burstable/podium".into(), None),
        ]);
    }

    #[test]
    fn podman() {
        let podman = Some((Some(Runtime::Podman), Some(ID), None));
        check(&[
            (format!("/machine.slice/libpod-{ID}.scope"), podman),
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                podman,
            ),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"
                ),
                podman,
            ),
            // A podman pod is no Kubernetes pod.
            (
                format!("/machine.slice/machine-libpod_pod_{INNER}.slice/libpod-{ID}.scope"),
                podman,
            ),
            // The cgroupfs driver.
            (format!("/libpod_parent/libpod-{ID}"), podman),
            (format!("/libpod_parent/libpod-{ID}/ctr"), podman),
            // Quadlet: `--cgroups=split`.
            (
                format!("/system.slice/nginx.service/libpod-payload-{ID}"),
                podman,
            ),
            ("/system.slice/nginx.service/runtime".into(), None),
        ]);
    }

    #[test]
    fn runc_and_crun_by_hand() {
        check(&[
            (
                "/system.slice/runc-web.scope".into(),
                Some((Some(Runtime::Runc), Some("web"), None)),
            ),
            (
                "/user.slice/crun-my-box.scope".into(),
                Some((Some(Runtime::Crun), Some("my-box"), None)),
            ),
            // The cgroupfs driver: nothing tells who made it.
            (format!("/{ID}"), Some((None, Some(ID), None))),
            ("/web".into(), None),
        ]);
    }

    #[test]
    fn nspawn() {
        let nspawn = |name| Some((Some(Runtime::SystemdNspawn), Some(name), None));
        check(&[
            (
                "/machine.slice/machine-fedora.scope/payload/system.slice/cron.service".into(),
                nspawn("fedora"),
            ),
            (
                r"/machine.slice/machine-web\x2d1.scope/payload/init.scope".into(),
                nspawn("web-1"),
            ),
            (
                "/machine.slice/systemd-nspawn@web.service/payload/init.scope".into(),
                nspawn("web"),
            ),
            (
                "/machine.slice/systemd-nspawn@web.service/supervisor".into(),
                None,
            ),
            ("/machine.slice/systemd-nspawn@web.service".into(), None),
            // machined knows it, and nobody else.
            (
                "/machine.slice/machine-box.scope".into(),
                Some((None, Some("box"), None)),
            ),
            // A virtual machine of libvirt's.
            (
                r"/machine.slice/machine-qemu\x2d1\x2dwin11.scope/libvirt".into(),
                None,
            ),
        ]);
    }

    #[test]
    fn lxc() {
        let lxc = |name| Some((Some(Runtime::Lxc), Some(name), None));
        check(&[
            ("/lxc.payload.web".into(), lxc("web")),
            (
                "/lxc.payload.web/system.slice/cron.service".into(),
                lxc("web"),
            ),
            ("/lxc.monitor.web".into(), None),
            ("/lxc.payload/web".into(), lxc("web")),
            ("/lxc.monitor/web".into(), None),
            // Proxmox.
            ("/lxc/101/ns/init.scope".into(), lxc("101")),
            ("/lxc.monitor/101".into(), None),
        ]);
    }

    #[test]
    fn the_innermost_counts() {
        check(&[
            // kind: a node in Docker, a pod in the node.
            (
                format!(
                    "/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{INNER}.scope"
                ),
                Some((Some(Runtime::Containerd), Some(INNER), Some(UID))),
            ),
            // Docker in a pod: it is still that pod's.
            (
                format!("/kubepods/burstable/pod{UID}/{ID}/docker/{INNER}"),
                Some((Some(Runtime::Docker), Some(INNER), Some(UID))),
            ),
            // Docker in LXC; podman's servant in LXC is in the outer one.
            (
                format!("/lxc.payload.box/system.slice/docker-{ID}.scope"),
                Some((Some(Runtime::Docker), Some(ID), None)),
            ),
            (
                format!("/lxc.payload.box/machine.slice/libpod-conmon-{ID}.scope"),
                Some((Some(Runtime::Lxc), Some("box"), None)),
            ),
        ]);
    }

    #[test]
    fn what_is_no_container() {
        for path in [
            "",
            "/",
            "/init.scope",
            "/system.slice/cron.service",
            "/user.slice/user-1000.slice/session-3.scope",
            // One digit too few, one too many, upper case.
            &format!("/docker-{}.scope", &ID[1..]),
            &format!("/docker-{ID}0.scope"),
            &format!("/{}", ID.to_uppercase()),
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn escapes_of_units() {
        assert_eq!(unescape(r"a\x2db"), "a-b");
        assert_eq!(unescape(r"\xzz\x2"), r"\xzz\x2");
        assert_eq!(unescape(r"\xff"), r"\xff");
    }

    proptest! {
        #[test]
        fn never_panics(path in "[/a-z0-9:.\\\\x-]{0,200}") {
            let _ = Container::of_path(&path);
        }
    }
}
