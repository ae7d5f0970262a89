//! Items in lines that are no wider than the terminal.

use std::fmt::Write as _;

use crate::text::escape::{cut, width};

/// The items in as many lines as they need, each line with that many spaces in front.
pub(super) fn wrap(items: &[String], separator: &str, indent: usize, columns: usize) -> String {
    hanging(items, separator, indent, indent, columns)
}

/// The same, with other spaces in front of the first line.
pub(super) fn hanging(
    items: &[String],
    separator: &str,
    first: usize,
    indent: usize,
    columns: usize,
) -> String {
    let mut text = String::new();
    let mut used = 0;
    for item in items {
        let needed = width(separator) + width(item);
        if used > 0 && used + needed <= columns {
            text += separator;
            text += item;
            used += needed;
        } else {
            let indent = if used > 0 { indent } else { first };
            if used > 0 {
                text.push('\n');
            }
            let room = columns.saturating_sub(indent);
            let item = cut(item, room);
            let _ = write!(text, "{:indent$}{item}", "");
            used = indent + width(&item);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_between_items() {
        let items = ["one", "two", "three"].map(str::to_owned);
        assert_eq!(wrap(&items, ", ", 2, 80), "  one, two, three\n");
        assert_eq!(wrap(&items, ", ", 2, 10), "  one, two\n  three\n");
        assert_eq!(wrap(&items, ", ", 2, 7), "  one\n  two\n  three\n");
        assert_eq!(wrap(&[], ", ", 2, 3), "\n");
    }
}
