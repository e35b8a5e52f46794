//! What a 401 asks for: the `WWW-Authenticate` header (RFC 9110, section 11.6.1).

use http::{HeaderMap, header};

/// One way to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from a service.
    Bearer(Bearer),
}

/// Where tokens come from (distribution specification, "token authentication").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: String,
    pub(crate) scope: Option<String>,
    /// RFC 6750, section 3.1: what was wrong with the token that came.
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
}

/// All challenges of an answer that this crate can meet, in their order.
pub(crate) fn parse(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse_value)
        .collect()
}

fn parse_value(value: &str) -> Vec<Challenge> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let after = after.trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), challenges.last_mut()) {
            (Some(after), Some((_, parameters))) => {
                let (parameter, after) = value_of(after.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), parameter));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                challenges.push((word.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    challenges.into_iter().filter_map(|(scheme, parameters)| known(&scheme, parameters)).collect()
}

/// A token or a quoted string, and what comes after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn known(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let mut bearer = Bearer::default();
            for (key, value) in parameters {
                match key.as_str() {
                    "realm" => bearer.realm = value,
                    "service" => bearer.service = value,
                    "scope" => bearer.scope = Some(value),
                    "error" => bearer.error = Some(value),
                    "error_description" => bearer.error_description = Some(value),
                    _ => {}
                }
            }
            Some(Challenge::Bearer(bearer))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        assert_eq!(parse_value(r#"Basic realm="a, b""#), [Challenge::Basic]);
        assert_eq!(
            parse_value(
                r#"Bearer realm="https://a/t?x=1,2",service="s \"q\"", scope="repository:a:pull,push", Basic realm=x"#
            ),
            [
                Challenge::Bearer(Bearer {
                    realm: "https://a/t?x=1,2".into(),
                    service: "s \"q\"".into(),
                    scope: Some("repository:a:pull,push".into()),
                    ..Bearer::default()
                }),
                Challenge::Basic
            ]
        );
        assert_eq!(parse_value("Negotiate abc, BASIC"), [Challenge::Basic]);
    }

    #[test]
    fn nonsense_ends() {
        for value in ["", "=", ",,,", "Bearer realm=\"", "Bearer realm=\"\\", "a=b", "Digest x=1"] {
            assert!(parse_value(value).len() <= 1, "{value}");
        }
    }
}
