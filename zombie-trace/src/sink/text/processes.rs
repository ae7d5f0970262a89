use std::{fmt::Write as _, sync::Arc};

use super::Look;
use crate::{
    cause,
    container::Container,
    model::{Alive, Cause, Dying},
    text::{
        command,
        escape::{cut, escape, width},
        human, printable, status,
        style::{BAD, DIM, HEADING, PLAIN, paint},
        wrap,
    },
};

/// A zombie as `ps` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The zombie.
    pub alive: Alive,
    /// Its parent's command line.
    pub parent_cmdline: Option<Arc<str>>,
    /// Its parent's container.
    pub parent_container: Option<Container>,
    /// Its terminal as a device number (`tty_nr`, proc_pid_stat(5)); 0 for none.
    pub tty: u32,
    /// The CPU time that it took, ns.
    pub cpu_ns: u64,
    /// The kernel function that it sleeps in, if any.
    pub wchan: Option<String>,
}

impl Process {
    /// See [`Alive::is_reapable`].
    pub fn is_reapable(&self) -> bool {
        self.alive.is_reapable()
    }
}

/// At most this many characters of a parent's command line are shown.
const LONGEST_CMDLINE: usize = 60;
/// What is about a parent is indented by this much.
const INDENT: &str = "  ";

struct Column {
    title: &'static str,
    right: bool,
    /// Left out on a narrow terminal, the highest first.
    dispensable: u8,
    cell: fn(&Process) -> String,
}

const COLUMNS: [Column; 9] = [
    column("PID", true, 0, |process| process.alive.pid.to_string()),
    column("AGE", true, 0, |process| human(process.alive.age_ns)),
    column("CMD", false, 0, |process| {
        format!("{} <defunct>", process.alive.comm.to_str())
    }),
    column("STATUS", false, 1, |process| {
        status(process.alive.exit_code, process.alive.signal, false)
    }),
    column("UID", true, 3, |process| process.alive.uid.to_string()),
    column("TTY", false, 4, |process| terminal(process.tty)),
    column("TIME", true, 5, |process| clock(process.cpu_ns)),
    column("WCHAN", false, 6, |process| {
        process.wchan.clone().unwrap_or_else(|| "-".to_owned())
    }),
    column("WHY", false, 0, |process| why(process).to_string()),
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

fn why(process: &Process) -> Cause {
    process.alive.cause.unwrap_or(Cause::Unknown)
}

/// The zombies by parent, the parent with the most of them first: who it is, how many they are, why
/// they are there, what helps, and at most `rows` of them.
pub fn process_table(processes: &[Process], look: Look, rows: usize) -> String {
    if processes.is_empty() {
        return "no zombies\n".to_owned();
    }
    let parents = by_parent(processes);
    let mut text = String::new();
    let total = Total::of(processes);
    let of = match parents.len() {
        1 => "1 parent".to_owned(),
        parents => format!("{parents} parents"),
    };
    let verdict = wrap(&format!("{total}, of {of}"), look.width);
    let _ = writeln!(text, "{}", painted(&verdict, BAD, look));
    for parent in parents {
        text.push('\n');
        describe(&mut text, &parent, look);
        list(&mut text, &parent, look, rows);
    }
    text
}

/// The processes that were killed or exit and do not come to their end; nothing if there are none.
pub fn dying_table(dying: &[Dying], look: Look) -> String {
    if dying.is_empty() {
        return String::new();
    }
    let title = match dying.len() {
        1 => "1 process is dying, and has not ended".to_owned(),
        count => format!("{count} processes are dying, and have not ended"),
    };
    let mut text = format!("{}\n", painted(&wrap(&title, look.width), BAD, look));
    for one in dying {
        let parent = match one.ppid {
            Some(ppid) => format!(", a child of {ppid}"),
            None => String::new(),
        };
        let why = cause::dying(one);
        let sentence = format!("{} ({}){parent}: {why}", printable(&one.comm), one.pid);
        paragraph(&mut text, &sentence, look);
    }
    text
}

/// The zombies of each parent, the oldest first; the parent with the most of them first.
fn by_parent(processes: &[Process]) -> Vec<Vec<&Process>> {
    let key = |process: &Process| (process.alive.ppid, process.alive.parent_comm);
    let mut parents: Vec<Vec<&Process>> = Vec::new();
    let mut sorted: Vec<_> = processes.iter().collect();
    sorted.sort_by_key(|process| (key(process), std::cmp::Reverse(process.alive.age_ns)));
    for process in sorted {
        match parents.last_mut() {
            Some(parent) if key(parent[0]) == key(process) => parent.push(process),
            _ => parents.push(vec![process]),
        }
    }
    parents.sort_by_key(|zombies| {
        let Total {
            zombies, oldest_ns, ..
        } = Total::of(zombies.iter().copied());
        std::cmp::Reverse((zombies, oldest_ns))
    });
    parents
}

/// How many there are.
struct Total {
    zombies: usize,
    oldest_ns: u64,
    /// Those that can't be reaped yet.
    others: usize,
}

impl Total {
    fn of<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Self {
        let mut total = Self {
            zombies: 0,
            oldest_ns: 0,
            others: 0,
        };
        for process in processes {
            if process.is_reapable() {
                total.zombies += 1;
                total.oldest_ns = total.oldest_ns.max(process.alive.age_ns);
            } else {
                total.others += 1;
            }
        }
        total
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let oldest = human(self.oldest_ns);
        match self.zombies {
            0 => {}
            1 => write!(f, "1 zombie, {oldest} old")?,
            zombies => write!(f, "{zombies} zombies, the oldest {oldest}")?,
        }
        let separator = if self.zombies > 0 { ", and " } else { "" };
        match self.others {
            0 => Ok(()),
            1 => write!(f, "{separator}1 process whose threads live on"),
            others => write!(f, "{separator}{others} processes whose threads live on"),
        }
    }
}

/// Who the parent is, why its zombies are there, and what helps.
fn describe(text: &mut String, zombies: &[&Process], look: Look) {
    let first = zombies[0];
    let parent = match (first.alive.ppid, &first.parent_cmdline) {
        (None, _) => "a parent outside of this pid namespace".to_owned(),
        (Some(pid), Some(cmdline)) => format!("{pid} {}", command(cmdline, LONGEST_CMDLINE)),
        (Some(pid), None) => {
            let comm = first.alive.parent_comm.as_ref();
            let comm = comm.map_or_else(|| "?".to_owned(), |comm| comm.to_str().into_owned());
            format!("{pid} {}", escape(&comm))
        }
    };
    let container = first.parent_container.as_ref();
    let container = container.map_or_else(String::new, |container| {
        format!(" in {}", escape(container.name()))
    });
    let causes = causes(zombies);
    let codes: Vec<_> = causes.iter().map(|(cause, _)| cause.code()).collect();
    let total = Total::of(zombies.iter().copied());
    let line = format!("{parent}{container}: {total}: {}", codes.join(", "));
    let _ = writeln!(text, "{}", painted(&wrap(&line, look.width), HEADING, look));
    for (_, of_cause) in &causes {
        let said = of_cause[0];
        if let Some(finding) = &said.alive.cause_text {
            let count = match causes.len() {
                1 => String::new(),
                _ => format!("{} of them: ", of_cause.len()),
            };
            paragraph(text, &format!("{count}{}.", escape(finding)), look);
        }
        if let Some(advice) = &said.alive.advice {
            paragraph(text, &format!("What helps: {}.", escape(advice)), look);
        }
    }
}

/// The zombies of each cause, the most frequent first.
fn causes<'a>(zombies: &[&'a Process]) -> Vec<(Cause, Vec<&'a Process>)> {
    let mut causes: Vec<(Cause, Vec<&Process>)> = Vec::new();
    for process in zombies {
        let cause = why(process);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, of_cause)) => of_cause.push(process),
            None => causes.push((cause, vec![process])),
        }
    }
    causes.sort_by_key(|(_, of_cause)| std::cmp::Reverse(of_cause.len()));
    causes
}

fn paragraph(text: &mut String, sentence: &str, look: Look) {
    let width = look.width.map(|width| width.saturating_sub(INDENT.len()));
    for line in wrap(sentence, width).lines() {
        let _ = writeln!(text, "{INDENT}{line}");
    }
}

/// One line per zombie, at most `rows`.
fn list(text: &mut String, zombies: &[&Process], look: Look, rows: usize) {
    let listed = &zombies[..zombies.len().min(rows)];
    let cells: Vec<Vec<String>> = listed
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
            let cells = cells.iter().map(|row| width(&row[index]));
            cells.max().unwrap_or(0).max(column.title.len())
        })
        .collect();
    let room = look.width.map(|width| width.saturating_sub(INDENT.len()));
    // The line of the parent has the cause, if all have the same.
    let is_mixed = causes(zombies).len() > 1;
    let shown = fitting(&widths, is_mixed, room);
    let titles: Vec<&str> = COLUMNS.iter().map(|column| column.title).collect();
    let heading = line(&titles, &shown, &widths, room);
    let _ = writeln!(text, "{INDENT}{}", paint(&heading, DIM, look.color));
    for row in &cells {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        let _ = writeln!(text, "{INDENT}{}", line(&cells, &shown, &widths, room));
    }
    if listed.len() < zombies.len() {
        let more = format!("… and {} more", zombies.len() - listed.len());
        let _ = writeln!(text, "{INDENT}{more}");
    }
}

/// The columns that fit; the last may be cut.
fn fitting(widths: &[usize], is_mixed: bool, room: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len())
        .filter(|&index| is_mixed || COLUMNS[index].title != "WHY")
        .collect();
    let Some(room) = room else {
        return shown;
    };
    let total = |shown: &[usize]| shown.iter().map(|&index| widths[index] + 1).sum::<usize>();
    while total(&shown) > room + 1 {
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

fn line(cells: &[&str], shown: &[usize], widths: &[usize], room: Option<usize>) -> String {
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
    cut(line, room.unwrap_or(usize::MAX)).into_owned()
}

/// Each line in that style.
fn painted(text: &str, style: anstyle::Style, look: Look) -> String {
    let style = if look.color { style } else { PLAIN };
    let lines = text.lines().map(|line| {
        let line = cut(line, look.width.unwrap_or(usize::MAX));
        paint(&line, style, look.color)
    });
    lines.collect::<Vec<_>>().join("\n")
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
    use crate::model::fixtures::{self, alive};

    fn process(pid: u32, ppid: u32, cause: Cause) -> Process {
        Process {
            alive: Alive {
                pid,
                ppid: Some(ppid),
                cause: Some(cause),
                cause_text: Some(format!("the parent {ppid} (bash) does not wait").into()),
                advice: Some("let the parent wait for its children".into()),
                ..alive()
            },
            parent_cmdline: Some("bash ./supervise.sh".into()),
            parent_container: None,
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
    fn each_dying_process_has_a_paragraph() {
        assert_eq!(dying_table(&[], look(None)), "");
        let text = dying_table(&[fixtures::dying(), fixtures::dying()], look(None));
        let line = "  server (120), a child of 100: killed at least 4.20 s ago, cannot end: thread 123 (worker) \
                    hangs in fuse_wait_answer (D), and 1 more\n";
        let title = "2 processes are dying, and have not ended\n";
        assert_eq!(text, format!("{title}{line}{line}"));
        for columns in 40..140 {
            let text = dying_table(&[fixtures::dying()], look(Some(columns)));
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
        }
    }

    #[test]
    fn a_paragraph_for_each_parent_and_the_worst_first() {
        let mut processes = vec![process(10, 7, Cause::NeverWaits)];
        processes.extend((20..32).map(|pid| process(pid, 8, Cause::NeverWaits)));
        processes[5].alive.age_ns = 9_000_000_000;
        let text = process_table(&processes, look(None), 10);
        let expected = "\
13 zombies, the oldest 9.00 s, of 2 parents

8 bash ./supervise.sh: 12 zombies, the oldest 9.00 s: never-waits
  the parent 8 (bash) does not wait.
  What helps: let the parent wait for its children.
  PID    AGE CMD             STATUS  UID TTY       TIME WCHAN
   24 9.00 s sleep <defunct> exit 0 1000 pts/3 00:01:01 -
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\n  … and 2 more\n\n7 bash"), "{text}");
        assert!(text.contains("7 bash ./supervise.sh: 1 zombie, 3.00 s old: never-waits\n"));
        assert_eq!(text.matches("What helps").count(), 2, "{text}");
        let each = process_table(&processes, look(None), usize::MAX);
        assert_eq!(each.matches("<defunct>").count(), 13);
    }

    #[test]
    fn several_causes_of_one_parent_are_told_apart() {
        let processes = [
            process(10, 7, Cause::NeverWaits),
            process(11, 7, Cause::NeverWaits),
            process(12, 7, Cause::LeaderWithThreads),
        ];
        let text = process_table(&processes, look(None), 10);
        assert!(
            text.contains(
                "2 zombies, the oldest 3.00 s, and 1 process whose threads live on: never-waits, \
                 leader-with-threads\n"
            ),
            "{text}"
        );
        assert!(text.contains("\n  2 of them: the parent 7"), "{text}");
        assert!(text.contains(" leader-with-threads\n"), "{text}");
    }

    #[test]
    fn a_narrow_terminal_shows_who_and_why() {
        let mut processes = vec![process(10, 7, Cause::NeverWaits)];
        processes.push(process(11, 7, Cause::HandlerLeavesIt));
        for columns in 40..140 {
            let text = process_table(&processes, look(Some(columns)), 10);
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
            let text = text.replace('\n', " ");
            for part in ["bash ./supervise.sh", "never-waits", "3.00 s", "sleep"] {
                assert!(text.contains(part), "{columns}: {text}");
            }
        }
    }

    #[test]
    fn what_a_parent_calls_itself_is_escaped() {
        let mut hostile = process(10, 7, Cause::Unknown);
        hostile.parent_cmdline = Some("\x1b[2J".into());
        hostile.alive.cause_text = Some("\u{202e}".into());
        let text = process_table(&[hostile], look(Some(80)), 10);
        assert!(
            !text.contains('\x1b') && !text.contains('\u{202e}'),
            "{text:?}"
        );
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
