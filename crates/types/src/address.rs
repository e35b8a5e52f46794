//! Addresses of the web as they may be shown: in messages and in what is said of an image.

/// An address without what may be a secret: who asks, and its query, where signed addresses have their signature.
#[must_use]
pub fn shown_address(address: &str) -> String {
    let (address, fragment) = match address.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (address, String::new()),
    };
    let Some((scheme, rest)) = address.split_once("://") else {
        return format!("{address}{fragment}");
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // `git@` of ssh is a name that everybody knows; a name alone may be a token of the web.
    let host = match authority.rsplit_once('@') {
        Some((user, host)) if scheme == "ssh" => {
            format!("{}@{host}", user.split(':').next().unwrap_or_default())
        }
        Some((_, host)) => host.to_owned(),
        None => authority.to_owned(),
    };
    format!("{scheme}://{host}{path}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_passwords_nor_queries_are_shown() {
        for (address, shown) in [
            ("https://u:p@h:1/a?b=c#d", "https://h:1/a#d"),
            ("https://h?b=c@d", "https://h"),
            ("ssh://git:p@h/a", "ssh://git@h/a"),
            ("git@h:a/b.git", "git@h:a/b.git"),
            ("github.com/a/b", "github.com/a/b"),
            ("https://h", "https://h"),
        ] {
            assert_eq!(shown_address(address), shown);
        }
    }
}
