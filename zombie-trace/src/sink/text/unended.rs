//! Processes that have begun to end and do not come to their end.

use jiff::{Timestamp, tz::TimeZone};

use super::{Look, flow::hanging};
use crate::{
    cause,
    model::{Alive, Dying},
    text::{
        printable,
        style::{self, paint},
        time_of_day, visible,
    },
};

/// One that dies, in a sentence.
pub(super) fn dying(dying: &Dying) -> String {
    let Dying { pid, comm, .. } = dying;
    format!(
        "{} ({pid}) is dying: {}",
        printable(comm),
        cause::dying(dying)
    )
}

/// One whose main thread alone has ended.
pub(super) fn without_leader(alive: &Alive) -> String {
    let mut text = format!("{} ({})", printable(&alive.comm), alive.pid);
    if let Some(cause) = alive.cause {
        text += &format!(": {cause}");
    }
    if let Some(finding) = &alive.cause_text {
        text += &format!(": {}", visible(finding));
    }
    text
}

/// Such a sentence in as many lines as it takes, after the time of day if there is a zone.
pub(super) fn line(text: &str, ts: Timestamp, zone: Option<&TimeZone>, look: Look) -> String {
    let time = zone.map(|zone| time_of_day(ts, zone));
    let words = time.into_iter().chain(text.split(' ').map(str::to_owned));
    let words: Vec<_> = words.collect();
    hanging(&words, " ", 0, 4, look.width.unwrap_or(usize::MAX))
        .lines()
        .map(|line| paint(line, style::WARNING, look.color) + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Cause, fixtures},
        text::escape::width,
    };

    #[test]
    fn who_it_is_and_what_is_in_the_way() {
        assert_eq!(
            dying(&fixtures::dying()),
            "server (120) is dying: killed at least 4.20 s ago, cannot end: thread 123 (worker) hangs in \
             fuse_wait_answer (D), and 1 more"
        );
        let alive = Alive {
            cause: Some(Cause::LeaderWithThreads),
            cause_text: Some("its main thread has ended".into()),
            ..fixtures::alive()
        };
        assert_eq!(
            without_leader(&alive),
            "sleep (4243): leader-with-threads: its main thread has ended"
        );
    }

    #[test]
    fn no_line_is_too_wide() {
        let text = dying(&fixtures::dying());
        for columns in 40..200 {
            let look = Look {
                width: Some(columns),
                color: false,
            };
            let lines = line(&text, Timestamp::UNIX_EPOCH, Some(&TimeZone::UTC), look);
            assert!(lines.lines().all(|line| width(line) <= columns), "{lines}");
        }
    }
}
