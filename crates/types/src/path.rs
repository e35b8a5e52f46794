//! Paths inside containers as text: `..` taken lexically, and what a path ends in, which has a meaning for `cp`.

/// What a path ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A name: a link is itself.
    Name,
    /// A slash: only a folder is meant, and a link to one is followed.
    Slash,
    /// `/.`: a folder's content.
    Dot,
}

/// An absolute path without `.`, `..` and doubled slashes; what does not begin at the root does so now.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

impl Ending {
    /// Of a path as it was written, which is `cleaned` in the end. As in Go's `filepath.Base`, slashes after a dot do not
    /// matter; nothing at all is the folder itself.
    #[must_use]
    pub fn of(text: &str, cleaned: &str) -> Self {
        let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if last == "." || text.is_empty() {
            Self::Dot
        } else if text.ends_with('/') || cleaned == "/" {
            Self::Slash
        } else {
            Self::Name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_clean_and_their_ends_have_a_meaning() {
        for (text, cleaned, ending) in [
            ("/", "/", Ending::Slash),
            ("", "/", Ending::Dot),
            (".", "/", Ending::Dot),
            ("..", "/", Ending::Slash),
            ("data", "/data", Ending::Name),
            ("/data/", "/data", Ending::Slash),
            ("data/./", "/data", Ending::Dot),
            ("/../data//f", "/data/f", Ending::Name),
            ("/a/b/..", "/a", Ending::Name),
        ] {
            assert_eq!(
                (clean(text).as_str(), Ending::of(text, cleaned)),
                (cleaned, ending),
                "{text}"
            );
        }
    }
}
