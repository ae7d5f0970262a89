/// A kernel's release, as `uname -r` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release(String);

impl Release {
    /// That of the running kernel.
    pub fn running() -> Self {
        let name = nix::sys::utsname::uname();
        Self(name.map_or_else(
            |_| String::new(),
            |name| name.release().to_string_lossy().into_owned(),
        ))
    }

    #[cfg(test)]
    pub(crate) fn named(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this version or a later one; `None` if the text begins with no version.
    pub fn is_at_least(&self, major: u32, minor: u32) -> Option<bool> {
        let mut numbers = self
            .0
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse::<u32>().ok());
        let own = (numbers.next()??, numbers.next()??);
        Some(own >= (major, minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_versions() {
        let is_510 = |text: &str| Release::named(text).is_at_least(5, 10);
        assert_eq!(is_510("4.19.0-27-amd64"), Some(false));
        assert_eq!(is_510("5.9.16"), Some(false));
        assert_eq!(is_510("5.10.0-32-cloud-amd64"), Some(true));
        assert_eq!(is_510("6.18.44-local-v595"), Some(true));
        assert_eq!(is_510("7.3.4+deb13-cloud-amd64"), Some(true));
        assert_eq!(is_510("unheard-of"), None);
    }
}
