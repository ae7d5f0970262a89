//! The user database.
//!
//! Not through the C library: a program without shared libraries crashes in what that loads for other
//! databases than passwd(5) (nsswitch.conf(5)). getent(1) asks those for us.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User};

const GETENT: &str = "/usr/bin/getent";

/// What getent(1) exits with if it knows no such entry.
const UNKNOWN: i32 = 2;

/// The user of this name or number.
///
/// # Errors
/// The database can't be read.
pub(crate) fn find(name_or_number: &str) -> io::Result<Option<User>> {
    let lines = entries("passwd", Some(name_or_number))?;
    let users = || lines.lines().filter_map(parse_user);
    let is_number = |user: &User| user.uid.to_string() == name_or_number;
    let by_name = users().find(|user| user.name == name_or_number);
    Ok(by_name.or_else(|| users().find(is_number)))
}

/// All groups of a user, the primary one first.
///
/// # Errors
/// The database can't be read.
pub(crate) fn groups_of(user: &User) -> io::Result<Vec<Gid>> {
    let others = match ask("initgroups", Some(&user.name))? {
        Some(line) => parse_initgroups(&line),
        // Of another C library, or not there.
        None => members_groups(&entries("group", None)?, &user.name),
    };
    let mut groups = vec![user.gid];
    groups.extend(others.into_iter().filter(|group| *group != user.gid));
    Ok(groups)
}

/// The lines about `key` or, where that can't be asked for, all lines of the file.
fn entries(database: &str, key: Option<&str>) -> io::Result<String> {
    match ask(database, key)? {
        Some(lines) => Ok(lines),
        None => fs::read_to_string(Path::new("/etc").join(database)),
    }
}

/// What getent(1) knows; `None` if it can't be asked.
fn ask(database: &str, key: Option<&str>) -> io::Result<Option<String>> {
    // It would take such a key for an option.
    if key.is_some_and(|key| key.is_empty() || key.starts_with('-')) {
        return Ok(Some(String::new()));
    }
    let output = Command::new(GETENT)
        .arg(database)
        .args(key)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(output) => Ok(match output.status.code() {
            Some(0) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
            Some(UNKNOWN) => Some(String::new()),
            _ => None,
        }),
    }
}

/// A line of passwd(5).
fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else {
        return None;
    };
    Some(User {
        name: name.to_owned(),
        passwd: c"".into(),
        uid: Uid::from_raw(uid.parse().ok()?),
        gid: Gid::from_raw(gid.parse().ok()?),
        gecos: c"".into(),
        dir: home.into(),
        shell: shell.into(),
    })
}

/// The answer of `getent initgroups`: the name, and the numbers of the groups.
fn parse_initgroups(line: &str) -> Vec<Gid> {
    let numbers = line.split_whitespace().skip(1);
    numbers
        .filter_map(|number| number.parse().ok().map(Gid::from_raw))
        .collect()
}

/// The groups that name a user in lines of group(5).
fn members_groups(lines: &str, user: &str) -> Vec<Gid> {
    lines
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members] = fields[..] else {
                return None;
            };
            let is_member = members.split(',').any(|member| member == user);
            is_member
                .then(|| gid.parse().ok().map(Gid::from_raw))
                .flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_passwd() {
        let user = parse_user("nobody:x:65534:65533:No Body:/nonexistent:/bin/false").unwrap();
        assert_eq!((user.uid.as_raw(), user.gid.as_raw()), (65534, 65533));
        assert_eq!(user.dir, Path::new("/nonexistent"));
        assert_eq!(user.shell, Path::new("/bin/false"));
        for line in ["", "nobody", "nobody:x:-1:0:::", "+::::::"] {
            assert!(parse_user(line).is_none(), "{line}");
        }
    }

    #[test]
    fn groups_by_either_answer() {
        let gids = |groups: Vec<Gid>| -> Vec<u32> { groups.into_iter().map(Gid::as_raw).collect() };
        assert_eq!(gids(parse_initgroups("alice   4 24\n")), [4, 24]);
        assert_eq!(gids(parse_initgroups("alice")), [0; 0]);
        let lines = "adm:x:4:bob,alice\ncdrom:x:24:alice\nusers:x:100:\nmalice:x:7:malice\nbad\n";
        assert_eq!(gids(members_groups(lines, "alice")), [4, 24]);
    }

    #[test]
    fn root_is_known_and_others_are_not() {
        let root = find("root").unwrap().unwrap();
        assert!(root.uid.is_root());
        assert_eq!(find("0").unwrap().unwrap().name, "root");
        assert_eq!(groups_of(&root).unwrap()[0], root.gid);
        for unknown in ["", "no such user", "4294967294", "-1"] {
            assert!(find(unknown).unwrap().is_none(), "{unknown}");
        }
    }
}
