//! The one escape for everything that reaches a terminal or a log.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::charset::{ellipsis, encode};

/// The text with all that could move the cursor, colour, reorder or hide other text made visible:
/// control characters as `\x1b`, what else is not printable (bidi and format characters, spaces
/// other than the plain one) as `\u{202e}`.
///
/// A log of continuous integration carries commands, too: those of GitHub's runner start a line with
/// `::` and a name, older ones, Azure's and TeamCity's contain `##`. The text holds neither: the
/// first `:` becomes `\x3a`, the second `#` becomes `\x23`. Escaped text stays as it is.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return without_commands(text).map_or(Cow::Borrowed(text), Cow::Owned);
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
    Cow::Owned(without_commands(&escaped).unwrap_or(escaped))
}

/// [`None`] if there are none.
fn without_commands(text: &str) -> Option<String> {
    if !text.contains("::") && !text.contains("##") {
        return None;
    }
    let mut safe = String::with_capacity(text.len() + 3);
    for (at, char) in text.char_indices() {
        let (before, from) = text.split_at(at);
        // Wrapped text can start a line at any word.
        let starts_word = before.is_empty() || before.ends_with(' ');
        let is_command = from.strip_prefix("::").is_some_and(|name| {
            starts_word && name.starts_with(|first: char| first.is_ascii_alphabetic())
        });
        match char {
            ':' if is_command => safe.push_str("\\x3a"),
            '#' if safe.ends_with('#') => safe.push_str("\\x23"),
            _ => safe.push(char),
        }
    }
    Some(safe)
}

/// The number of columns that an escaped text takes.
pub(crate) fn width(text: &str) -> usize {
    encode(text).width()
}

/// The text, cut to this many columns. A cut text ends in `…` or `...`.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    let text = encode(text);
    if text.width() <= columns {
        return text;
    }
    let Some(room) = columns.checked_sub(ellipsis().width()) else {
        return Cow::Owned(".".repeat(columns));
    };
    let mut used = 0;
    let end = text
        .char_indices()
        .find(|(_, char)| {
            used += char.width().unwrap_or(0);
            used > room
        })
        .map_or(text.len(), |(index, _)| index);
    Cow::Owned(format!("{}{}", &text[..end], ellipsis()))
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
    fn no_text_is_a_command_to_a_log() {
        for (text, expected) in [
            ("::error::pwned", r"\x3a:error::pwned"),
            ("a ::stop-commands::x", r"a \x3a:stop-commands::x"),
            ("a\n::set-env name=x::y", r"a\x0a::set-env name=x::y"),
            ("##[add-mask]x", r"#\x23[add-mask]x"),
            ("####vso[x]", r"#\x23#\x23vso[x]"),
            (
                "sshd ::1 a::b std::io C# #1 ::",
                "sshd ::1 a::b std::io C# #1 ::",
            ),
        ] {
            assert_eq!(escape(text), expected);
            assert_eq!(escape(&escape(text)), expected);
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
