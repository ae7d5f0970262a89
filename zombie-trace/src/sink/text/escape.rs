use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text with all that could move the cursor, colour, reorder or hide other text made visible:
/// control characters as `\x1b`, what else is not printable (bidi and format characters, spaces
/// other than the plain one) as `\u{202e}`.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            ' '..='~' => escaped.push(char),
            '\0'..='\x7f' => escaped.push_str(&format!("\\x{:02x}", u32::from(char))),
            // A combining character is escaped only where it has nothing to combine with, as
            // `str::escape_debug` does at the begin of a text.
            _ if escaped.is_empty() => escaped.extend(char.escape_debug()),
            _ => escaped.extend(format!("a{char}").escape_debug().skip(1)),
        }
    }
    Cow::Owned(escaped)
}

/// The number of columns that an escaped text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to so many columns, with `…` at the end if anything is missing.
pub(super) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let mut used = 0;
    let end = text
        .char_indices()
        .find(|(_, char)| {
            used += char.width().unwrap_or(0);
            used > room
        })
        .map_or(text.len(), |(index, _)| index);
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stays() {
        for text in [
            "",
            "bash",
            "(sd-pam)",
            "kworker/0:1-ev",
            "naïve",
            "日本語",
            "e\u{301}",
            "�",
        ] {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn what_could_fool_a_terminal_is_made_visible() {
        let texts = [
            ("\x1b[31mred", r"\x1b[31mred"),
            ("a\nb\rc\td", r"a\x0ab\x0dc\x09d"),
            ("\x7f\0", r"\x7f\x00"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}cod", r"a\u{202e}cod"),
            (
                "a\u{2066}b\u{200b}c\u{feff}",
                r"a\u{2066}b\u{200b}c\u{feff}",
            ),
            ("a\u{2028}b\u{a0}c", r"a\u{2028}b\u{a0}c"),
            ("a\u{ad}b\u{e0041}", r"a\u{ad}b\u{e0041}"),
            ("\u{301}x", r"\u{301}x"),
        ];
        for (text, expected) in texts {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn cut_counts_columns() {
        assert_eq!(cut("bash", 4), "bash");
        assert_eq!(cut("systemd", 4), "sys…");
        assert_eq!(cut("systemd", 1), "…");
        assert_eq!(cut("systemd", 0), "");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(width(&cut("日本語", 4)), 3);
    }
}
