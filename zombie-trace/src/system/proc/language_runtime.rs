//! What a process runs on, by its executable.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Mutex,
};

use object::{Object as _, ObjectSection as _, ReadCache};

use super::directory;
use crate::model::LanguageRuntime;

/// By device, inode and time of the last change of an executable: it is read once.
static KNOWN: Mutex<Option<HashMap<Executable, LanguageRuntime>>> = Mutex::new(None);

type Executable = (u64, u64, i64);

/// As many executables are remembered, at the most.
const MOST: usize = 1024;

/// The runtime of a process; `None` if its executable can't be read.
pub(super) fn of(pid: u32) -> Option<LanguageRuntime> {
    let directory = directory(pid);
    let link = directory.join("exe");
    let path = fs::read_link(&link).ok()?;
    if let Some(runtime) = by_name(&path) {
        return Some(runtime);
    }
    if embeds_java(&directory) {
        return Some(LanguageRuntime::Java);
    }
    // The link itself leads to the file, also if its path is another namespace's or it was deleted.
    let metadata = fs::metadata(&link).ok()?;
    let key = (metadata.dev(), metadata.ino(), metadata.mtime());
    let mut known = KNOWN.lock().ok()?;
    let known = known.get_or_insert_default();
    if let Some(runtime) = known.get(&key) {
        return Some(*runtime);
    }
    let runtime = by_sections(&link)?;
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(key, runtime);
    Some(runtime)
}

/// Interpreters are told by their names.
fn by_name(path: &Path) -> Option<LanguageRuntime> {
    use LanguageRuntime::{Java, Node, Perl, Php, Python, Ruby, Shell};
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    // python3.11, php8.2, perl5.36.0, ruby3.1
    let name = name.trim_end_matches(|char: char| char.is_ascii_digit() || ".-".contains(char));
    Some(match name {
        "node" | "nodejs" => Node,
        "python" | "pypy" => Python,
        "java" => Java,
        "php" | "php-fpm" | "php-cgi" | "php-fpm-cgi" => Php,
        "ruby" => Ruby,
        "perl" => Perl,
        "sh" | "dash" | "bash" | "zsh" | "ksh" | "mksh" | "ash" | "fish" => Shell,
        _ => return None,
    })
}

/// A native launcher can load the JVM.
fn embeds_java(directory: &Path) -> bool {
    fs::read_to_string(directory.join("maps")).is_ok_and(|maps| maps.contains("/libjvm.so"))
}

/// Native programs are told by what their toolchain leaves in them.
fn by_sections(path: &Path) -> Option<LanguageRuntime> {
    /// More of a section is not looked at.
    const ENOUGH: u64 = 64 << 10;
    let cache = ReadCache::new(File::open(path).ok()?);
    let Ok(file) = object::File::parse(&cache) else {
        return None;
    };
    let has = |name| file.section_by_name(name).is_some();
    if has(".go.buildinfo") || has(".note.go.buildid") {
        return Some(LanguageRuntime::Go);
    }
    let comment = file.section_by_name(".comment");
    let comment = comment.filter(|section| section.size() <= ENOUGH);
    let text = comment.and_then(|section| section.data().ok());
    let is_rust = text.is_some_and(|text| text.windows(6).any(|part| part == b"rustc "));
    Some(match is_rust {
        true => LanguageRuntime::Rust,
        false => LanguageRuntime::C,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_by_name() {
        for (path, runtime) in [
            ("/usr/bin/python3.11", Some(LanguageRuntime::Python)),
            ("/usr/bin/node (deleted)", Some(LanguageRuntime::Node)),
            ("/usr/sbin/php-fpm8.2", Some(LanguageRuntime::Php)),
            ("/usr/bin/perl", Some(LanguageRuntime::Perl)),
            ("/bin/dash", Some(LanguageRuntime::Shell)),
            ("/usr/bin/pythonista", None),
            ("/usr/sbin/sshd", None),
        ] {
            assert_eq!(by_name(Path::new(path)), runtime, "{path}");
        }
    }

    #[test]
    fn this_program_is_rust() {
        assert_eq!(of(std::process::id()), Some(LanguageRuntime::Rust));
    }
}
