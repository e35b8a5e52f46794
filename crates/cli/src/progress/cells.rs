//! How wide text is on a terminal, and text of others made fit for one.

use unicode_width::UnicodeWidthChar as _;

/// Columns of a tab stop.
const TAB: usize = 8;

/// Columns that `text` takes; colours take none.
pub(super) fn cells(text: &str) -> usize {
    let mut width = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            skip_sequence(&mut characters);
        } else {
            width += character.width().unwrap_or(0);
        }
    }
    width
}

/// The beginning of text without colours, no wider than `width`.
pub(super) fn cut(text: &str, width: usize) -> &str {
    let mut taken = 0;
    for (place, character) in text.char_indices() {
        taken += character.width().unwrap_or(0);
        if taken > width {
            return &text[..place];
        }
    }
    text
}

/// One line of a program's output without what would move the cursor or change the terminal: what
/// would be seen of it at its end.
pub(super) fn clean(line: &str) -> String {
    // A line that a program draws again and again: the last one counts.
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => skip_sequence(&mut characters),
            '\t' => {
                let column = cells(&text);
                let stop = (column / TAB + 1) * TAB;
                text.extend(std::iter::repeat_n(' ', stop - column));
            }
            '\u{8}' => drop(text.pop()),
            other if other.is_control() => {}
            other => text.push(other),
        }
    }
    text
}

/// Takes the rest of an escape sequence away.
fn skip_sequence(characters: &mut std::str::Chars<'_>) {
    match characters.next() {
        // CSI: up to a letter.
        Some('[') => {
            characters.find(|character| ('\x40'..='\x7e').contains(character));
        }
        // OSC and its like: up to BEL or ESC \.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            let end = characters.find(|character| matches!(character, '\x07' | '\x1b'));
            if end == Some('\x1b') {
                characters.next();
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | ' ' | '%') => {
            characters.next();
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_a_terminal_shows_it() {
        assert_eq!(cells("abc"), 3);
        assert_eq!(cells("日本"), 4);
        assert_eq!(cells("e\u{301}"), 1);
        assert_eq!(cells("\x1b[34mab\x1b[0m"), 2);
        assert_eq!(cut("日本語", 5), "日本");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn what_would_move_the_cursor_is_taken_away() {
        for (line, seen) in [
            ("plain", "plain"),
            ("10%\r50%\r100%", "100%"),
            ("windows\r", "windows"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("a\tb", "a       b"),
            ("up\x1b[2Ahome\x1b[H", "uphome"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x\x1b\\link", "link"),
            ("ab\u{8}c\u{7}", "ac"),
            ("cut \x1b[3", "cut "),
        ] {
            assert_eq!(clean(line), seen, "{line:?}");
        }
    }
}
