//! Cache keys: a digest over everything that decides what a step makes, and nothing else.
//!
//! Each word is preceded by its length, so that no two different lists of words give the same bytes. Times, labels and
//! secrets never go in.

use barge_archive::Digester;
use barge_types::Digest;

/// Makes a key, word by word.
#[derive(Clone, Debug)]
pub(crate) struct KeyMaker(Digester);

impl KeyMaker {
    /// For a kind of step.
    pub(crate) fn new(kind: &str) -> Self {
        let mut maker = Self(Digester::new());
        maker.bytes(kind.as_bytes());
        maker
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a word.
    pub(crate) fn word(mut self, word: &str) -> Self {
        self.bytes(word.as_bytes());
        self
    }

    /// Adds a word that may be absent, which is not the same as empty.
    pub(crate) fn maybe(self, word: Option<&str>) -> Self {
        match word {
            None => self.word("-"),
            Some(word) => self.word("+").word(word),
        }
    }

    /// Adds a list.
    pub(crate) fn words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut count = 0_u64;
        for word in words {
            self = self.word(word);
            count += 1;
        }
        self.bytes(&count.to_le_bytes());
        self
    }

    /// Adds a digest.
    pub(crate) fn digest(mut self, digest: &Digest) -> Self {
        self.bytes(digest.as_bytes());
        self
    }

    /// The key.
    pub(crate) fn finish(self) -> Digest {
        self.0.finish().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_words_count() {
        let key = |words: &[&str]| KeyMaker::new("run").words(words.iter().copied()).finish();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["a", ""]));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }

    #[test]
    fn absent_is_not_empty() {
        let key = |word| KeyMaker::new("copy").maybe(word).finish();
        assert_ne!(key(None), key(Some("")));
        assert_ne!(key(None), key(Some("-")));
    }
}
