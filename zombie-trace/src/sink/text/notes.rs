use crate::{
    model::Flag,
    text::{human, lifetime::is_approximate},
};

/// What is special about a record, in short; with the error if the time is not exact.
pub(super) fn notes(flags: &[Flag], error_ns: u64) -> String {
    let error = is_approximate(flags).then(|| format!("±{}", human(error_ns)));
    let flags = flags.iter().map(|&flag| short(flag).to_owned());
    error
        .into_iter()
        .chain(flags)
        .collect::<Vec<_>>()
        .join(", ")
}

fn short(flag: Flag) -> &'static str {
    match flag {
        Flag::ApproximateStart => "approximate",
        Flag::BoundedEnd => "bounded",
        Flag::LeaderExitedEarly => "leader early",
        Flag::Reparented => "reparented",
        Flag::Traced => "traced",
        Flag::PreExisting => "pre-existing",
        Flag::NoExitSignal => "no signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_shown_where_it_matters() {
        assert_eq!(notes(&[], 300), "");
        assert_eq!(
            notes(&[Flag::Traced, Flag::Reparented], 300),
            "traced, reparented"
        );
        assert_eq!(notes(&[Flag::BoundedEnd], 4_000_000), "±4.00 ms, bounded");
    }
}
