//! Numbers in header fields: octal text, or base-256 when the first bit is set.

/// Reads a field. `None` for anything that is not a number in 64 signed bits.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => parse_binary(field),
        _ => parse_octal(field),
    }
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let digits = field.get(start..)?;
    let end = digits.iter().position(is_padding).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(is_padding) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big endian; the first bit says "binary", the second is the sign.
fn parse_binary(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    let negative = first & 0x40 != 0;
    let head = if negative { i128::from(*first) - 0x100 } else { i128::from(first & 0x3f) };
    let value = rest.iter().try_fold(head, |value, byte| {
        let next = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
        // Keeps long fields from overflowing 128 bits: nothing beyond 64 is accepted anyway.
        (next.unsigned_abs() < 1 << 72).then_some(next)
    })?;
    i64::try_from(value).ok()
}

/// Writes octal digits and a NUL when they fit, else base-256.
pub(super) fn write(field: &mut [u8], value: u64) {
    let digits = field.len().saturating_sub(1);
    let text = format!("{value:0digits$o}");
    if text.len() <= digits {
        for (to, from) in field.iter_mut().zip(text.bytes().chain([0])) {
            *to = from;
        }
        return;
    }
    let bytes = value.to_be_bytes();
    field.fill(0);
    for (to, from) in field.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    if let Some(first) = field.first_mut() {
        *first |= 0x80;
    }
}

/// Whether [`write()`] has room for octal digits.
pub(super) fn fits(length: usize, value: u64) -> bool {
    let bits = 3 * length.saturating_sub(1);
    bits >= 64 || value >> bits == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_with_any_padding() {
        for (field, want) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"64a\0", None),
            (b"6 4\0", None),
            (b"9", None),
            (b"-1", None),
        ] {
            assert_eq!(parse(field), want, "{field:?}");
        }
    }

    #[test]
    fn base_256_of_both_signs() {
        assert_eq!(parse(&[0x80, 0, 0, 0, 2, 0x54, 0x0b, 0xe4, 0]), Some(10_000_000_000));
        assert_eq!(parse(&[0xff; 12]), Some(-1));
        assert_eq!(parse(&[0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(parse(&[0xbf; 200]), None);
    }

    #[test]
    fn written_numbers_are_read_again() {
        for value in [0, 1, 0o7_777_777, 0o10_000_000, 1 << 40, i64::MAX.unsigned_abs()] {
            let mut field = [0; 12];
            write(&mut field, value);
            assert_eq!(parse(&field), i64::try_from(value).ok());
        }
        assert!(fits(8, 0o7_777_777) && !fits(8, 0o10_000_000));
    }
}
