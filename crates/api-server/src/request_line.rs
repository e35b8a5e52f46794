//! Queries with characters that should be escaped and, by hand or by simple programs, are not:
//! `GET /containers/json?filters={"status":["exited"]}`. Docker's server takes them, hyper refuses them.
//!
//! Only the first request of a connection is looked at, where it cannot be taken for part of a body; programs that send
//! several over one connection escape.

use std::fmt::Write as _;

/// The bytes with the query of their request line escaped; none when there is nothing to be done, or the line is not
/// complete.
pub(crate) fn escaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = bytes.split_at(end);
    let line = std::str::from_utf8(line).ok()?;
    let (start, version) = line.rsplit_once(' ')?;
    let (before, query) = start.split_once('?')?;
    if !version.starts_with("HTTP/1.") || !query.contains(is_refused) {
        return None;
    }
    let mut line = format!("{before}?");
    for character in query.chars() {
        if is_refused(character) {
            // A text takes everything.
            write!(line, "%{:02X}", u32::from(character)).ok();
        } else {
            line.push(character);
        }
    }
    Some([format!("{line} {version}").as_bytes(), rest].concat())
}

/// What hyper refuses in a query, of what can be in a word.
fn is_refused(character: char) -> bool {
    matches!(character, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_braces_are_escaped_in_the_query_alone() {
        let request = b"GET /x?filters={\"a\":[\"b\"]}&y=%22 HTTP/1.1\r\nA: {\"b\"}\r\n\r\n";
        let expected =
            b"GET /x?filters=%7B%22a%22:[%22b%22]%7D&y=%22 HTTP/1.1\r\nA: {\"b\"}\r\n\r\n";
        assert_eq!(escaped(request).unwrap(), expected);
    }

    #[test]
    fn other_requests_stay_as_they_are() {
        for request in [
            &b"GET /x?filters=%7B%7D HTTP/1.1\r\n\r\n"[..],
            b"GET /{x} HTTP/1.1\r\n\r\n",
            b"GET /x?{} HTTP/1.1",
            b"GET /x?{}\r\n\r\n",
            b"\xff?{} HTTP/1.1\r\n",
        ] {
            assert_eq!(escaped(request), None);
        }
    }
}
