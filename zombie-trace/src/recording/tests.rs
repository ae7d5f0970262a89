use std::io::Cursor;

use jiff::Timestamp;

use super::*;
use crate::{
    model::{Cause, Flag, How, Lost, Zombie, fixtures},
    sink::{Json, Sink as _},
};

const START: &str = r#"{"type":"start","ts":"2026-01-02T03:04:05.000000001Z","schema":1,"version":"0.1.0","kernel":"6.12.0","backend":"fentry","tracer_pid":7,"command":["make","-j8"]}
"#;
const LOSS: &str = r#"{"type":"loss","ts":"2026-01-02T03:04:06Z","ring_full":1,"map_full":2,"missed":3}
"#;
const INTERVAL: &str = r#"{"type":"interval","ts":"2026-01-02T03:04:06Z","duration_ns":1000000000,"exits":3,"reaped":2,"autoreaped":1,"alive":0,"filtered":0,"lost":{"ring_full":0,"map_full":0,"missed":0},"zombie_ns":{"count":2,"min":5,"mean":6,"p50":5,"p90":7,"p99":7,"p999":7,"max":7},"histogram":[[5,6,1],[7,8,1]]}
"#;
const SUMMARY: &str = r#"{"type":"summary","ts":"2026-01-02T03:04:17Z","duration_ns":12345000000,"exits":0,"reaped":0,"autoreaped":0,"alive":0,"pre_existing":0,"filtered":0,"lost":{"ring_full":0,"map_full":0,"missed":0},"complete":true,"zombie_ns":{"count":0,"min":null,"mean":null,"p50":null,"p90":null,"p99":null,"p999":null,"max":null},"by_parent":[]}
"#;

fn zombie() -> String {
    let mut out = Vec::new();
    Json::new(&mut out, true)
        .zombie(&fixtures::zombie())
        .unwrap();
    String::from_utf8(out).unwrap()
}

fn open(bytes: impl Into<Vec<u8>>) -> Result<Recording, RecordingError> {
    Recording::from_reader("run", Cursor::new(bytes.into()))
}

fn read(bytes: impl Into<Vec<u8>>) -> (Vec<Line>, Remarks) {
    let mut recording = open(bytes).unwrap();
    let lines = recording.by_ref().map(Result::unwrap).collect();
    (lines, recording.remarks().clone())
}

fn message(bytes: impl Into<Vec<u8>>) -> String {
    let error = match open(bytes) {
        Ok(recording) => recording.collect::<Result<Vec<_>, _>>().unwrap_err(),
        Err(error) => error,
    };
    error.to_string()
}

fn compressed(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 0).unwrap()
}

#[test]
fn every_line_is_read_as_it_was_written() {
    let zombies = [
        fixtures::zombie(),
        Zombie {
            comm: "\x1b[31m\"\n\u{202e}".into(),
            ppid: None,
            parent_comm: None,
            how: How::IoUring,
            cgroup: Some("/a\"b".into()),
            flags: vec![Flag::PreExisting, Flag::BoundedEnd],
            phases: Some(crate::model::Phases::default()),
            ..fixtures::zombie()
        },
    ];
    let alive = crate::model::Alive {
        cause: Some(Cause::ParentStopped),
        cause_text: Some("stopped".into()),
        ..fixtures::alive()
    };
    let mut out = Vec::new();
    let mut json = Json::new(&mut out, true);
    for zombie in &zombies {
        json.zombie(zombie).unwrap();
    }
    json.alive(&alive).unwrap();
    let mut bytes = START.as_bytes().to_vec();
    bytes.extend(out);
    bytes.extend((LOSS.to_owned() + INTERVAL + SUMMARY).bytes());
    let (lines, remarks) = read(bytes);
    assert_eq!(remarks.cut, None);
    assert_eq!((remarks.lines, remarks.corrupt), (7, 0));
    let [zombie, other] = zombies;
    assert_eq!(
        lines[1..4],
        [
            Line::Zombie(zombie),
            Line::Zombie(other),
            Line::Alive(alive)
        ]
    );
    assert!(
        matches!(&lines[0], Line::Start(start) if start.backend == "fentry"
            && start.command == Some(vec!["make".to_owned(), "-j8".to_owned()]))
    );
    let lost = Lost {
        ring_full: 1,
        map_full: 2,
        missed: 3,
    };
    assert!(matches!(&lines[4], Line::Loss(loss) if loss.lost == lost));
    assert!(
        matches!(&lines[5], Line::Interval(interval) if interval.histogram == [(5, 6, 1), (7, 8, 1)]
            && interval.zombie_ns.p99 == Some(7))
    );
    assert!(
        matches!(&lines[6], Line::Summary(summary) if summary.duration_ns == 12_345_000_000
            && summary.ts == "2026-01-02T03:04:17Z".parse::<Timestamp>().unwrap())
    );
}

#[test]
fn the_start_is_known_before_the_lines_are_read() {
    let recording = open(START.to_owned() + SUMMARY).unwrap();
    assert_eq!(recording.start().unwrap().kernel, "6.12.0");
    assert_eq!(recording.count(), 2);
}

#[test]
fn compressed_is_known_by_content() {
    let text = START.to_owned() + &zombie().repeat(100) + SUMMARY;
    let (lines, remarks) = read(compressed(&text));
    assert_eq!(lines.len(), 102);
    assert_eq!(remarks.cut, None);
    // As a writer that ends a frame now and then leaves it.
    let mut frames = compressed(START);
    frames.extend(compressed(&zombie()));
    frames.extend(compressed(SUMMARY));
    assert_eq!(read(frames).0.len(), 3);
}

#[test]
fn cut_anywhere_all_whole_lines_are_read() {
    let text = START.to_owned() + &zombie() + &zombie() + SUMMARY;
    for len in START.len()..text.len() - 1 {
        let (lines, remarks) = read(&text[..len]);
        let bytes = text[..len].bytes();
        let ends = bytes.filter(|&byte| byte == b'\n').count();
        // All of a line but its newline is a line.
        let whole = ends + usize::from(text.as_bytes()[len] == b'\n');
        assert_eq!(lines.len(), whole, "{len}");
        let at_line_end = text[..len].ends_with('\n') || text.as_bytes()[len] == b'\n';
        let cut = if at_line_end {
            Cut::NoSummary
        } else {
            Cut::InLine
        };
        assert_eq!(remarks.cut, Some(cut), "{len}");
        assert_eq!(remarks.corrupt, 0);
    }
    assert_eq!(read(&text[..text.len() - 1]).1.cut, None);
}

#[test]
fn a_cut_frame_is_read_as_far_as_it_goes() {
    let text = START.to_owned() + &zombie().repeat(10_000) + SUMMARY;
    let whole = compressed(&text);
    let (lines, remarks) = read(&whole[..whole.len() - 10]);
    assert_eq!(remarks.cut, Some(Cut::InFrame));
    assert!(
        lines.len() > 1000 && lines.len() < 10_002,
        "{}",
        lines.len()
    );
    assert_eq!(remarks.lines, lines.len() as u64);
    let said = remarks.to_string();
    assert!(
        said.starts_with("cut: its compressed data end early; read up to line "),
        "{said}"
    );
}

#[test]
fn damaged_compressed_data_end_it() {
    let mut text = String::from(START);
    for n in 0..20_000 {
        text += &zombie().replace("\"pid\":4243", &format!("\"pid\":{}", n * 7919 % 65_537));
    }
    let mut bytes = compressed(&text);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xA5);
    let (lines, remarks) = read(bytes);
    assert!(!lines.is_empty());
    assert!(remarks.cut.is_some());
}

#[test]
fn damaged_lines_are_counted_and_left_out() {
    let text = START.to_owned()
        + "{\"type\":\"zombie\",\"ts\":\n"
        + &zombie()
        + "\n\0\0\0\n"
        + "{\"type\":\"zombie\",\"pid\":1}\n"
        + &zombie()
        + &SUMMARY.replace("\"exits\":0,\"reaped\":0", "\"exits\":2,\"reaped\":2");
    let (lines, remarks) = read(text);
    assert_eq!(lines.len(), 4);
    assert_eq!((remarks.corrupt, remarks.first_corrupt), (3, Some(2)));
    assert_eq!(
        remarks.to_string(),
        "3 lines, the first of them line 2, are damaged and left out"
    );
}

#[test]
fn a_damaged_summary_is_no_interrupted_run() {
    let text = START.to_owned() + &zombie() + &SUMMARY[..SUMMARY.len() / 2] + "\n";
    let (_, remarks) = read(text);
    assert_eq!(
        remarks.to_string(),
        "cut: it has no summary that can be read; line 3 is damaged and left out"
    );
}

#[test]
fn an_endless_line_is_a_damaged_one() {
    let endless = "{\"type\":\"zombie\",\"comm\":\"".to_owned() + &"x".repeat(20 << 20) + "\n";
    let (lines, remarks) = read(START.to_owned() + &endless + SUMMARY);
    assert_eq!((lines.len(), remarks.corrupt, remarks.lines), (2, 1, 3));
    // Nor is one read that would be fine, if it takes too much memory.
    for (padding, read_lines) in [(1 << 20, 2), (20 << 20, 1)] {
        let padded = SUMMARY.replacen(',', &format!(",{}", " ".repeat(padding)), 1);
        let (lines, remarks) = read(START.to_owned() + &padded);
        assert_eq!(lines.len(), read_lines, "{padding}");
        assert_eq!(remarks.first_too_long, (read_lines == 1).then_some(2));
    }
}

#[test]
fn lines_about_one_process_are_bounded() {
    let with_cgroup = |len: usize| {
        zombie().replace(
            "\"cgroup\":null",
            &format!("\"cgroup\":\"{}\"", "/x".repeat(len)),
        )
    };
    let summary = SUMMARY.replace("\"exits\":0,\"reaped\":0", "\"exits\":2,\"reaped\":2");
    let (lines, remarks) =
        read(START.to_owned() + &with_cgroup(2_000) + &with_cgroup(40_000) + &summary);
    assert_eq!((lines.len(), remarks.corrupt), (3, 1));
    assert_eq!(remarks.first_too_long, Some(3));
    assert_eq!(remarks.to_string(), "line 3 is too long and left out");
    // No name of a cgroup is as long.
    let container = r#""container":{"runtime":null,"id":"ID","pod_uid":null,"hostname":null}"#;
    for (len, corrupt) in [(255, 0), (256, 1)] {
        let container = container.replace("ID", &"x".repeat(len));
        let zombie = zombie().replace("\"container\":null", &container);
        assert!(zombie.contains("xxx"));
        assert_eq!(
            read(START.to_owned() + &zombie + SUMMARY).1.corrupt,
            corrupt,
            "{len}"
        );
    }
}

const STACK: &str = r#"{"type":"stack","ts":"2026-01-02T03:04:17Z","id":7,"truncated":true,"frame_pointers":false,"frames":[{"function":"write_journal","file":"sup.c","line":14,"module":"/usr/bin/sup","build_id":"8f3c","offset":4660,"inlined":false}]}
"#;
const DOING: &str = r#"{"type":"doing","ts":"2026-01-02T03:04:17Z","ppid":4242,"parent_comm":"sup","tid":4243,"state":"blocked","stack":7,"zombie_ns":1000,"samples":3}
"#;

#[test]
fn stacks_are_read_as_they_were_written() {
    let (lines, remarks) = read(START.to_owned() + STACK + DOING + SUMMARY);
    assert!(remarks.is_whole(), "{remarks}");
    let [_, Line::Stack(stack), Line::Doing(doing), _] = &*lines else {
        panic!("{lines:?}");
    };
    let mut out = Vec::new();
    Json::new(&mut out, true)
        .doing(std::slice::from_ref(stack), std::slice::from_ref(doing))
        .unwrap();
    let nine_digits = |line: &str| line.replace("17Z", "17.000000000Z");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        nine_digits(STACK) + &nine_digits(DOING)
    );
}

#[test]
fn damaged_stacks_are_counted_and_left_out() {
    let no_frames = STACK.replace("\"frames\":[{", "\"frames\":[1,{");
    let no_stack = DOING.replace("\"stack\":7", "\"stack\":-7");
    let (lines, remarks) = read(START.to_owned() + &no_frames + DOING + &no_stack + SUMMARY);
    assert_eq!((lines.len(), remarks.corrupt), (3, 2));
    // What a later version adds is no damage.
    let newer =
        STACK.replace("\"id\":7", "\"id\":7,\"cpu\":3") + &DOING.replace("blocked", "parked");
    let (lines, remarks) = read(START.to_owned() + &newer + SUMMARY);
    assert_eq!((lines.len(), remarks.corrupt), (4, 0));
}

#[test]
fn stacks_are_bounded() {
    let huge = STACK.replace("write_journal", &"x".repeat(10 << 20));
    let (lines, remarks) = read(START.to_owned() + &huge + DOING + SUMMARY);
    assert_eq!((lines.len(), remarks.first_too_long), (3, Some(2)));
    let long = STACK.replace("write_journal", &"x".repeat(1 << 20));
    let (lines, remarks) = read(START.to_owned() + &long + DOING + SUMMARY);
    assert_eq!((lines.len(), remarks.corrupt), (4, 0));
    let Line::Stack(stack) = &lines[1] else {
        panic!("{lines:?}");
    };
    let function = stack.frames[0].function.as_deref().unwrap();
    assert!(function.len() < 2000 && function.ends_with('…'));
}

#[test]
fn a_long_command_is_cut() {
    let argument = "x".repeat(50_000);
    let long = START.replace("\"-j8\"", &format!("\"{argument}\",\"{argument}\",\"-j8\""));
    let (lines, remarks) = read(long + SUMMARY);
    assert_eq!(
        remarks,
        Remarks {
            lines: 2,
            ..Remarks::default()
        }
    );
    let Line::Start(start) = &lines[0] else {
        panic!("{lines:?}")
    };
    let command = start.command.as_ref().unwrap();
    assert_eq!(command.len(), 3);
    assert_eq!((&*command[0], &*command[2]), ("make", "…"));
    let empty = START.replace("\"-j8\"", &["\"\""; 100_000].join(","));
    let (lines, _) = read(empty);
    assert!(
        matches!(&lines[0], Line::Start(start) if start.command.as_ref().unwrap().len() < 5000)
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let text = "\u{feff}".to_owned() + START + &zombie() + SUMMARY;
    let (lines, remarks) = read(text.clone());
    assert_eq!((lines.len(), remarks.corrupt), (3, 0));
    assert_eq!(read(compressed(&text)).1, remarks);
}

#[test]
fn lines_cut_from_the_middle_are_noticed() {
    let summary = SUMMARY.replace("\"exits\":0,\"reaped\":0", "\"exits\":121,\"reaped\":121");
    let whole = START.to_owned() + &zombie().repeat(121) + &summary;
    assert!(read(whole).1.is_whole());
    let (_, remarks) = read(START.to_owned() + &zombie().repeat(73) + &summary);
    assert_eq!(remarks.cut, None);
    assert_eq!(remarks.missing, [Missing::Zombies { lines: 48, of: 121 }]);
    assert_eq!(remarks.to_string(), "48 of 121 zombie lines are missing");
    assert_eq!(remarks.missing_lines(), 48);
}

#[test]
fn what_a_newer_minor_version_adds_is_no_mistake() {
    let newer = zombie().replace("\"wait4\"", "\"telepathy\"").replace(
        "\"flags\":[]",
        "\"flags\":[\"odd\",\"traced\"],\"new\":{\"a\":[1]}",
    );
    let alive = r#"{"type":"alive","ts":"2026-01-02T03:04:17Z","pid":1,"ns_pid":1,"comm":"x","uid":0,"ppid":2,"parent_comm":"y","exit_code":1,"signal":null,"age_ns":1,"error_ns":1,"cause":"boredom","cause_text":"it is bored","cgroup":null,"flags":["odd"]}
"#;
    let text = START.to_owned() + &newer + alive + "{\"type\":\"epitaph\",\"ts\":1}\n" + SUMMARY;
    let (lines, remarks) = read(text);
    let Line::Zombie(zombie) = &lines[1] else {
        panic!("{lines:?}")
    };
    assert_eq!(
        (zombie.how, &*zombie.flags),
        (How::Unknown, &[Flag::Traced][..])
    );
    let Line::Alive(alive) = &lines[2] else {
        panic!("{lines:?}")
    };
    assert_eq!(alive.cause, Some(Cause::Unknown));
    assert_eq!(alive.cause_text.as_deref(), Some("it is bored"));
    assert_eq!((remarks.unknown, remarks.corrupt, lines.len()), (1, 0, 4));
}

#[test]
fn the_order_of_keys_is_free() {
    let text = START
        .replace("{\"type\":\"start\",", "{")
        .replace("]}", "],\"type\":\"start\"}");
    assert_eq!(read(text).0.len(), 1);
}

#[test]
fn a_recording_without_its_begin_is_read() {
    let mut recording = open(zombie() + SUMMARY).unwrap();
    assert!(recording.start().is_none());
    assert_eq!(recording.by_ref().count(), 2);
}

#[test]
fn what_is_no_recording_is_said_so() {
    assert_eq!(
        message(""),
        "run: the file is empty: record a run with --json -o FILE"
    );
    assert_eq!(message(compressed("")), message(""));
    let something_else =
        "run: not a recording: expected what zombie-trace writes with --json -o FILE";
    for other in [
        "\n",
        "{",
        "[1]\n",
        "    PID COMM\n",
        "{\"name\":1}\n",
        "{\"type\":\"x\"}\n",
    ] {
        assert_eq!(message(other), something_else, "{other}");
    }
    // Without its being read to the end.
    let patient = "no\n".repeat(100) + START;
    assert_eq!(message(patient), something_else);
    assert!(matches!(
        Recording::open(Path::new("/nowhere/run")),
        Err(RecordingError::Io { .. })
    ));
    // As it is told to people: what is wrong once.
    let error = anyhow::Error::from(Recording::open(Path::new("/")).unwrap_err());
    assert_eq!(
        format!("{error:#}"),
        "cannot read /: Is a directory (os error 21)"
    );
}

#[test]
fn a_later_schema_names_the_version_that_is_needed() {
    let text = START.replace(
        "\"schema\":1,\"version\":\"0.1.0\"",
        "\"schema\":2,\"version\":\"3.1.4\"",
    );
    assert_eq!(
        message(text),
        format!(
            "run: written by zombie-trace 3.1.4 in schema 2, but zombie-trace {} reads schema 1: \
             use a newer zombie-trace",
            env!("CARGO_PKG_VERSION")
        )
    );
    // Of which nothing else need be known.
    assert!(message("{\"type\":\"start\",\"schema\":3}\n").contains("zombie-trace ? in schema 3"));
}

#[test]
fn two_runs_in_a_file_are_refused() {
    let run = START.to_owned() + &zombie() + SUMMARY;
    assert_eq!(
        message(run.repeat(2)),
        "run: a second run begins at line 4: give each run a file of its own"
    );
    let mut recording = open(run.repeat(2)).unwrap();
    assert_eq!(recording.by_ref().filter(Result::is_ok).count(), 3);
    assert!(recording.next().is_none());
}
