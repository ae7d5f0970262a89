use anyhow::Context as _;

use super::notice;
use crate::{
    kernel::{Config, Tracer},
    stderr::say,
};

/// Loads the hooks. With `explain`, says why they are not the best ones, if so.
pub(crate) fn attach(config: &Config, explain: bool) -> anyhow::Result<Tracer> {
    let started = Tracer::start(config);
    let tracer = match (started, config.backend) {
        (Err(error), Some(backend)) if error.is_of_a_backend() => {
            return Err(error).with_context(|| {
                format!(
                    "--backend {backend} does not work here; leave it out to get the best backend \
                     that does"
                )
            });
        }
        (started, _) => started?,
    };
    // Otherwise `doctor` says it.
    if explain && !tracer.refusals().is_empty() {
        say(&notice::fallback(tracer.backend(), tracer.refusals()));
    }
    Ok(tracer)
}
