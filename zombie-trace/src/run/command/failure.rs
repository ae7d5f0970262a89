use libc::c_int;
use nix::errno::Errno;

/// What a child was at when something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildStage {
    Terminal,
    Identity,
    Exec,
}

/// What went wrong between fork and exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) stage: ChildStage,
    pub(super) error: Errno,
}

impl Failure {
    pub(super) fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = (self.error as c_int).to_ne_bytes();
        [self.stage as u8, a, b, c, d]
    }

    pub(super) fn from_bytes([stage, error @ ..]: [u8; 5]) -> Option<Self> {
        let stages = [ChildStage::Terminal, ChildStage::Identity, ChildStage::Exec];
        Some(Self {
            stage: stages.into_iter().find(|known| *known as u8 == stage)?,
            error: Errno::from_raw(c_int::from_ne_bytes(error)),
        })
    }
}
