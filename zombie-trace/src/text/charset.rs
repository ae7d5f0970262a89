//! Text in plain ASCII, for terminals and files of other encodings.

use std::{
    borrow::Cow,
    env,
    ffi::OsString,
    sync::atomic::{AtomicBool, Ordering},
};

/// Set once, by `main`. Tests and the library's users get UTF-8.
static IS_ASCII: AtomicBool = AtomicBool::new(false);

/// From now on, text is in the encoding of the locale: UTF-8, or else ASCII.
pub fn use_locale() {
    IS_ASCII.store(!is_utf8(|name| env::var_os(name)), Ordering::Relaxed);
}

/// The first of these variables that is set and not empty counts (locale(7)). Where none is, as in a
/// container or a unit of systemd, the encoding is not known, and is UTF-8 nearly everywhere.
fn is_utf8(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let values = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable);
    let Some(locale) = values.flatten().find(|value| !value.is_empty()) else {
        return true;
    };
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    // LANG=C is what a login without a language sets.
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The text as the locale can show it.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if IS_ASCII.load(Ordering::Relaxed) {
        to_ascii(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// What stands for text that was cut.
pub(super) fn ellipsis() -> &'static str {
    if IS_ASCII.load(Ordering::Relaxed) {
        "..."
    } else {
        "…"
    }
}

fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut ascii = String::with_capacity(text.len());
    for char in text.chars() {
        let replacement = match char {
            '\0'..='\x7f' => {
                ascii.push(char);
                continue;
            }
            // The micro sign, and the Greek letter.
            '\u{b5}' | '\u{3bc}' => "u",
            '…' => "...",
            '–' => "-",
            '·' => "|",
            '±' => "+/-",
            '×' => "x",
            '≤' => "<=",
            '∞' => "inf",
            '’' => "'",
            '█' | '▉' | '▊' | '▋' | '▌' => "#",
            // The rest of a bar, which must show where it is all of it.
            '▏' | '▎' | '▍' if ascii.ends_with('#') => "",
            '▏' | '▎' | '▍' => "#",
            other => {
                ascii.extend(other.escape_unicode());
                continue;
            }
        };
        ascii.push_str(replacement);
    }
    Cow::Owned(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides() {
        let utf8 = |variables: &[(&str, &str)]| {
            is_utf8(|name| {
                let variable = variables.iter().find(|(other, _)| *other == name);
                variable.map(|(_, value)| value.into())
            })
        };
        assert!(utf8(&[]));
        assert!(utf8(&[("LANG", "de_DE.UTF-8")]));
        assert!(utf8(&[("LANG", "C"), ("LC_CTYPE", "C.utf8")]));
        assert!(utf8(&[("LC_ALL", ""), ("LANG", "C.UTF-8")]));
        assert!(!utf8(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
        assert!(!utf8(&[("LC_ALL", "POSIX")]));
        assert!(!utf8(&[("LANG", "de_DE.ISO-8859-1")]));
    }

    #[test]
    fn ascii_stands_for_every_sign_we_write() {
        assert_eq!(
            to_ascii("18.2 µs – 5 μs · ±3 ×31 ×∞ ≤ … and"),
            "18.2 us - 5 us | +/-3 x31 xinf <= ... and"
        );
        assert_eq!(to_ascii("███▌ ███▏ ▏"), "#### ### #");
        assert_eq!(to_ascii("naïve 日"), r"na\u{ef}ve \u{65e5}");
        assert!(matches!(to_ascii("plain"), Cow::Borrowed("plain")));
    }
}
