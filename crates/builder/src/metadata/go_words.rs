//! Values as Go's `%q` prints them: histories are full of them.

/// A string in double quotes.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            letter => push_plain(&mut quoted, letter),
        }
    }
    quoted.push('"');
    quoted
}

fn push_plain(quoted: &mut String, letter: char) {
    match letter {
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{b}' => quoted.push_str("\\v"),
        '\u{c}' => quoted.push_str("\\f"),
        letter if letter.is_ascii_control() => {
            quoted.push_str(&format!("\\x{:02x}", u32::from(letter)));
        }
        letter if letter.is_control() => {
            quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
        letter => quoted.push(letter),
    }
}

/// A list of strings: `["a" "b"]`.
pub(super) fn quote_all(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", words.join(" "))
}

/// A number as the letter that it stands for: `'\x03'`.
pub(super) fn quote_number(number: i64) -> String {
    let letter = u32::try_from(number).ok().and_then(char::from_u32);
    let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut quoted = "'".to_owned();
    match letter {
        '\'' => quoted.push_str("\\'"),
        letter => push_plain(&mut quoted, letter),
    }
    quoted.push('\'');
    quoted
}

/// Nanoseconds as Go's `Duration` prints them.
pub(super) fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    let below = |unit: u64, name: &str| {
        let (whole, rest) = (all / unit, all % unit);
        let digits = unit.ilog10() as usize;
        let rest = format!("{rest:0digits$}");
        format!("{sign}{}{name}", decimal(whole, if unit == 1 { "" } else { &rest }))
    };
    match all {
        0 => "0s".to_owned(),
        1..1_000 => below(1, "ns"),
        1_000..1_000_000 => below(1_000, "µs"),
        1_000_000..1_000_000_000 => below(1_000_000, "ms"),
        all => {
            let (seconds, rest) = (all / 1_000_000_000, all % 1_000_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let seconds = decimal(seconds % 60, &format!("{rest:09}"));
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn decimal(whole: u64, rest: &str) -> String {
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}
