use std::{io, sync::Arc};

use nix::unistd::User;
use thiserror::Error;

use crate::system::users;

/// Finds a user by name or, failing that, by number.
pub(crate) fn resolve(text: &str) -> Result<User, UserError> {
    users::find(text)?.ok_or(UserError::Unknown)
}

/// Why there is no such user.
#[derive(Clone, Debug, Error)]
pub enum UserError {
    /// Neither a name nor a number in the user database.
    #[error("no such user: `getent passwd` lists them")]
    Unknown,
    /// The user database could not be read.
    #[error("the user database cannot be read: {0}")]
    Lookup(#[source] Arc<io::Error>),
}

impl From<io::Error> for UserError {
    fn from(error: io::Error) -> Self {
        Self::Lookup(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::Uid;

    use super::*;

    #[test]
    fn by_name_and_by_number() {
        assert_eq!(resolve("root").unwrap().uid, Uid::from_raw(0));
        assert_eq!(resolve("0").unwrap().name, "root");
    }

    #[test]
    fn unknown() {
        for text in ["", "no such user", "4294967294", "-1"] {
            assert!(matches!(resolve(text), Err(UserError::Unknown)), "{text}");
        }
    }
}
