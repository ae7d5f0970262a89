use std::io::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use super::{Medium, Sink};
use crate::{
    aggregate::{Interval, Summary},
    model::{Alive, Doing, Dying, Loss, SCHEMA, Stack, Start, Unlisted, Zombie},
};

/// Writes an object, with all control and format characters in strings escaped. JSON requires that
/// only below U+0020, but a terminal also obeys U+009B, and U+202E reorders what it shows. `##` is
/// escaped too: it starts a command in some build logs.
pub(crate) fn to_json(out: &mut impl io::Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Visible);
    Ok(value.serialize(&mut serializer)?)
}

struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if is_plain(fragment.as_bytes()) {
            return CompactFormatter.write_string_fragment(out, fragment);
        }
        let mut last = None;
        for char in fragment.chars() {
            let is_command = char == '#' && last == Some('#');
            last = Some(char);
            if is_shown(char) && !is_command {
                out.write_all(char.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Printable ASCII without `##`. Each key and name goes through it: it looks at each byte once.
fn is_plain(text: &[u8]) -> bool {
    let mut last = 0;
    text.iter().all(|&byte| {
        let is_command = byte == b'#' && last == b'#';
        last = byte;
        matches!(byte, b' '..=b'~') && !is_command
    })
}

/// It can be printed, or belongs to the character before. Quotes and what else JSON escapes are in no
/// fragment.
fn is_shown(char: char) -> bool {
    let text = ['a', char];
    char.is_ascii_graphic() || String::from_iter(text).escape_debug().eq(text)
}

/// Writes JSON Lines: an object a line, `type` and `ts` first.
///
/// docs/schema/zombie-trace-v1.schema.json describes them.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    stream: bool,
    line: Vec<u8>,
}

impl<W: Medium> Json<W> {
    /// Writes to `out`; without `stream`, it leaves out `zombie`, `unlisted`, `alive` and `dying`.
    pub fn new(out: W, stream: bool) -> Self {
        Self {
            out,
            stream,
            line: Vec::new(),
        }
    }

    /// Writes an object of this type; `body` holds its other fields.
    fn write(&mut self, kind: &str, ts: Timestamp, body: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        // Always nine digits, which a serialized Timestamp has only if it needs them.
        write!(self.line, r#"{{"type":"{kind}","ts":"{ts:.9}""#)?;
        if kind == "start" {
            write!(self.line, r#","schema":{SCHEMA}"#)?;
        }
        let brace = self.line.len();
        to_json(&mut self.line, body)?;
        // Its fields go on where ours end; no body is without.
        self.line[brace] = b',';
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl<W: Medium> Sink for Json<W> {
    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.write("start", start.ts, start)
    }

    fn zombie(&mut self, zombie: &Zombie) -> io::Result<()> {
        if self.stream {
            self.write("zombie", zombie.ts, zombie)
        } else {
            Ok(())
        }
    }

    fn alive(&mut self, alive: &Alive) -> io::Result<()> {
        if self.stream {
            self.write("alive", alive.ts, alive)
        } else {
            Ok(())
        }
    }

    fn dying(&mut self, dying: &Dying) -> io::Result<()> {
        if self.stream {
            self.write("dying", dying.ts, dying)
        } else {
            Ok(())
        }
    }

    fn wants_unlisted(&self) -> bool {
        self.stream
    }

    fn unlisted(&mut self, unlisted: &Unlisted) -> io::Result<()> {
        self.write("unlisted", unlisted.ts, unlisted)
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        self.write("loss", loss.ts, loss)
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        self.write("interval", interval.ts, interval)
    }

    fn doing(&mut self, stacks: &[Stack], doing: &[Doing]) -> io::Result<()> {
        for stack in stacks {
            self.write("stack", stack.ts, stack)?;
        }
        for doing in doing {
            self.write("doing", doing.ts, doing)?;
        }
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.write("summary", summary.ts, summary)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn has_room(&mut self) -> bool {
        self.out.has_room()
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::{
        aggregate::Aggregate,
        model::{
            Counts, Lost,
            fixtures::{alive, dying, start, zombie},
        },
    };

    fn lines(stream: bool, fill: impl FnOnce(&mut Json<&mut Vec<u8>>)) -> Vec<Value> {
        let mut out = Vec::new();
        fill(&mut Json::new(&mut out, stream));
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn time_always_has_nine_digits() {
        for (ts, text) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"),
            ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120000000Z"),
            (
                "2026-01-02T03:04:05.123456789Z",
                "2026-01-02T03:04:05.123456789Z",
            ),
        ] {
            let zombie = Zombie {
                ts: ts.parse().unwrap(),
                ..zombie()
            };
            assert_eq!(
                lines(true, |json| json.zombie(&zombie).unwrap())[0]["ts"],
                text
            );
        }
    }

    #[test]
    fn type_and_time_come_first() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, true);
        json.start(&start()).unwrap();
        json.zombie(&zombie()).unwrap();
        json.alive(&alive()).unwrap();
        json.dying(&dying()).unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            assert!(line.starts_with(r#"{"type":""#), "{line}");
            assert!(line.contains(r#"","ts":""#), "{line}");
            assert_eq!(line.matches(r#""ts":"#).count(), 1, "{line}");
        }
    }

    #[test]
    fn a_dying_process_has_its_threads() {
        let lines = lines(true, |json| json.dying(&dying()).unwrap());
        let expected = serde_json::json!({
            "type": "dying",
            "ts": "1970-01-01T00:00:00.000000000Z",
            "pid": 120,
            "comm": "server",
            "ppid": 100,
            "signal": 9,
            "since_ns": 4_200_000_000_u64,
            "tracer_pid": null,
            "threads": [
                { "tid": 123, "comm": "worker", "state": "D", "wchan": "fuse_wait_answer" },
                { "tid": 124, "comm": "worker", "state": "R", "wchan": null },
            ],
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn start_has_the_schema_and_the_command_or_null() {
        let with = Start {
            command: Some(vec!["make".into(), "-j8".into()]),
            ..start()
        };
        let lines = lines(true, |json| {
            json.start(&start()).unwrap();
            json.start(&with).unwrap();
        });
        assert_eq!(lines[0]["schema"], 1);
        assert_eq!(lines[0]["command"], Value::Null);
        assert!(lines[0].as_object().unwrap().contains_key("command"));
        assert_eq!(lines[1]["command"], serde_json::json!(["make", "-j8"]));
    }

    #[test]
    fn summary_alone_keeps_start_loss_and_summary() {
        let summary = Aggregate::default().summary(
            Counts::default(),
            Timestamp::UNIX_EPOCH,
            Duration::from_secs(1),
        );
        let loss = Loss {
            ts: Timestamp::UNIX_EPOCH,
            lost: Lost {
                missed: 3,
                ..Lost::default()
            },
        };
        let lines = lines(false, |json| {
            json.start(&start()).unwrap();
            json.zombie(&zombie()).unwrap();
            json.alive(&alive()).unwrap();
            json.dying(&dying()).unwrap();
            json.loss(&loss).unwrap();
            json.summary(&summary).unwrap();
        });
        let types: Vec<_> = lines
            .iter()
            .map(|line| line["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, ["start", "loss", "summary"]);
        assert_eq!(lines[1]["missed"], 3);
    }

    #[test]
    fn names_are_data_and_stay_as_they_are() {
        let zombie = Zombie {
            comm: "\x1b[31m\"\n\u{202e}".into(),
            ..zombie()
        };
        let lines = lines(true, |json| json.zombie(&zombie).unwrap());
        assert_eq!(lines[0]["comm"], "\x1b[31m\"\n\u{202e}");
    }

    #[test]
    fn no_string_holds_what_a_terminal_obeys() {
        let text = "\x1b[31m\u{9b}31m\u{202e}\u{7f}\u{e0041}\" ##[x] naïve e\u{301} 日本";
        let mut out = Vec::new();
        to_json(&mut out, &text).unwrap();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(
            json,
            r##""\u001b[31m\u009b31m\u202e\u007f\udb40\udc41\" #\u0023[x] naïve e"##.to_owned()
                + "\u{301} 日本\""
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
