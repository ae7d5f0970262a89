//! What a parent is called.

use crate::{
    aggregate::ParentSummary,
    model::Comm,
    text::{escape::escape, printable},
};

/// Its command line, or else its command name. Line breaks, tabs and rows of spaces are one space.
pub(crate) fn name(cmdline: Option<&str>, comm: Option<&Comm>) -> String {
    // A script can be an argument: its line breaks say nothing here.
    let words = cmdline.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    match (words.filter(|line| !line.is_empty()), comm) {
        (Some(cmdline), _) => escape(without_directory(&cmdline)).into_owned(),
        (None, Some(comm)) => printable(comm),
        (None, None) => "others".to_owned(),
    }
}

/// Where a program lies matters less than what it is.
fn without_directory(cmdline: &str) -> &str {
    let program = cmdline.split(' ').next().unwrap_or_default();
    match program.rsplit_once('/') {
        Some((directory, file)) if !file.is_empty() => &cmdline[directory.len() + 1..],
        _ => cmdline,
    }
}

/// The same of a row.
pub(super) fn of(row: &ParentSummary) -> String {
    name(row.cmdline.as_deref(), row.comm.as_ref())
}

/// What a look has found, as the rest of a sentence about the parent, which has been named.
pub(super) fn finding(text: &str, ppid: Option<u32>, comm: Option<&Comm>) -> String {
    let of_parent = ppid.zip(comm).and_then(|(ppid, comm)| {
        let name = format!("the parent {ppid} ({}) ", comm.to_str());
        text.strip_prefix(&name)
    });
    escape(of_parent.unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_the_better_name() {
        let comm = Comm::from("python3");
        assert_eq!(
            name(Some("python3 supervisor.py"), Some(&comm)),
            "python3 supervisor.py"
        );
        assert_eq!(name(Some("sh -c\na;\n\tb"), None), "sh -c a; b");
        assert_eq!(name(Some(" "), Some(&comm)), "python3");
        assert_eq!(name(Some("/bin/sh /etc/a b"), None), "sh /etc/a b");
        assert_eq!(name(Some("nginx: master /a"), None), "nginx: master /a");
        assert_eq!(name(Some("/"), None), "/");
        assert_eq!(name(None, None), "others");
        assert_eq!(name(Some("a\x1b[2J"), None), r"a\x1b[2J");
    }

    #[test]
    fn the_parent_is_named_once() {
        let comm = Comm::from("python3");
        let text = "the parent 7 (python3) is stopped (state T)";
        assert_eq!(finding(text, Some(7), Some(&comm)), "is stopped (state T)");
        assert_eq!(finding(text, Some(8), Some(&comm)), text);
        assert_eq!(finding("its parent\x07", None, None), r"its parent\x07");
    }
}
