use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IntoDeserializer as _, value},
};

/// What a program runs on, as far as that decides how it reaps its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are proper names")]
#[non_exhaustive]
pub enum LanguageRuntime {
    Go,
    Node,
    Python,
    Java,
    Php,
    Ruby,
    Perl,
    /// A shell: sh, dash, bash, zsh and the like.
    Shell,
    Rust,
    /// Any other native program.
    C,
}

impl LanguageRuntime {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Go => "Go",
            Self::Node => "Node",
            Self::Python => "Python",
            Self::Java => "Java",
            Self::Php => "PHP",
            Self::Ruby => "Ruby",
            Self::Perl => "Perl",
            Self::Shell => "shell",
            Self::Rust => "Rust",
            Self::C => "C",
        }
    }
}

/// A recording of a later version may have one that we don't know.
pub(super) fn known<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<LanguageRuntime>, D::Error> {
    let name = Option::<Cow<'_, str>>::deserialize(deserializer)?;
    let known = |name: Cow<'_, str>| {
        let name: value::CowStrDeserializer<'_, value::Error> = name.into_deserializer();
        LanguageRuntime::deserialize(name).ok()
    };
    Ok(name.and_then(known))
}
