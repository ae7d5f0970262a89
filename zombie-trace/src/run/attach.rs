use super::notice;
use crate::{
    kernel::{Config, Tracer},
    stderr::say,
};

/// Loads the hooks. With `explain`, says why they are not the best ones, if so.
pub(crate) fn attach(config: &Config, explain: bool) -> anyhow::Result<Tracer> {
    let tracer = Tracer::start(config)?;
    // Otherwise `doctor` says it.
    if explain && !tracer.refusals().is_empty() {
        say(&notice::fallback(tracer.backend(), tracer.refusals()));
    }
    Ok(tracer)
}
