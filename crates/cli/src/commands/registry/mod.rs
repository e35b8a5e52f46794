//! `barge login`, `logout` and `search`.

pub(super) mod login;
pub(super) mod logout;
pub(super) mod search;

/// What a person typed for a registry → what its credentials are filed under.
fn key(server: &str) -> String {
    // Of an address given with a scheme, only Docker Hub's own keeps its path.
    if server == crate::credentials::HUB {
        return server.to_owned();
    }
    crate::credentials::key(crate::credentials::host(server))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_of_a_registry_have_one_key() {
        for (server, key) in [
            ("", "https://index.docker.io/v1/"),
            ("docker.io", "https://index.docker.io/v1/"),
            ("https://index.docker.io/v1/", "https://index.docker.io/v1/"),
            ("h:5000", "h:5000"),
            ("https://h:5000/v2/", "h:5000"),
        ] {
            assert_eq!(super::key(server), key);
        }
    }
}
