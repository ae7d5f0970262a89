//! Names of functions, as symbols have them and as people write them.

/// A demangled name without the types that it returns and takes: of
/// `void std::sort<int*>(int*, int*)` that is `std::sort<int*>`.
pub(super) fn qualified(name: &str) -> &str {
    let mut depth = 0_u32;
    let mut start = 0;
    let mut end = name.len();
    for (at, char) in name.char_indices() {
        match char {
            '<' | '[' | '{' => depth += 1,
            '>' | ']' | '}' => depth = depth.saturating_sub(1),
            // `(anonymous namespace)::run`, Go's `main.(*T).run` and C++'s `operator()` are names.
            '(' if depth == 0
                && at > start
                && !name[..at].ends_with(['.', ':'])
                && !name[..at].ends_with("operator") =>
            {
                end = at;
                break;
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && !name[..at].ends_with("operator") => start = at + 1,
            _ => {}
        }
    }
    match name.get(start..end).unwrap_or(name).trim() {
        "" => name,
        short => short,
    }
}

/// The type or function that a name begins with: a method of a trait belongs to the type that has it, unless
/// that is any type: then to the trait.
pub(super) fn qualified_name(name: &str) -> &str {
    let name = qualified(name);
    let Some(inner) = name.strip_prefix('<') else {
        return name;
    };
    let inner = inner.trim_start_matches(['&', '*']);
    let inner = ["mut ", "const ", "dyn "]
        .iter()
        .find_map(|word| inner.strip_prefix(word))
        .unwrap_or(inner);
    match inner.split_once(" as ") {
        // A type parameter has no path.
        Some((this, of_trait)) if this.len() <= 2 => of_trait,
        _ => inner,
    }
}

/// The function as a program calls it: without the prefixes and suffixes under which a C library keeps it.
pub(super) fn call(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    let prefixes = ["__GI___", "__GI_", "__libc_", "__new_", "___", "__"];
    let bare = prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let suffixes = ["_nocancel", "_time64", "_internal", "_2"];
    let bare = suffixes
        .iter()
        .find_map(|suffix| bare.strip_suffix(suffix))
        .unwrap_or(bare);
    match bare.starts_with(|first: char| first.is_ascii_alphabetic()) {
        true => bare,
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_that_programs_use() {
        for (name, expected) in [
            ("fsync", "fsync"),
            ("__GI___libc_read", "libc_read"),
            ("__libc_read", "read"),
            ("__clock_nanosleep", "clock_nanosleep"),
            ("___pthread_mutex_lock", "pthread_mutex_lock"),
            ("pthread_cond_wait@@GLIBC_2.3.2", "pthread_cond_wait"),
            ("__poll_nocancel", "poll"),
            ("__clock_nanosleep_time64", "clock_nanosleep"),
            ("__", "__"),
            ("", ""),
        ] {
            assert_eq!(call(name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_short_without_their_types() {
        for (name, expected) in [
            ("write_journal", "write_journal"),
            ("void std::sort<int*>(int*, int*)", "std::sort<int*>"),
            (
                "std::map<int, std::pair<int, int> >::find(int const&) const",
                "std::map<int, std::pair<int, int> >::find",
            ),
            (
                "(anonymous namespace)::flush(int)",
                "(anonymous namespace)::flush",
            ),
            ("main.(*Supervisor).run", "main.(*Supervisor).run"),
            ("Less::operator()(int, int) const", "Less::operator()"),
            (
                "<sup::Job as core::ops::drop::Drop>::drop",
                "<sup::Job as core::ops::drop::Drop>::drop",
            ),
            ("sup::main::{{closure}}", "sup::main::{{closure}}"),
            ("(", "("),
            (" ", " "),
            (">>((<", ">>"),
            ("", ""),
        ] {
            assert_eq!(qualified(name), expected, "{name}");
        }
    }
}
