use std::fmt;

use super::boot::Clock;
use super::kernels::Kernel;

/// In the place of a forced backend's name.
pub(super) const ANY: &str = "any backend";

/// One run to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) kernel: Kernel,
    /// The one that is forced, if any.
    pub(super) backend: Option<&'static str>,
    pub(super) filter: String,
    pub(super) clock: Clock,
}

impl Job {
    /// For the kernel's command line.
    pub(super) fn arguments(&self) -> String {
        let filter = &self.filter;
        match self.backend {
            Some(backend) => format!("zt.filter={filter} zt.backend={backend}"),
            None => format!("zt.filter={filter}"),
        }
    }

    /// What makes this run again.
    pub(super) fn command(&self) -> String {
        let arch = match self.kernel.arch {
            arch if arch.is_native() => String::new(),
            arch => format!(" --arch {}", arch.name),
        };
        let backend = self
            .backend
            .map(|backend| format!(" --backend {backend}"))
            .unwrap_or_default();
        format!(
            "cargo xtask vm{arch} --kernel {}{backend} --shift {} --seed {} {}",
            self.kernel.name(),
            self.clock.shift,
            self.clock.seed,
            self.filter
        )
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {}, shift {}, seed {}",
            self.kernel.release,
            self.filter,
            self.backend.unwrap_or(ANY),
            self.clock.shift,
            self.clock.seed
        )
    }
}
