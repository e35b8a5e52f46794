//! JSON set out for reading, without understanding it: the daemon's order of fields and its numbers
//! stay as they are.

use crate::error::{CliError, Result};

/// Four blanks a level, as `docker inspect` prints.
const INDENT: &str = "    ";

/// The text of a document, set out; what is no JSON is passed through as well as can be.
pub(crate) fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut level = 0_usize;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                string(&mut characters, &mut out);
            }
            '{' | '[' => {
                out.push(character);
                while characters.peek().is_some_and(char::is_ascii_whitespace) {
                    characters.next();
                }
                match characters.peek() {
                    // Empty ones stay on their line.
                    Some(close @ ('}' | ']')) => {
                        out.push(*close);
                        characters.next();
                    }
                    Some(_) | None => {
                        level += 1;
                        line(level, &mut out);
                    }
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                line(level, &mut out);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(level, &mut out);
            }
            ':' => out.push_str(": "),
            other if other.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// The text of what the daemon told, in the order of its fields.
pub(crate) fn text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| CliError::Template {
        context: "cannot show the answer",
        text: error.to_string(),
        code: 1,
    })
}

fn line(level: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(INDENT, level));
}

fn string(characters: &mut impl Iterator<Item = char>, out: &mut String) {
    let mut escaped = false;
    for character in characters {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_numbers_stay() {
        assert_eq!(
            indent(r#"[{"b":1.0,"a":{},"c":[ ],"d":["x:{\"y\"","\\"],"e":null}]"#),
            "[\n    {\n        \"b\": 1.0,\n        \"a\": {},\n        \"c\": [],\n        \
             \"d\": [\n            \"x:{\\\"y\\\"\",\n            \"\\\\\"\n        ],\n        \
             \"e\": null\n    }\n]"
        );
    }

    proptest::proptest! {
        #[test]
        fn the_document_stays_the_same(keys in proptest::collection::btree_map(".*", ".*", 0..5)) {
            let value = serde_json::json!({ "list": [1, keys, null, [], {}] });
            let again: serde_json::Value = serde_json::from_str(&indent(&value.to_string())).unwrap();
            proptest::prop_assert_eq!(again, value);
        }
    }
}
