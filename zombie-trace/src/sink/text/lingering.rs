use jiff::tz::TimeZone;

use super::{Look, flow::hanging, parent};
use crate::{
    lifecycle::LingeringParent,
    text::{
        escape::{cut, escape},
        human, printable,
        style::{self, paint},
        time_of_day,
    },
};

/// A command line is cut to so many columns.
const LONGEST_NAME: usize = 60;

/// A parent whose zombies linger, and why, in as many lines as that takes. With the time of day if there is a
/// zone.
pub(super) fn lingering(of: &LingeringParent, look: Look, zone: Option<&TimeZone>) -> String {
    let oldest = &of.oldest;
    let age = human(oldest.age_ns);
    let name = parent::name(of.cmdline.as_deref(), of.comm.as_ref());
    let mut text = String::new();
    if let Some(zone) = zone {
        text += &format!("{} ", time_of_day(oldest.ts, zone));
    }
    text += &cut(&name, LONGEST_NAME);
    if let Some(ppid) = of.ppid {
        text += &format!(" ({ppid})");
    }
    text += &match of.zombies {
        1 => format!(
            " has 1 living zombie, {} ({}), {age} old",
            printable(&oldest.comm),
            oldest.pid
        ),
        count => format!(" has {count} living zombies, the oldest {age}"),
    };
    if let Some(container) = &oldest.container {
        text += &format!(", in {}", escape(container.name()));
    }
    if let Some(cause) = oldest.cause {
        text += &format!(": {cause}");
        if let Some(finding) = &oldest.cause_text {
            let finding = parent::finding(finding, of.ppid, of.comm.as_ref());
            text += &format!(": {finding}");
        }
    }
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    hanging(&words, " ", 0, 4, look.width.unwrap_or(usize::MAX))
        .lines()
        .map(|line| paint(line, style::of_zombie(oldest.age_ns), look.color) + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Alive, Cause, fixtures::alive},
        text::escape::width,
    };

    fn leak(zombies: usize) -> LingeringParent {
        LingeringParent {
            ppid: Some(3436),
            comm: Some("python3".into()),
            cmdline: Some("/usr/bin/python3 supervisor.py".into()),
            zombies,
            oldest: Alive {
                age_ns: 7_100_000_000,
                cause: Some(Cause::NeverWaits),
                cause_text: Some(
                    "the parent 3436 (python3) neither handles SIGCHLD nor waits".into(),
                ),
                ..alive()
            },
        }
    }

    fn shown(of: &LingeringParent, width: Option<usize>) -> String {
        let look = Look {
            width,
            color: false,
        };
        lingering(of, look, None)
    }

    #[test]
    fn who_how_many_how_old_and_why() {
        assert_eq!(
            shown(&leak(67), None),
            "python3 supervisor.py (3436) has 67 living zombies, the oldest 7.10 s: never-waits: \
             neither handles SIGCHLD nor waits\n"
        );
        let one = shown(&leak(1), None);
        assert!(one.contains("has 1 living zombie, "), "{one}");
    }

    #[test]
    fn nothing_is_left_out_where_there_is_little_room() {
        let all = shown(&leak(67), None);
        for columns in 40..200 {
            let text = shown(&leak(67), Some(columns));
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
            let words: Vec<_> = text.split_whitespace().collect();
            assert_eq!(words.join(" "), all.trim_end(), "{columns}");
        }
    }
}
