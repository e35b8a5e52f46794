//! JSON text, byte for byte as Go writes it, because Docker's log files are read by many programs.

/// Appends bytes as a JSON string. Each byte that is not part of valid UTF-8 becomes `\ufffd`, `<`,
/// `>` and `&` are written as numbers, and so are the two line separators that are line ends in
/// JavaScript.
pub(crate) fn append_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    // Most text is plain, and that is seen at once.
    let (plain, mut rest) = bytes.split_at(plain_length(bytes));
    out.extend_from_slice(plain);
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(_) => {
                append_valid(out, rest);
                rest = &[];
            }
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                append_valid(out, valid);
                // One per byte, as Go; not one per maximal part, as Rust's lossy conversion.
                let length = error.error_len().unwrap_or(broken.len());
                for _ in 0..length {
                    out.extend_from_slice(b"\\ufffd");
                }
                rest = &broken[length..];
            }
        }
    }
    out.push(b'"');
}

/// How many bytes at the beginning stand for themselves, in steps that the compiler makes vector
/// instructions of.
fn plain_length(bytes: &[u8]) -> usize {
    const STEP: usize = 32;
    let is_special = |byte: &u8| {
        let byte = *byte;
        !(0x20..0x80).contains(&byte)
            | (byte == b'"')
            | (byte == b'\\')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == b'&')
    };
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let has_special = |step: &[u8]| step.iter().fold(false, |found, byte| found | is_special(byte));
    match steps.iter().position(|step| has_special(step)) {
        Some(step) => step * STEP,
        None if has_special(rest) => bytes.len() - rest.len(),
        None => bytes.len(),
    }
}

/// Appends valid UTF-8, whole runs at a time.
fn append_valid(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if PLAIN[usize::from(byte)] {
            continue;
        }
        if byte == 0xe2 && !is_separator(&bytes[at..]) {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + append_escape(out, &bytes[at..]);
    }
    out.extend_from_slice(&bytes[start..]);
}

fn is_separator(bytes: &[u8]) -> bool {
    matches!(bytes, [0xe2, 0x80, 0xa8 | 0xa9, ..])
}

/// Appends the escape of what `bytes` begin with; the number of bytes that it stands for.
fn append_escape(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match *bytes {
        [byte @ (b'"' | b'\\'), ..] => out.extend_from_slice(&[b'\\', byte]),
        [b'\n', ..] => out.extend_from_slice(b"\\n"),
        [b'\r', ..] => out.extend_from_slice(b"\\r"),
        [0xe2, _, third, ..] => {
            out.extend_from_slice(b"\\u202");
            out.push(HEX[usize::from(third & 0xf)]);
            return 3;
        }
        [byte, ..] => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xf)]);
        }
        [] => return 0,
    }
    1
}

/// Bytes of valid UTF-8 that stand for themselves.
static PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = false;
        byte += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table[b'<' as usize] = false;
    table[b'>' as usize] = false;
    table[b'&' as usize] = false;
    table[0xe2] = false;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escape(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        append_string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    /// The right-hand sides were written by Docker's json-file driver.
    #[test]
    fn text_is_as_go_writes_it() {
        for (bytes, text) in [
            (&b"plain"[..], r#""plain""#),
            (b"", r#""""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\r\n", r#""\r\n""#),
            (b"\t\x00\x1b[0m\x08", r#""\u0009\u0000\u001b[0m\u0008""#),
            (b"<a&b>", r#""\u003ca\u0026b\u003e""#),
            (b"\x7f", "\"\x7f\""),
            ("grün €".as_bytes(), "\"grün €\""),
            ("\u{2028}x\u{2029}".as_bytes(), r#""\u2028x\u2029""#),
            (b"\xff", r#""\ufffd""#),
            (b"a\xe2\x82", r#""a\ufffd\ufffd""#),
            (b"a\xe2\x82b", r#""a\ufffd\ufffdb""#),
            (b"\xed\xa0\x80", r#""\ufffd\ufffd\ufffd""#),
            (b"\xf0\x9f\x98\x80", "\"\u{1f600}\""),
        ] {
            assert_eq!(escape(bytes), text);
        }
    }

    #[test]
    fn what_is_special_is_seen_at_every_place() {
        let text = "plain text that is longer than two steps of the search for special bytes";
        for place in 0..text.len() {
            for special in ["\"", "\\", "\n", "<", "\u{e9}", "\u{2028}"] {
                let whole = format!("{}{special}{}", &text[..place], &text[place..]);
                let out = escape(whole.as_bytes());
                assert_eq!(serde_json::from_str::<String>(&out).unwrap(), whole);
                assert!(!out.contains(['<', '\u{2028}']));
            }
        }
    }

    #[test]
    fn every_pair_of_bytes_is_read_back_as_the_text_it_was() {
        for first in 0..=255 {
            for second in 0..=255 {
                let bytes = [first, second];
                let back: String = serde_json::from_str(&escape(&bytes)).unwrap();
                match std::str::from_utf8(&bytes) {
                    Ok(text) => assert_eq!(back, text),
                    Err(_) => assert!(back.contains('\u{fffd}')),
                }
            }
        }
    }
}
