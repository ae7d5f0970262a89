use crate::{model::Comm, text};

/// Text for HTML, between tags and in quoted attributes; what could hide or reorder other text is
/// made visible.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text::visible(text).chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            char => escaped.push(char),
        }
    }
    escaped
}

/// A command name, or a question mark.
pub(super) fn name(comm: Option<&Comm>) -> String {
    comm.map_or_else(|| "?".to_owned(), |comm| escape(&comm.to_str()))
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
    fn no_text_becomes_markup() {
        assert_eq!(
            escape("<script>alert(\"1\")&'\u{202e}\x1b</script>"),
            "&lt;script&gt;alert(&quot;1&quot;)&amp;&#39;\\u{202e}\\x1b&lt;/script&gt;"
        );
        assert_eq!(escape("日本語 a-b_c"), "日本語 a-b_c");
        assert_eq!(name(Some(&"<b>".into())), "&lt;b&gt;");
        assert_eq!(name(None), "?");
    }
}
