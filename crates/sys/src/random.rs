//! Random bytes of the kernel, for names and ids.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes. Up to 256 of them come in one piece (getrandom(2)).
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256, "one call gives no more in one piece") };
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}

/// `2 * N` random hexadecimal digits.
pub fn hex<const N: usize>() -> io::Result<String> {
    Ok(bytes::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_two_digits() {
        let text = hex::<16>().unwrap();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        assert_ne!(text, hex::<16>().unwrap());
    }
}
