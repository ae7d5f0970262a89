use std::borrow::Cow;

use crate::{model::Comm, text::visible};

/// A command name, or a question mark. The template escapes markup; what could hide or reorder other
/// text is made visible here.
pub(super) fn name(comm: Option<&Comm>) -> String {
    comm.map_or_else(|| "?".to_owned(), |comm| visible(&comm.to_str()))
}

/// A command line as a shell takes it.
pub(super) fn shell_words(words: &[String]) -> String {
    let quoted = words.iter().map(|word| quoted(word));
    visible(&quoted.collect::<Vec<_>>().join(" "))
}

fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |char: char| char.is_alphanumeric() || "-_./:=@%+,".contains(char);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

/// A number whose digits go by threes.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_by_threes() {
        let grouped: Vec<_> = [0, 999, 1000, 1_234_567].map(grouped).into();
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_shell_reads_the_same_words() {
        let words = ["zombie-trace", "-n", "*x", "it's", "", "--", "a b"];
        assert_eq!(
            shell_words(&words.map(str::to_owned)),
            r"zombie-trace -n '*x' 'it'\''s' '' -- 'a b'"
        );
        assert_eq!(shell_words(&["a\u{202e}b".to_owned()]), r"'a\u{202e}b'");
    }

    #[test]
    fn unknown_names() {
        assert_eq!(name(Some(&"a\x1b".into())), r"a\x1b");
        assert_eq!(name(None), "?");
    }
}
