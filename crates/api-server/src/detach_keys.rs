//! Detach keys: the sequence on a terminal's input that ends an attach and leaves the container running.
//!
//! A beginning of the sequence is held back; when it does not go on as it should, the held bytes are
//! passed on in order. Docker's daemon sees a key only when it comes alone in a read; this sees it in any chunk.

/// `ctrl-p,ctrl-q`, when neither the request nor the client's configuration names another.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// A parsed sequence; empty means that nothing detaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

/// A key that is neither one character nor `ctrl-…` nor `DEL`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown character: '{0}'")]
pub(crate) struct UnknownKey(String);

impl DetachKeys {
    /// Parses `a,ctrl-b,DEL`; an empty text is the default.
    pub(crate) fn parse(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self(DEFAULT.to_vec()));
        }
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }

    /// What the keys send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A scanner at the beginning of the sequence.
    pub(crate) fn scanner(&self) -> Scanner {
        Scanner { fallback: fallbacks(&self.0), keys: self.0.clone(), matched: 0 }
    }
}

impl From<Vec<u8>> for DetachKeys {
    fn from(keys: Vec<u8>) -> Self {
        Self(keys)
    }
}

fn key(name: &str) -> Result<u8, UnknownKey> {
    if let [byte] = name.as_bytes() {
        return Ok(*byte);
    }
    if name == "DEL" {
        return Ok(127);
    }
    match name.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'@'),
        _ => Err(UnknownKey(name.to_owned())),
    }
}

/// For each matched length, how much of it still matches when the next byte does not (Knuth, Morris, Pratt).
fn fallbacks(keys: &[u8]) -> Vec<usize> {
    let mut table = vec![0; keys.len()];
    let mut length = 0;
    for index in 1..keys.len() {
        while length > 0 && keys[index] != keys[length] {
            length = table[length - 1];
        }
        if keys[index] == keys[length] {
            length += 1;
        }
        table[index] = length;
    }
    table
}

/// Looks for the sequence in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Scanner {
    keys: Vec<u8>,
    fallback: Vec<usize>,
    matched: usize,
}

/// Whether to go on after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not (yet) the whole sequence.
    Nothing,
    /// The whole sequence; what follows it in the chunk is dropped.
    Detach,
}

impl Scanner {
    /// Appends to `out` what of `input` is to be passed on.
    pub(crate) fn scan(&mut self, input: &[u8], out: &mut Vec<u8>) -> Found {
        if self.keys.is_empty() {
            out.extend_from_slice(input);
            return Found::Nothing;
        }
        for &byte in input {
            while self.matched > 0 && byte != self.keys[self.matched] {
                let shorter = self.fallback[self.matched - 1];
                out.extend_from_slice(&self.keys[..self.matched - shorter]);
                self.matched = shorter;
            }
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return Found::Detach;
                }
            } else {
                out.push(byte);
            }
        }
        Found::Nothing
    }

    /// What is still held when the input ends.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.keys[..self.matched]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(keys: &str, chunks: &[&[u8]]) -> (Vec<u8>, Found) {
        let mut scanner = DetachKeys::parse(keys).unwrap().scanner();
        let mut out = Vec::new();
        for chunk in chunks {
            if scanner.scan(chunk, &mut out) == Found::Detach {
                return (out, Found::Detach);
            }
        }
        out.extend_from_slice(scanner.rest());
        (out, Found::Nothing)
    }

    #[test]
    fn default_is_ctrl_p_ctrl_q() {
        assert_eq!(DetachKeys::parse("").unwrap(), DetachKeys(vec![16, 17]));
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q").unwrap(), DetachKeys(vec![16, 17]));
    }

    #[test]
    fn every_documented_key_is_parsed() {
        let keys =
            DetachKeys::parse("a,Z,ctrl-@,ctrl-a,ctrl-z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL");
        assert_eq!(keys.unwrap().0, [97, 90, 0, 1, 26, 27, 28, 29, 30, 31, 127]);
    }

    #[test]
    fn unknown_keys_are_named_in_dockers_words() {
        for name in ["ctrl-A", "shift-a", "ctrl-", "ctrl-ab", "a,,b"] {
            assert!(DetachKeys::parse(name).is_err(), "{name}");
        }
        let error = DetachKeys::parse("a,meta-x").unwrap_err();
        assert_eq!(error.to_string(), "Unknown character: 'meta-x'");
    }

    #[test]
    fn sequence_is_found_in_one_chunk_and_in_many() {
        assert_eq!(scan("", &[b"ls\n\x10\x11rest"]), (b"ls\n".to_vec(), Found::Detach));
        assert_eq!(scan("", &[b"ls\n", b"\x10", b"\x11"]), (b"ls\n".to_vec(), Found::Detach));
    }

    #[test]
    fn broken_sequence_is_passed_on_in_order() {
        assert_eq!(scan("", &[b"\x10", b"x\x11"]), (b"\x10x\x11".to_vec(), Found::Nothing));
        assert_eq!(scan("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), Found::Detach));
        assert_eq!(scan("a,a,b", &[b"aaab"]), (b"a".to_vec(), Found::Detach));
        assert_eq!(scan("a,b,a,c", &[b"aba", b"bac"]), (b"ab".to_vec(), Found::Detach));
        assert_eq!(scan("", &[b"end\x10"]), (b"end\x10".to_vec(), Found::Nothing));
    }

    #[test]
    fn no_keys_pass_everything() {
        let mut out = Vec::new();
        let mut scanner = DetachKeys::from(Vec::new()).scanner();
        assert_eq!(scanner.scan(b"\x10\x11", &mut out), Found::Nothing);
        assert_eq!(out, b"\x10\x11");
    }
}
