use std::fmt::Write as _;

use super::Look;
use crate::{
    model::{Alive, Cause},
    text::{
        escape::{cut, escape, width},
        human,
        style::{BAD, HEADING},
        wrap,
    },
};

/// A zombie as `ps` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The zombie.
    pub alive: Alive,
    /// Its terminal as a device number (`tty_nr`, proc_pid_stat(5)); 0 for none.
    pub tty: u32,
    /// The CPU time that it took, ns.
    pub cpu_ns: u64,
    /// The kernel function that it sleeps in, if any.
    pub wchan: Option<String>,
}

/// How many findings are told below the table.
const FINDINGS: usize = 10;

struct Column {
    title: &'static str,
    right: bool,
    /// Left out on a narrow terminal; the highest first.
    dispensable: u8,
    cell: fn(&Process) -> String,
}

/// Only where there is one.
const CONTAINER: &str = "CONTAINER";

const COLUMNS: [Column; 12] = [
    column("S", false, 0, |_| "Z".to_owned()),
    column("UID", true, 2, |process| process.alive.uid.to_string()),
    column("PID", true, 0, |process| process.alive.pid.to_string()),
    column("PPID", true, 0, |process| {
        process
            .alive
            .ppid
            .map_or_else(|| "0".to_owned(), |pid| pid.to_string())
    }),
    column("WCHAN", false, 5, |process| {
        process.wchan.clone().unwrap_or_else(|| "-".to_owned())
    }),
    column("TTY", false, 4, |process| terminal(process.tty)),
    column("TIME", true, 3, |process| clock(process.cpu_ns)),
    column("CMD", false, 0, |process| {
        format!("{} <defunct>", process.alive.comm.to_str())
    }),
    column("AGE", true, 0, |process| human(process.alive.age_ns)),
    column("PARENT", false, 1, |process| {
        let parent = process.alive.parent_comm.as_ref();
        parent.map_or_else(|| "?".to_owned(), |comm| comm.to_str().into_owned())
    }),
    column(CONTAINER, false, 2, |process| {
        let container = process.alive.container.as_ref();
        container.map_or_else(|| "-".to_owned(), |container| container.name().to_owned())
    }),
    column("WHY", false, 0, |process| {
        process.alive.cause.unwrap_or(Cause::Unknown).to_string()
    }),
];

const fn column(
    title: &'static str,
    right: bool,
    dispensable: u8,
    cell: fn(&Process) -> String,
) -> Column {
    Column {
        title,
        right,
        dispensable,
        cell,
    }
}

/// A line for each, with the columns of `ps -ely` that make sense for a zombie, and what was found
/// of each parent below.
///
/// At most `rows` lines are for zombies.
pub fn process_table(processes: &[Process], look: Look, rows: usize) -> String {
    if processes.is_empty() {
        return "no zombies\n".to_owned();
    }
    let listed = &processes[..processes.len().min(rows)];
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|process| {
            let cells = COLUMNS.iter().map(|column| (column.cell)(process));
            cells.map(|cell| escape(&cell).into_owned()).collect()
        })
        .collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().map(|row| width(&row[index]));
            cells.max().unwrap_or(0).max(column.title.len())
        })
        .collect();
    let contained = listed
        .iter()
        .any(|process| process.alive.container.is_some());
    let shown = fitting(&widths, contained, look.width);

    let mut text = String::new();
    let titles: Vec<&str> = COLUMNS.iter().map(|column| column.title).collect();
    let heading = line(&titles, &shown, &widths, look.width);
    if look.color {
        let _ = writeln!(text, "{HEADING}{heading}{HEADING:#}");
    } else {
        let _ = writeln!(text, "{heading}");
    }
    for row in &rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        let _ = writeln!(text, "{}", line(&cells, &shown, &widths, look.width));
    }
    if listed.len() < processes.len() {
        let _ = writeln!(text, "… and {} more", processes.len() - listed.len());
    }
    findings(&mut text, processes, look);
    text
}

/// The columns that fit; the last may be cut.
fn fitting(widths: &[usize], contained: bool, terminal: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len())
        .filter(|&index| contained || COLUMNS[index].title != CONTAINER)
        .collect();
    let Some(terminal) = terminal else {
        return shown;
    };
    let total = |shown: &[usize]| shown.iter().map(|&index| widths[index] + 1).sum::<usize>();
    while total(&shown) > terminal + 1 {
        let (place, dispensable) = shown
            .iter()
            .enumerate()
            .map(|(place, &index)| (place, COLUMNS[index].dispensable))
            .max_by_key(|(_, dispensable)| *dispensable)
            .unwrap_or((0, 0));
        if dispensable == 0 {
            break;
        }
        shown.remove(place);
    }
    shown
}

fn line(cells: &[&str], shown: &[usize], widths: &[usize], terminal: Option<usize>) -> String {
    let mut line = String::new();
    for &index in shown {
        if !line.is_empty() {
            line.push(' ');
        }
        let padding = " ".repeat(widths[index].saturating_sub(width(cells[index])));
        if COLUMNS[index].right {
            line.push_str(&padding);
            line.push_str(cells[index]);
        } else {
            line.push_str(cells[index]);
            line.push_str(&padding);
        }
    }
    let line = line.trim_end();
    cut(line, terminal.unwrap_or(usize::MAX)).into_owned()
}

/// One sentence for each parent and cause, with the number of its zombies.
fn findings(text: &mut String, processes: &[Process], look: Look) {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for process in processes {
        let Some(why) = process.alive.cause_text.as_deref() else {
            continue;
        };
        if let Some((_, count)) = found.iter_mut().find(|(known, _)| *known == why) {
            *count += 1;
        } else if found.len() < FINDINGS {
            found.push((why, 1));
        }
    }
    let mut told = 0;
    for (why, count) in &found {
        told += count;
        let noun = if *count == 1 { "zombie" } else { "zombies" };
        let sentence = wrap(&format!("{count} {noun}: {}.", escape(why)), look.width);
        let _ = match sentence.split_once(':').filter(|_| look.color) {
            Some((number, rest)) => writeln!(text, "\n{BAD}{number}{BAD:#}:{rest}"),
            None => writeln!(text, "\n{sentence}"),
        };
    }
    let rest = processes.len() - told;
    if rest > 0 {
        let _ = writeln!(text, "\n{rest} more, of other parents: see --json.");
    }
}

/// A terminal's name, as ps(1) shows it.
fn terminal(device: u32) -> String {
    // new_encode_dev (include/linux/kdev_t.h)
    let major = device >> 8 & 0xfff;
    let minor = device & 0xff | device >> 12 & 0xfff00;
    match (major, minor) {
        (0, 0) => "?".to_owned(),
        (4, 0..64) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (136..144, _) => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major},{minor}"),
    }
}

fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::alive;

    fn process(pid: u32) -> Process {
        Process {
            alive: Alive {
                pid,
                cause: Some(Cause::NeverWaits),
                cause_text: Some("the parent 4242 (bash) does not wait".into()),
                ..alive()
            },
            tty: 136 << 8 | 3,
            cpu_ns: 61_000_000_000,
            wchan: None,
        }
    }

    fn look(width: Option<usize>) -> Look {
        Look {
            width,
            color: false,
        }
    }

    #[test]
    fn a_line_each_and_a_sentence_for_all() {
        let text = process_table(&[process(10), process(1234)], look(None), 10);
        let lines: Vec<_> = text.lines().collect();
        let titles: Vec<_> = lines[0].split_whitespace().collect();
        let expected = "S UID PID PPID WCHAN TTY TIME CMD AGE PARENT WHY";
        assert_eq!(titles.join(" "), expected);
        assert!(lines[1].starts_with("Z 1000 "), "{text}");
        assert!(lines[1].contains("pts/3 00:01:01"), "{text}");
        assert!(lines[2].contains("never-waits"), "{text}");
        assert_eq!(lines[4], "2 zombies: the parent 4242 (bash) does not wait.");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_narrow_terminal_shows_who_and_why() {
        for columns in 60..140 {
            let text = process_table(&[process(10)], look(Some(columns)), 10);
            let row = text.lines().nth(1).unwrap();
            assert!(width(row) <= columns, "{row}");
            assert!(row.contains("never-waits"), "{columns}: {row}");
        }
    }

    #[test]
    fn a_cut_off_finding_is_said() {
        let processes: Vec<_> = (0..12)
            .map(|parent| {
                let mut process = process(parent);
                process.alive.cause_text = Some(format!("parent {parent}").into());
                process
            })
            .collect();
        let text = process_table(&processes, look(None), 10);
        assert!(text.ends_with("2 more, of other parents: see --json.\n"));
    }

    #[test]
    fn sentences_are_wrapped() {
        assert_eq!(wrap("a bc def", Some(4)), "a bc\ndef");
        assert_eq!(wrap("a bc def", None), "a bc def");
        assert_eq!(wrap("abcdefgh i", Some(4)), "abcdefgh\ni");
    }

    #[test]
    fn terminals_have_names() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(4 << 8 | 1), "tty1");
        assert_eq!(terminal(4 << 8 | 64), "ttyS0");
        assert_eq!(terminal(136 << 8), "pts/0");
        assert_eq!(terminal(137 << 8 | 1), "pts/257");
        assert_eq!(terminal(5 << 8 | 1), "5,1");
    }
}
