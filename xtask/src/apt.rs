//! The distribution's packages, for other releases than this one too, without installing them and
//! without touching the system's own package lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::process::{find_program, output, run};

/// Suites by which a Debian mirror is told from other sources.
const SUITES: [&str; 5] = [
    "bullseye",
    "bookworm",
    "trixie",
    "trixie-backports",
    "forky",
];

/// How long package lists are good for.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// apt with lists, cache and sources of its own.
pub(crate) struct Apt {
    directory: PathBuf,
    /// Debian's name of the architecture that the packages are for.
    arch: &'static str,
}

impl Apt {
    /// Brings the lists of these suites up to date, unless they are less than a day old.
    pub(crate) fn new(directory: &Path, suites: &[&str], arch: &'static str) -> Result<Self> {
        let apt = Self {
            directory: directory.to_owned(),
            arch,
        };
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        }
        let sources = private_sources(&system_sources()?, suites, arch)?;
        let path = apt.sources();
        let fresh = fs::read_to_string(&path).is_ok_and(|known| known == sources)
            && path
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| {
                    SystemTime::now()
                        .duration_since(time)
                        .is_ok_and(|age| age < FRESH)
                });
        if !fresh {
            let _ = fs::remove_file(&path);
            let new = directory.join("sources.new");
            fs::write(&new, &sources).with_context(|| format!("{}", new.display()))?;
            let mut update = apt.with_sources("apt-get", &new);
            run(update.args(["--quiet", "update"])).context("cannot look up packages")?;
            fs::rename(&new, &path).with_context(|| format!("{}", path.display()))?;
        }
        Ok(apt)
    }

    fn sources(&self) -> PathBuf {
        self.directory.join("sources.list")
    }

    /// Downloads a package, as apt-get names it, and unpacks it into a directory of its own.
    pub(crate) fn unpack(&self, package: &str, directory: &Path) -> Result<()> {
        println!("fetching {package}");
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
        run(self
            .with_sources("apt-get", &self.sources())
            .args(["--quiet", "download", package])
            .current_dir(directory))?;
        run(Command::new("sh")
            .args(["-ec", "dpkg-deb --extract ./*.deb .; rm ./*.deb"])
            .current_dir(directory))
    }

    /// Unpacks packages and all that they depend on over each other, into a directory of their own. None of
    /// their scripts runs.
    pub(crate) fn unpack_with_dependencies(
        &self,
        packages: &[&str],
        directory: &Path,
    ) -> Result<()> {
        println!("fetching {} and what they depend on", packages.join(", "));
        let _ = fs::remove_dir_all(directory);
        let archives = self.directory.join("cache/dependencies");
        let _ = fs::remove_dir_all(&archives);
        for path in [directory, &archives.join("partial")] {
            fs::create_dir_all(path).with_context(|| format!("{}", path.display()))?;
        }
        // Nothing is installed there yet.
        let status = archives.join("status");
        fs::write(&status, "").with_context(|| format!("{}", status.display()))?;
        run(self
            .with_sources("apt-get", &self.sources())
            .arg("--option")
            .arg(format!("Dir::State::status={}", status.display()))
            .arg("--option")
            .arg(format!("Dir::Cache::archives={}", archives.display()))
            .args(["--option", "Debug::NoLocking=true", "--quiet", "--yes"])
            .args(["--no-install-recommends", "--download-only", "install"])
            .args(packages))?;
        run(Command::new("sh")
            .arg("-ec")
            // By name: base-files, which has the links from /bin into /usr, is among the first.
            .arg("for deb in \"$1\"/*.deb; do dpkg-deb --fsys-tarfile \"$deb\" | tar -x -f - --keep-directory-symlink; done")
            .arg("sh")
            .arg(&archives)
            .current_dir(directory))?;
        fs::remove_dir_all(&archives).with_context(|| format!("{}", archives.display()))
    }

    /// The names of all packages.
    pub(crate) fn package_names(&self) -> Result<Vec<String>> {
        let names = output(
            self.with_sources("apt-cache", &self.sources())
                .arg("pkgnames"),
        )?;
        Ok(names.lines().map(Into::into).collect())
    }

    fn with_sources(&self, program: &str, sources: &Path) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &Path| {
            command
                .arg("--option")
                .arg(format!("{name}={}", value.display()));
        };
        option("Dir::Etc::SourceList", sources);
        option("Dir::Etc::SourceParts", Path::new("/dev/null"));
        option("Dir::State::Lists", &self.directory.join("lists"));
        option("Dir::Cache", &self.directory.join("cache"));
        option("Acquire::Languages", Path::new("none"));
        option("APT::Architecture", Path::new(self.arch));
        // The default is what dpkg may install here.
        option("APT::Architectures", Path::new(self.arch));
        // Our directories may lie where only we can go.
        option("APT::Sandbox::User", Path::new("root"));
        command
    }
}

/// Why there can be no such packages here, if so.
pub(crate) fn missing() -> Option<String> {
    ["apt-get", "apt-cache", "dpkg-deb"]
        .into_iter()
        .find(|name| find_program(name).is_none())
        .map(|name| format!("this machine has no {name} to fetch Debian's packages with"))
}

/// Where a mirror is and whose signature it bears.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

/// The text of all of the system's sources.
fn system_sources() -> Result<String> {
    let mut text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    for part in parts {
        let path = part?.path();
        if matches!(
            path.extension().and_then(|extension| extension.to_str()),
            Some("list" | "sources")
        ) {
            text.push_str("\n\n");
            text.push_str(
                &fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?,
            );
        }
    }
    Ok(text)
}

/// Suites with security updates are on a mirror of their own; those that the system lacks are left out.
fn private_sources(system: &str, suites: &[&str], arch: &str) -> Result<String> {
    let Some(main) = mirror(system, &SUITES) else {
        bail!("apt's sources name no Debian mirror (a suite of Debian 11 to 14)");
    };
    let lines = suites.iter().flat_map(|&suite| {
        let mirror = match suite.ends_with("-security") {
            true => mirror(system, &[suite]),
            false => Some(main.clone()),
        };
        mirror.map(|mirror| mirror.line(suite, arch))
    });
    Ok(lines.collect())
}

impl Mirror {
    /// As sources.list(5) has it.
    fn line(&self, suite: &str, arch: &str) -> String {
        let signed_by = self.signed_by.as_ref();
        let options = signed_by.map_or_else(String::new, |key| format!(" signed-by={key}"));
        format!("deb [arch={arch}{options}] {} {suite} main\n", self.uri)
    }
}

/// The first source that has one of the suites, in either of the formats of sources.list(5).
fn mirror(sources: &str, suites: &[&str]) -> Option<Mirror> {
    let uncommented: Vec<_> = sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    one_line(&uncommented, suites).or_else(|| {
        uncommented
            .split(|line| line.trim().is_empty())
            .find_map(|lines| stanza(lines, suites))
    })
}

fn has_suite<'a>(mut words: impl Iterator<Item = &'a str>, suites: &[&str]) -> bool {
    words.any(|word| suites.contains(&word))
}

fn one_line(lines: &[&str], suites: &[&str]) -> Option<Mirror> {
    lines.iter().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        has_suite(words.take(1), suites).then(|| Mirror {
            uri: uri.to_owned(),
            signed_by: signed_by.map(Into::into),
        })
    })
}

fn stanza(lines: &[&str], suites: &[&str]) -> Option<Mirror> {
    let field = |name: &str| {
        lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if !field("Types")?.split_whitespace().any(|kind| kind == "deb")
        || !has_suite(field("Suites")?.split_whitespace(), suites)
    {
        return None;
    }
    Some(Mirror {
        uri: field("URIs")?.split_whitespace().next()?.to_owned(),
        // Not a key that is given in full.
        signed_by: field("Signed-By")
            .filter(|key| key.starts_with('/'))
            .map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let one_line = "# deb http://wrong.example/debian trixie main\n\
                        deb http://other.example/apt stable main\n\
                        deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n";
        let stanzas = "Types: deb\nURIs: http://other.example/\nSuites: nodistro\n\n\
                       Types: deb\n# a comment: with a colon\n\
                       URIs: http://mirror.example/debian\n\
                       Suites: bookworm bookworm-updates\nSigned-By: /k.gpg\n";
        let found = Some(Mirror {
            uri: "http://mirror.example/debian".into(),
            signed_by: Some("/k.gpg".into()),
        });
        assert_eq!(mirror(one_line, &SUITES), found);
        assert_eq!(mirror(stanzas, &SUITES), found);
        assert_eq!(
            mirror("deb http://x.example/ubuntu noble main\n", &SUITES),
            None
        );
    }

    #[test]
    fn every_suite_is_asked_of_the_mirror() {
        let system = "deb http://mirror.example/debian trixie main";
        let sources = private_sources(system, &SUITES, "amd64").unwrap();
        assert_eq!(sources.lines().count(), SUITES.len());
        assert_eq!(
            sources.lines().next(),
            Some("deb [arch=amd64] http://mirror.example/debian bullseye main")
        );
        assert!(private_sources("", &SUITES, "amd64").is_err());
    }

    #[test]
    fn security_updates_come_from_a_mirror_of_their_own() {
        let system = "deb http://mirror.example/debian bookworm main\n\n\
                      Types: deb\nURIs: http://mirror.example/security\n\
                      Suites: bookworm-security\nSigned-By: /k.gpg\n";
        let suites = ["bookworm", "bookworm-security", "trixie-security"];
        let sources = private_sources(system, &suites, "arm64").unwrap();
        assert_eq!(
            sources,
            "deb [arch=arm64] http://mirror.example/debian bookworm main\n\
             deb [arch=arm64 signed-by=/k.gpg] http://mirror.example/security bookworm-security main\n"
        );
    }
}
