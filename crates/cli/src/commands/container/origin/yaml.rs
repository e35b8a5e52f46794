//! JSON values as a Compose file's YAML.

use serde_json::Value;

/// Block style YAML; words that could be read as something else in JSON's quotes, which YAML has too.
pub(super) fn write(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", scalar(key)));
                write_below(text, value, depth + 1);
            }
        }
        Value::Array(list) => {
            for value in list {
                text.push_str(&format!("{indent}-"));
                // The first key of a map stands beside the dash.
                if value.is_object() {
                    let mut inner = String::new();
                    write(&mut inner, value, depth + 1);
                    text.push(' ');
                    text.push_str(inner.trim_start());
                } else {
                    write_below(text, value, depth + 1);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&format!("{indent}{value}\n"));
        }
    }
}

fn write_below(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if map.is_empty() => text.push_str(" {}\n"),
        Value::Array(list) if list.is_empty() => text.push_str(" []\n"),
        Value::Object(_) | Value::Array(_) => {
            text.push('\n');
            write(text, value, depth);
        }
        // Compose reads a dollar as the beginning of a variable.
        Value::String(word) => text.push_str(&format!(" {}\n", scalar(&word.replace('$', "$$")))),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            text.push_str(&format!(" {value}\n"));
        }
    }
}

fn scalar(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    let starts_plain =
        word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let is_word = matches!(
        word.to_ascii_lowercase().as_str(),
        "y" | "yes" | "no" | "n" | "true" | "false" | "on" | "off" | "null"
    );
    if starts_plain && !is_word && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        Value::from(word).to_string()
    }
}
