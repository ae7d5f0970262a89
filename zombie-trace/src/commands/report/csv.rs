use std::{fmt, io};

use csv::Writer;

use crate::{
    model::{Comm, Zombie},
    sink::Medium,
    text::visible,
};

/// The keys of a `zombie` line, with those of its container and its phases in their places.
const TITLES: [&str; 36] = [
    "ts",
    "pid",
    "ns_pid",
    "comm",
    "uid",
    "ppid",
    "parent_comm",
    "foreign",
    "exit_code",
    "signal",
    "core_dumped",
    "zombie_ns",
    "error_ns",
    "teardown_ns",
    "run_ns",
    "how",
    "reaper_pid",
    "reaper_tid",
    "reaper_comm",
    "cgroup",
    "runtime",
    "id",
    "pod_uid",
    "hostname",
    "parent_container",
    "reaper_container",
    "flags",
    "notify_ns",
    "parent_not_waiting_ns",
    "runqueue_ns",
    "tracer_ns",
    "reap_ns",
    "cause",
    "cause_text",
    "why",
    "looked_at",
];

/// One row per zombie, below a row of titles. What is not known is empty.
pub(super) struct Csv<W: Medium> {
    out: Writer<W>,
    /// Control characters are made visible there.
    is_terminal: bool,
}

impl<W: Medium> Csv<W> {
    /// Writes the titles.
    pub(super) fn new(out: W, is_terminal: bool) -> io::Result<Self> {
        let mut out = Writer::from_writer(out);
        out.write_record(TITLES).map_err(io_error)?;
        Ok(Self { out, is_terminal })
    }

    pub(super) fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        let flags: Vec<_> = zombie.flags.iter().map(|flag| flag.as_str()).collect();
        self.field(format_args!("{:.9}", zombie.ts))?;
        self.field(zombie.pid)?;
        self.field(zombie.ns_pid)?;
        self.name(Some(&zombie.comm))?;
        self.field(zombie.uid)?;
        self.known(zombie.ppid)?;
        self.name(zombie.parent_comm.as_ref())?;
        self.known(zombie.foreign)?;
        self.known(zombie.exit_code)?;
        self.known(zombie.signal)?;
        self.field(zombie.core_dumped)?;
        self.field(zombie.zombie_ns)?;
        self.field(zombie.error_ns)?;
        self.known(zombie.teardown_ns)?;
        self.known(zombie.run_ns)?;
        self.field(zombie.how.as_str())?;
        self.known(zombie.reaper_pid)?;
        self.known(zombie.reaper_tid)?;
        self.name(zombie.reaper_comm.as_ref())?;
        self.known(zombie.cgroup.as_deref())?;
        let container = zombie.container.as_ref();
        self.known(container.and_then(|it| Some(it.runtime?.as_str())))?;
        self.known(container.and_then(|it| it.id.as_deref()))?;
        self.known(container.and_then(|it| it.pod_uid.as_deref()))?;
        self.known(container.and_then(|it| it.hostname.as_deref()))?;
        self.known(zombie.parent_container.as_deref())?;
        self.known(zombie.reaper_container.as_deref())?;
        self.field(flags.join(" "))?;
        let phases = zombie.phases.as_ref();
        self.known(phases.and_then(|phases| phases.notify_ns))?;
        self.known(phases.and_then(|phases| phases.parent_not_waiting_ns))?;
        self.known(phases.and_then(|phases| phases.runqueue_ns))?;
        self.known(phases.and_then(|phases| phases.tracer_ns))?;
        self.known(phases.and_then(|phases| phases.reap_ns))?;
        self.known(zombie.cause)?;
        self.known(zombie.cause_text.as_deref())?;
        self.known(zombie.why)?;
        let looked_at = zombie.looked_at.map(|ts| format!("{ts:.9}"));
        self.known(looked_at)?;
        self.out.write_record(None::<&[u8]>).map_err(io_error)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let out = self.out.into_inner();
        out.map_err(|error| error.into_error())?.end()
    }

    fn field(&mut self, value: impl fmt::Display) -> io::Result<()> {
        let mut text = value.to_string();
        if self.is_terminal {
            text = visible(&text);
        }
        // A spreadsheet takes these for the start of a formula; the quote makes it text.
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            text.insert(0, '\'');
        }
        self.out.write_field(text).map_err(io_error)
    }

    fn known(&mut self, value: Option<impl fmt::Display>) -> io::Result<()> {
        match value {
            Some(value) => self.field(value),
            None => self.field(""),
        }
    }

    fn name(&mut self, comm: Option<&Comm>) -> io::Result<()> {
        self.known(comm.map(Comm::to_str))
    }
}

/// Which alone can happen: that a reader has gone must show.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        container::Container,
        model::{Flag, Phases, fixtures::zombie},
    };

    fn rows(zombies: &[Zombie]) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, false).unwrap();
        for zombie in zombies {
            csv.zombie(zombie).unwrap();
        }
        csv.finish().unwrap();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(&*out);
        let rows = reader
            .records()
            .map(|row| row.unwrap().iter().map(str::to_owned).collect());
        rows.collect()
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let zombie = Zombie {
            comm: "a,\"b\"\n\u{202e}".into(),
            ppid: None,
            flags: vec![Flag::Reparented, Flag::Traced],
            phases: Some(Phases {
                runqueue_ns: Some(17),
                ..Phases::default()
            }),
            ..zombie()
        };
        let rows = rows(&[zombie]);
        assert_eq!(rows.len(), 2);
        let cell = |title: &str| {
            let column = rows[0].iter().position(|other| other == title).unwrap();
            rows[1][column].as_str()
        };
        assert_eq!(cell("ts"), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(cell("comm"), "a,\"b\"\n\u{202e}");
        assert_eq!((cell("ppid"), cell("parent_comm")), ("", "bash"));
        assert_eq!((cell("zombie_ns"), cell("core_dumped")), ("18234", "false"));
        assert_eq!((cell("how"), cell("flags")), ("wait4", "reparented traced"));
        assert_eq!((cell("notify_ns"), cell("runqueue_ns")), ("", "17"));
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (comm, cell) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+1", "'+1"),
            ("-sh", "'-sh"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("a=1", "a=1"),
        ] {
            let zombie = Zombie {
                comm: comm.into(),
                ..zombie()
            };
            assert_eq!(rows(&[zombie])[1][3], cell);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, true).unwrap();
        let zombie = Zombie {
            comm: "\x1b[2J\r=1".into(),
            cgroup: Some("/\u{9b}".into()),
            ..zombie()
        };
        csv.zombie(&zombie).unwrap();
        csv.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r"\x1b[2J\x0d=1"), "{text}");
        assert!(text.contains(r"/\u{9b}"), "{text}");
        let is_control = |char: &char| char.is_control() && *char != '\n';
        assert_eq!(text.chars().find(is_control), None);
    }

    #[test]
    fn titles_are_the_keys_of_json() {
        let zombie = Zombie {
            phases: Some(Phases::default()),
            container: Some(Container::default()),
            ..zombie()
        };
        let json = serde_json::to_value(&zombie).unwrap();
        let objects = [&json, &json["phases"], &json["container"]];
        let of_json = objects.map(|object| object.as_object().unwrap());
        let known =
            |title: &str| title == "ts" || of_json.iter().any(|keys| keys.contains_key(title));
        assert!(TITLES.iter().all(|title| known(title)));
        let flat = |key: &&String| !["phases", "container"].contains(&key.as_str());
        for key in of_json.iter().flat_map(|keys| keys.keys()).filter(flat) {
            assert!(TITLES.contains(&key.as_str()), "{key}");
        }
    }

    #[test]
    fn titles_without_zombies() {
        assert_eq!(rows(&[]).len(), 1);
    }
}
