//! The man pages in docs, which are made from the definition of the command line.
//!
//! `UPDATE_GOLDEN=1 cargo test --test man_pages` writes them anew: look at what changes.

use std::{env, fs, path::Path, process::Command};

use clap::CommandFactory as _;
use roff::{Roff, bold, roman};
use zombie_trace::internals::Cli;

/// When the pages last changed in substance.
const DATE: &str = "2026-11-26";
/// What else there is to read, by section.
const ELSEWHERE: [(&str, &str); 4] = [("ps", "1"), ("wait", "2"), ("signal", "7"), ("proc", "5")];

fn commands() -> Vec<clap::Command> {
    // Without the version, whose change alone would make the page stale.
    let mut all = Cli::command()
        .version(None::<&str>)
        .disable_help_subcommand(true);
    all.build();
    let tasks: Vec<_> = all.get_subcommands().cloned().collect();
    [vec![all], tasks].concat()
}

fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &clap::Command, all: &[clap::Command]) -> String {
    let man = clap_mangen::Man::new(command.clone())
        .source("zombie-trace")
        .date(DATE);
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let help = command.get_after_long_help().or(command.get_after_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    for section in sections(&help) {
        section.render(&mut roff);
    }
    see_also(&mut roff, command, all);
    roff.to_writer(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    // One blank line is enough, and mandoc warns of more.
    page.replace("\n.br\n\n.br\n", "\n\n")
}

/// A section of the text below the options in the help.
struct Section {
    heading: String,
    lines: Vec<String>,
}

/// A line that starts at the margin and ends in a colon is a heading; other text at the margin is a
/// section of its own.
fn sections(help: &str) -> Vec<Section> {
    const REMARKS: &str = "REMARKS";
    let mut sections: Vec<Section> = Vec::new();
    for line in help.lines() {
        let is_at_margin = !line.is_empty() && !line.starts_with(' ');
        let is_remark = |section: &Section| section.heading == REMARKS;
        let heading = match line.strip_suffix(':') {
            Some(heading) if is_at_margin => heading.split([',']).next().map(str::to_uppercase),
            _ if is_at_margin && !sections.last().is_some_and(is_remark) => {
                Some(REMARKS.to_owned())
            }
            _ => None,
        };
        if let Some(heading) = heading {
            let lines = Vec::new();
            let is_remark = heading == REMARKS;
            sections.push(Section { heading, lines });
            if !is_remark {
                continue;
            }
        }
        if let Some(section) = sections.last_mut() {
            section.lines.push(line.to_owned());
        }
    }
    sections
}

impl Section {
    fn render(&self, roff: &mut Roff) {
        roff.control("SH", [self.heading.as_str()]);
        let text = self.lines.join("\n");
        // Columns and commands stay as they are; a paragraph may be wrapped.
        for (number, part) in text.trim().split("\n\n").enumerate() {
            if number > 0 {
                roff.control("PP", []);
            }
            let first = self.lines.first().map_or("", String::as_str);
            if !first.starts_with(' ') {
                roff.text([roman(part.replace('\n', " "))]);
                continue;
            }
            roff.control("nf", []);
            for line in part.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        }
    }
}

fn see_also(roff: &mut Roff, command: &clap::Command, all: &[clap::Command]) {
    roff.control("SH", ["SEE ALSO"]);
    let ours = all.iter().map(name).filter(|other| *other != name(command));
    let pages: Vec<_> = ours.map(|name| (name, "1")).chain(ELSEWHERE).collect();
    let last = pages.len() - 1;
    for (number, (name, section)) in pages.into_iter().enumerate() {
        let end = if number == last { "" } else { "," };
        roff.text([bold(name), roman(format!("({section}){end}"))]);
    }
}

#[test]
fn they_are_what_the_command_line_says() {
    let all = commands();
    for command in &all {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(format!("{}.1", name(command)));
        let text = page(command, &all);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(text == expected, "{} is stale:\n{text}", path.display());
    }
}

#[test]
fn each_has_what_a_reader_looks_for() {
    let all = commands();
    for command in &all {
        let page = page(command, &all);
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "EXAMPLES",
            "EXIT STATUS",
            "SEE ALSO",
        ] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            let count: usize = heading
                .iter()
                .map(|heading| page.matches(heading).count())
                .sum();
            assert_eq!(count, 1, "{}: {section} in\n{page}", name(command));
        }
        assert!(!page.contains(".SH EXTRA"), "{page}");
    }
    for section in ["COLUMNS", "NOTES", "SIGNALS"] {
        let heading = format!(".SH {section}\n");
        assert!(page(&all[0], &all).contains(&heading), "{section}");
    }
}

/// mandoc finds nothing wrong with them, where it is installed.
#[test]
fn mandoc_accepts_them() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for command in commands() {
        let path = docs.join(format!("{}.1", name(&command)));
        let mandoc = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(path)
            .output();
        let Ok(output) = mandoc else {
            eprintln!("skipped: mandoc is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
    }
}
