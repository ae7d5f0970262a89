use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::system::{
    cgroup2_mount,
    mounts::{self, Mount},
};

/// A cgroup of a demonstration; removed at the end.
#[derive(Debug)]
pub(super) struct DemoCgroup {
    directory: PathBuf,
    /// The file that puts processes into their state, and its contents.
    switch: Option<(&'static str, &'static str, &'static str)>,
}

impl DemoCgroup {
    /// One that is frozen when the parent is in it.
    pub(super) fn for_freezing() -> anyhow::Result<Self> {
        let mount = cgroup2_mount().context("cgroup v2 is not mounted")?;
        let mut cgroup = Self::create(&mount)?;
        if !cgroup.directory.join("cgroup.freeze").exists() {
            bail!("this kernel's cgroup v2 has no freezer");
        }
        cgroup.switch = Some(("cgroup.freeze", "1", "0"));
        Ok(cgroup)
    }

    /// One that gets a thousandth of a CPU.
    pub(super) fn with_little_cpu() -> anyhow::Result<Self> {
        if let Some(mount) = cgroup2_mount()
            && let Ok(controllers) = fs::read_to_string(mount.join("cgroup.subtree_control"))
            && controllers.split_whitespace().any(|name| name == "cpu")
        {
            let mut cgroup = Self::create(&mount)?;
            cgroup.switch = Some(("cpu.max", "1000 1000000", "max"));
            return Ok(cgroup);
        }
        let Some(mount) = cpu_hierarchy() else {
            bail!("no cgroup has the cpu controller (cgroup.subtree_control of cgroup v2's root)");
        };
        let mut cgroup = Self::create(&mount)?;
        cgroup.write("cpu.cfs_period_us", "1000000")?;
        cgroup.switch = Some(("cpu.cfs_quota_us", "1000", "-1"));
        Ok(cgroup)
    }

    fn create(mount: &Path) -> anyhow::Result<Self> {
        let name = format!("zombie-trace-demo-{}", std::process::id());
        let directory = mount.join(name);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make the cgroup {}", directory.display()))?;
        Ok(Self {
            directory,
            switch: None,
        })
    }

    /// Puts a process in, and into its state.
    pub(super) fn take(&self, pid: u32) -> anyhow::Result<()> {
        self.write("cgroup.procs", &pid.to_string())?;
        match self.switch {
            Some((file, on, _)) => self.write(file, on),
            None => Ok(()),
        }
    }

    /// Lets its processes go on: to end takes CPU time too.
    pub(super) fn release(&self) {
        if let Some((file, _, off)) = self.switch {
            let _ = self.write(file, off);
        }
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }
}

impl Drop for DemoCgroup {
    fn drop(&mut self) {
        // A dead process leaves with its last reference only.
        let deadline = Instant::now() + Duration::from_secs(2);
        while let Err(error) = fs::remove_dir(&self.directory) {
            if error.kind() == io::ErrorKind::NotFound || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where the cpu controller of cgroup v1 is mounted.
fn cpu_hierarchy() -> Option<PathBuf> {
    let has_cpu =
        |mount: &Mount| mount.kind == "cgroup" && mount.options.iter().any(|it| it == "cpu");
    let mounts = mounts::read().ok()?;
    Some(mounts.into_iter().find(has_cpu)?.point)
}
