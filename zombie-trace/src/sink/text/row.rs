use anstyle::Style;
use jiff::tz::TimeZone;

use super::{fit::TextColumn, notes::notes};
use crate::{
    container::Container,
    model::{Alive, Cause, Comm, How, Zombie},
    text::{escape::escape, human, lifetime, status, style, time_of_day},
};

/// Something to show in each column.
pub(super) trait Cells {
    /// The text, escaped but not cut, and its style.
    fn cell(&self, column: TextColumn, zone: &TimeZone) -> (String, Style);
}

impl Cells for Zombie {
    fn cell(&self, column: TextColumn, zone: &TimeZone) -> (String, Style) {
        match column {
            TextColumn::Time => (time_of_day(self.ts, zone), style::DIM),
            TextColumn::Pid => plain(self.pid.to_string()),
            TextColumn::Comm => plain(name(Some(&self.comm))),
            TextColumn::Ppid => plain(number(self.ppid)),
            TextColumn::Parent => plain(name(self.parent_comm.as_ref())),
            TextColumn::Status => (
                status(self.exit_code, self.signal, self.core_dumped),
                if self.failed() {
                    style::BAD
                } else {
                    style::PLAIN
                },
            ),
            TextColumn::Zombie => {
                let time = if self.autoreaped() {
                    "-".to_owned()
                } else {
                    lifetime::of(self)
                };
                (time, style::of_zombie(self.zombie_ns))
            }
            TextColumn::Why => plain(match (self.cause, self.phases) {
                (Some(cause), _) => cause.code().to_owned(),
                (None, Some(phases)) => phases.longest().as_str().to_owned(),
                (None, None) => "-".to_owned(),
            }),
            TextColumn::How => plain(self.how.as_str().to_owned()),
            TextColumn::Reaper => plain(reaper(self)),
            TextColumn::Notes => {
                let notes = notes(&self.flags, self.error_ns);
                (joined([place(self.container.as_ref()), notes]), style::DIM)
            }
        }
    }
}

impl Cells for Alive {
    fn cell(&self, column: TextColumn, zone: &TimeZone) -> (String, Style) {
        match column {
            TextColumn::Time => (time_of_day(self.ts, zone), style::DIM),
            TextColumn::Pid => plain(self.pid.to_string()),
            TextColumn::Comm => plain(name(Some(&self.comm))),
            TextColumn::Ppid => plain(number(self.ppid)),
            TextColumn::Parent => plain(name(self.parent_comm.as_ref())),
            TextColumn::Status => plain(status(self.exit_code, self.signal, false)),
            // It is not over: this sign says so where there is no room for `how`.
            TextColumn::Zombie => (
                format!(">{}", human(self.age_ns)),
                style::of_zombie(self.age_ns),
            ),
            TextColumn::Why => plain(self.cause.map_or("-", Cause::code).to_owned()),
            TextColumn::How => ("still a zombie".to_owned(), style::WARNING),
            TextColumn::Reaper => plain("-".to_owned()),
            TextColumn::Notes => {
                let notes = notes(&self.flags, self.error_ns);
                let place = place(self.container.as_ref());
                (joined([place, notes]), style::DIM)
            }
        }
    }
}

fn place(container: Option<&Container>) -> String {
    container.map_or_else(String::new, |container| {
        format!("in {}", escape(container.name()))
    })
}

fn joined<const N: usize>(notes: [String; N]) -> String {
    let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    notes.join(", ")
}

fn plain(text: String) -> (String, Style) {
    (text, style::PLAIN)
}

fn number(pid: Option<u32>) -> String {
    pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
}

fn name(comm: Option<&Comm>) -> String {
    comm.map_or_else(
        || "?".to_owned(),
        |comm| escape(&comm.to_str()).into_owned(),
    )
}

fn reaper(zombie: &Zombie) -> String {
    match (zombie.reaper_pid, zombie.how) {
        (Some(_), _) if zombie.reaper_pid == zombie.ppid => "parent".to_owned(),
        (Some(pid), _) => format!("{pid} {}", name(zombie.reaper_comm.as_ref())),
        (None, How::Autoreap | How::AutoreapOnReparent | How::NsTeardown | How::Kernel) => {
            "-".to_owned()
        }
        (None, _) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Flag,
        fixtures::{alive, zombie},
    };

    fn text(row: &impl Cells, column: TextColumn) -> String {
        row.cell(column, &TimeZone::UTC).0
    }

    #[test]
    fn time_of_day_in_microseconds() {
        let zombie = Zombie {
            ts: "2026-01-02T03:04:05.123456789Z".parse().unwrap(),
            ..zombie()
        };
        assert_eq!(text(&zombie, TextColumn::Time), "03:04:05.123456");
    }

    #[test]
    fn reapers() {
        let reaper = |ppid, reaper_pid: Option<u32>, how| {
            let reaper_comm = reaper_pid.map(|_| Comm::from("init"));
            text(
                &Zombie {
                    ppid,
                    reaper_pid,
                    reaper_comm,
                    how,
                    ..zombie()
                },
                TextColumn::Reaper,
            )
        };
        assert_eq!(reaper(Some(5), Some(5), How::Wait4), "parent");
        assert_eq!(reaper(Some(5), Some(1), How::Wait4), "1 init");
        assert_eq!(reaper(None, Some(1), How::Wait4), "1 init");
        assert_eq!(reaper(None, None, How::Unknown), "?");
        assert_eq!(reaper(Some(5), None, How::Autoreap), "-");
    }

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let zombie = Zombie {
            ppid: None,
            parent_comm: None,
            exit_code: None,
            ..zombie()
        };
        for column in [TextColumn::Ppid, TextColumn::Parent, TextColumn::Status] {
            assert_eq!(text(&zombie, column), "?");
        }
    }

    #[test]
    fn times_that_are_not_exact_have_a_sign() {
        let bounded = Zombie {
            flags: vec![Flag::BoundedEnd],
            ..zombie()
        };
        assert_eq!(text(&bounded, TextColumn::Zombie), "~18.2 µs");
        let bounded = Zombie {
            error_ns: 18_000,
            ..bounded
        };
        assert_eq!(text(&bounded, TextColumn::Zombie), "≤ 36.2 µs");
        let quick = Zombie {
            error_ns: 25_000,
            ..zombie()
        };
        assert_eq!(text(&quick, TextColumn::Zombie), "<25 µs");
        assert_eq!(text(&zombie(), TextColumn::Zombie), "18.2 µs");
        assert_eq!(text(&alive(), TextColumn::Zombie), ">3.00 s");
    }

    #[test]
    fn names_are_escaped() {
        let hostile = Comm::from("\x1b[2J\u{202e}");
        let zombie = Zombie {
            comm: hostile,
            parent_comm: Some(hostile),
            reaper_pid: Some(1),
            reaper_comm: Some(hostile),
            ..zombie()
        };
        assert_eq!(text(&zombie, TextColumn::Comm), r"\x1b[2J\u{202e}");
        assert_eq!(text(&zombie, TextColumn::Parent), r"\x1b[2J\u{202e}");
        assert_eq!(text(&zombie, TextColumn::Reaper), r"1 \x1b[2J\u{202e}");
    }

    #[test]
    fn containers_are_named_in_the_notes() {
        let zombie = Zombie {
            container: Some(Container {
                id: Some("9ec39b91f3d7".repeat(6)[..64].into()),
                hostname: Some("web".into()),
                ..Container::default()
            }),
            flags: vec![Flag::Reparented],
            ..zombie()
        };
        assert_eq!(
            text(&zombie, TextColumn::Notes),
            "in 9ec39b91f3d7, reparented"
        );
        let hostile = Container {
            hostname: Some("\x1b[2J".into()),
            ..Container::default()
        };
        let alive = Alive {
            cause: Some(Cause::NeverWaits),
            container: Some(hostile),
            ..alive()
        };
        assert_eq!(text(&alive, TextColumn::Notes), r"in \x1b[2J");
        assert_eq!(text(&alive, TextColumn::Why), "never-waits");
    }
}
