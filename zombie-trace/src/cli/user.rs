use nix::{
    errno::Errno,
    unistd::{Uid, User},
};
use thiserror::Error;

/// Finds a user by name or, failing that, by number.
pub(super) fn resolve(text: &str) -> Result<User, UserError> {
    if let Some(user) = User::from_name(text)? {
        return Ok(user);
    }
    let uid = text.parse().map_err(|_| UserError::Unknown)?;
    User::from_uid(Uid::from_raw(uid))?.ok_or(UserError::Unknown)
}

/// Why there is no such user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// Neither a name nor a number in the user database.
    #[error("no such user: `getent passwd` lists them")]
    Unknown,
    /// The user database could not be read.
    #[error("the user database cannot be read: {0}")]
    Lookup(#[from] Errno),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        assert_eq!(resolve("root").unwrap().uid, Uid::from_raw(0));
        assert_eq!(resolve("0").unwrap().name, "root");
    }

    #[test]
    fn unknown() {
        for text in ["", "no such user", "4294967294", "-1"] {
            assert_eq!(resolve(text), Err(UserError::Unknown), "{text}");
        }
    }
}
