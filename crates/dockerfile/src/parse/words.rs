//! How the rest of a line is parted into words, which differs from instruction to instruction.

/// The first word and what comes after it.
pub(crate) fn first(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Words between white space, quotes meaning nothing.
pub(super) fn plain(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Words as a shell sees them, quotes and escapes left in; a last one whose quotes do not end is left out.
pub(super) fn quoted(text: &str, escape: char) -> Vec<&str> {
    let (words, is_open) = part(text, escape);
    let keep = words.len() - usize::from(is_open);
    words.into_iter().take(keep).collect()
}

/// The same with the last one as it is.
pub(crate) fn lenient(text: &str, escape: char) -> Vec<&str> {
    part(text, escape).0
}

fn part(text: &str, escape: char) -> (Vec<&str>, bool) {
    let mut words = Vec::new();
    let (mut start, mut quote) = (None, None);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if quote.is_none() && letter.is_whitespace() {
            words.extend(start.take().map(|start| &text[start..at]));
            continue;
        }
        start.get_or_insert(at);
        if letter == escape {
            letters.next();
        } else if quote == Some(letter) {
            quote = None;
        } else if quote.is_none() && matches!(letter, '\'' | '"') {
            quote = Some(letter);
        }
    }
    words.extend(start.map(|start| &text[start..]));
    (words, quote.is_some())
}

/// A word without its quotes and escapes.
pub(super) fn unquote(text: &str, escape: char) -> String {
    let mut output = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if quote == Some(letter) {
            quote = None;
        } else if quote.is_none() && matches!(letter, '\'' | '"') {
            quote = Some(letter);
        } else if letter == escape && quote != Some('\'') {
            output.extend(letters.next());
        } else {
            output.push(letter);
        }
    }
    output
}

/// What a JSON array of strings says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// It is one.
    Strings(Vec<String>),
    /// It is one, with other things in it.
    Mixed,
    /// It is none: the text is for a shell.
    No,
}

/// Reads a text as a JSON array.
pub(crate) fn json(text: &str) -> Json {
    let text = text.trim();
    if !text.starts_with('[') {
        return Json::No;
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Err(_) => Json::No,
        Ok(values) => {
            let count = values.len();
            let strings: Vec<String> = values
                .into_iter()
                .filter_map(|value| {
                    if let serde_json::Value::String(text) = value { Some(text) } else { None }
                })
                .collect();
            if strings.len() == count { Json::Strings(strings) } else { Json::Mixed }
        }
    }
}
