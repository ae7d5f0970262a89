//! Lengths of time on a scale of steps under 1 %.

/// Steps between one power of two and the next.
const STEPS_LOG2: u32 = 7;
const STEPS: u64 = 1 << STEPS_LOG2;

/// The relative width of a step.
pub(super) const WIDTH: f64 = 1.0 / STEPS as f64;

/// The step that a number is in; below 128 each number has its own.
pub(super) fn step(value: u64) -> u16 {
    let octave = value.max(STEPS).ilog2() - STEPS_LOG2;
    // At most 57 × 128 + 255.
    (u64::from(octave) * STEPS + (value >> octave)) as u16
}

/// The middle of a step.
pub(super) fn middle(step: u16) -> f64 {
    let step = u64::from(step);
    let Some(octave) = (step / STEPS).checked_sub(1) else {
        return step as f64;
    };
    let width = (1_u64 << octave) as f64;
    let start = (STEPS + step % STEPS) as f64 * width;
    start + (width - 1.0) / 2.0
}

/// The largest whole number of a step.
pub(super) fn last(step: u16) -> u64 {
    let step = u64::from(step);
    match (step / STEPS).checked_sub(1) {
        None => step,
        Some(octave) => {
            let start = (STEPS + step % STEPS) << octave;
            start + ((1 << octave) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_exact() {
        for value in 0..2 * STEPS {
            assert_eq!(middle(step(value)), value as f64);
            assert_eq!(last(step(value)), value);
        }
    }

    #[test]
    fn every_number_is_within_half_a_percent_of_its_step() {
        let mut value = 1_u64;
        let mut previous = 0;
        while value < u64::MAX / 2 {
            let error = (middle(step(value)) / value as f64 - 1.0).abs();
            assert!(error < 0.004, "{value}: {error}");
            assert!(step(value) >= previous, "{value}");
            assert!(last(step(value)) >= value, "{value}");
            assert_eq!(step(last(step(value))), step(value), "{value}");
            previous = step(value);
            value += value / 300 + 1;
        }
        assert!(step(u64::MAX) < 8192);
    }
}
