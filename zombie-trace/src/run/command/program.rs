//! Finding the program to execute, and why it can't be.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{errno::Errno, unistd::User};
use object::{
    Endianness,
    elf::{FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader as _},
};

use super::{
    failure::{ChildStage, Failure},
    login::Login,
};
use crate::{
    exit_code::ExitCode,
    text::{self, visible},
};

/// Where execvp(3) looks if there is no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// COMMAND could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", shown(name))]
pub struct StartError {
    name: OsString,
    reason: String,
    /// 127 if it, or what interprets it, was not found, 126 if it could not be executed, as a shell
    /// has it.
    pub exit_code: ExitCode,
}

/// The name as given; an empty one is quoted, or else nothing would be seen of it.
fn shown(name: &OsStr) -> String {
    match name.is_empty() {
        true => "''".to_owned(),
        false => visible(&name.to_string_lossy()),
    }
}

/// What is to be executed, ready for the system call.
#[derive(Clone, Debug)]
pub struct Program {
    name: OsString,
    /// Where it may be: tried one after the other.
    pub(super) paths: Vec<CString>,
    pub(super) args: Vec<CString>,
    /// Our own environment, or the user's.
    pub(super) environment: Vec<CString>,
    pub(super) login: Option<Login>,
}

impl Program {
    /// Looks it up as execvp(3) does, for a user in that user's `PATH`.
    ///
    /// # Errors
    /// What can be said before anything runs: it does not exist, is not executable, or what
    /// interprets it does not exist.
    pub fn find(
        name: &OsString,
        args: &[OsString],
        user: Option<&User>,
    ) -> Result<Self, StartError> {
        let refused = |reason: String, code| StartError {
            name: name.clone(),
            reason,
            exit_code: ExitCode::Command(code),
        };
        let login = user
            .map(Login::of)
            .transpose()
            .map_err(|error| refused(format!("cannot find the user's groups: {error}"), 126))?;
        let environment = match &login {
            Some(login) => login.environment.clone(),
            None => env::vars_os().collect(),
        };
        let path = environment.iter().find(|(key, _)| key == "PATH");
        let path = path.map_or(OsStr::new(DEFAULT_PATH), |(_, path)| path);
        if name.is_empty() {
            return Err(refused("COMMAND is empty: name a program".to_owned(), 127));
        }
        let candidates = candidates(name, path);
        examine(name, &candidates).map_err(|(reason, code)| refused(reason, code))?;

        let environment = environment.into_iter().map(|(mut assignment, value)| {
            assignment.push("=");
            assignment.push(value);
            assignment
        });
        let strings = |strings: &mut dyn Iterator<Item = OsString>| {
            strings
                .map(|string| CString::new(string.into_vec()))
                .collect::<Result<_, _>>()
                .map_err(|_| refused("its arguments hold a NUL byte".to_owned(), 126))
        };
        let paths = strings(&mut candidates.into_iter().map(PathBuf::into_os_string))?;
        let args = strings(&mut [name].into_iter().chain(args).cloned())?;
        let environment = strings(&mut environment.into_iter())?;
        Ok(Self {
            name: name.clone(),
            paths,
            args,
            environment,
            login,
        })
    }

    pub(super) fn cannot_fork(&self, error: &io::Error) -> StartError {
        self.refused(format!("cannot start a process: {error}"), 126)
    }

    pub(super) fn cannot_execute(&self, failure: Failure) -> StartError {
        let Failure { stage, error } = failure;
        let (reason, code) = match stage {
            ChildStage::Identity => (
                format!("cannot become the user of --user: {error}: run zombie-trace as root"),
                126,
            ),
            ChildStage::Terminal => (format!("cannot set its terminal up: {error}"), 126),
            ChildStage::Exec => {
                // It may have gone since it was found.
                let paths = self.paths.iter();
                let paths: Vec<_> = paths
                    .map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes())))
                    .collect();
                examine(&self.name, &paths)
                    .err()
                    .unwrap_or_else(|| exec_error(error))
            }
        };
        self.refused(reason, code)
    }

    fn refused(&self, reason: String, code: u8) -> StartError {
        StartError {
            name: self.name.clone(),
            reason,
            exit_code: ExitCode::Command(code),
        }
    }
}

fn exec_error(error: Errno) -> (String, u8) {
    match error {
        Errno::ENOENT => ("command not found".to_owned(), 127),
        Errno::ENOEXEC => (
            "cannot be executed: neither a program for this machine nor a script with a #! line"
                .to_owned(),
            126,
        ),
        error => (
            format!("cannot be executed: {}", io::Error::from(error)),
            126,
        ),
    }
}

fn candidates(name: &OsStr, path: &OsStr) -> Vec<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return vec![name.into()];
    }
    if name.is_empty() {
        return Vec::new();
    }
    env::split_paths(path)
        // An empty entry is the working directory.
        .map(|directory| match directory.as_os_str().is_empty() {
            true => Path::new(".").join(name),
            false => directory.join(name),
        })
        .collect()
}

/// Why none of these can be executed, as far as that can be seen, and the status for it.
fn examine(name: &OsStr, paths: &[PathBuf]) -> Result<(), (String, u8)> {
    // The message begins with the name: a path is named only if it is another one.
    let said = |path: &Path, what: &str| match path.as_os_str() == name {
        true => what.to_owned(),
        false => format!("cannot be executed: {} {what}", text::path(path)),
    };
    let mut refusal = None;
    for path in paths {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                refusal.get_or_insert_with(|| said(path, "is a directory"));
            }
            Ok(found) if !found.is_file() => {
                refusal.get_or_insert_with(|| said(path, "is not a regular file"));
            }
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                refusal.get_or_insert_with(|| {
                    let advice = format!("is not executable: run `chmod +x {}`", text::path(path));
                    said(path, &advice)
                });
            }
            Ok(_) => return interpretable(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refusal.get_or_insert_with(|| said(path, &format!("cannot be reached: {error}")));
            }
            Err(_) => {}
        }
    }
    Err(match refusal {
        Some(refusal) => (refusal, 126),
        None => ("command not found".to_owned(), 127),
    })
}

/// The kernel says of a missing interpreter what it says of a missing program.
fn interpretable(path: &Path) -> Result<(), (String, u8)> {
    match interpreter(path) {
        Some(interpreter) if !interpreter.exists() => Err((
            format!(
                "its interpreter was not found: {} asks for {:?}",
                text::path(path),
                interpreter
            ),
            127,
        )),
        _ => Ok(()),
    }
}

/// What the kernel starts in its place: that of a script's `#!` line, or the dynamic loader.
fn interpreter(path: &Path) -> Option<PathBuf> {
    /// The kernel reads 256 bytes of a script; an executable's headers are in its first page.
    const PAGE: u64 = 4096;
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(PAGE)
        .read_to_end(&mut bytes)
        .ok()?;
    let name = match bytes.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.split(|byte| *byte == b'\n').next()?;
            let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
            words.find(|word| !word.is_empty())?.to_owned()
        }
        None => loader::<FileHeader64<Endianness>>(&bytes)
            .or_else(|| loader::<FileHeader32<Endianness>>(&bytes))?,
    };
    Some(OsString::from_vec(name).into())
}

fn loader<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = H::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let mut segments = header.program_headers(endian, bytes).ok()?.iter();
    segments.find_map(|segment| Some(segment.interpreter(endian, bytes).ok()??.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: impl Into<OsString>) -> (String, ExitCode) {
        match Program::find(&name.into(), &[], None) {
            Ok(program) => (format!("{:?}", program.paths), ExitCode::Success),
            Err(error) => (error.to_string(), error.exit_code),
        }
    }

    fn file(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn what_does_not_exist() {
        for name in ["/nonexistent", "no-such-program-anywhere", "/etc/passwd/x"] {
            let (text, code) = find(name);
            assert_eq!(text, format!("{name}: command not found"));
            assert_eq!(code, ExitCode::Command(127));
        }
    }

    #[test]
    fn an_empty_name_is_shown() {
        let (text, code) = find("");
        assert_eq!(text, "'': COMMAND is empty: name a program");
        assert_eq!(code, ExitCode::Command(127));
    }

    #[test]
    fn what_is_not_executable() {
        let directory = tempfile::tempdir().unwrap();
        let plain = file(directory.path(), "plain", "", 0o644);
        let (text, code) = find(&plain);
        let path = plain.display();
        assert_eq!(
            text,
            format!("{path}: is not executable: run `chmod +x {path}`")
        );
        assert_eq!(code, ExitCode::Command(126));
        let (text, code) = find(directory.path());
        assert!(text.ends_with("is a directory"), "{text}");
        assert_eq!(code, ExitCode::Command(126));
        let (text, code) = find("/dev/null");
        assert!(text.ends_with("is not a regular file"), "{text}");
        assert_eq!(code, ExitCode::Command(126));
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for (line, named) in [
            ("#!/no/such/shell -e\n", "\"/no/such/shell\""),
            ("#! /bin/sh\r\n", "\"/bin/sh\\r\""),
        ] {
            let (text, code) = find(file(directory.path(), "script", line, 0o755));
            assert!(text.contains(named), "{text}");
            assert!(!text.contains("command not found"), "{text}");
            assert_eq!(code, ExitCode::Command(127));
        }
        let script = file(directory.path(), "script", "#!/bin/sh\n", 0o755);
        assert_eq!(find(script).1, ExitCode::Success);
    }

    #[test]
    fn the_loader_of_a_program() {
        // This test's own; a static one has none.
        let ours = interpreter(&env::current_exe().unwrap());
        assert!(ours.is_none_or(|loader| loader.exists()));
    }

    #[test]
    fn the_search_goes_through_the_path() {
        let found = candidates(OsStr::new("x"), OsStr::new("/a::/b"));
        assert_eq!(found, ["/a/x", "./x", "/b/x"].map(PathBuf::from));
        let found = candidates(OsStr::new("a/x"), OsStr::new("/a"));
        assert_eq!(found, [PathBuf::from("a/x")]);
    }
}
