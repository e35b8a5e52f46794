//! Lines redrawn in place: escape sequences from one picture to the next.
//!
//! The cursor rests at the beginning of the line below the picture, so that whatever ends the
//! program leaves the terminal in order. Nothing is drawn that is not written as a whole.

/// What is on the terminal now.
#[derive(Debug, Default)]
pub(super) struct Painter {
    painted: Vec<String>,
    /// How wide the window was.
    width: u16,
}

impl Painter {
    /// What to write (nothing, when that is there already) so that `lines` stand in place of the last picture in a window `width` wide.
    pub(super) fn paint(&mut self, lines: &[String], width: u16) -> String {
        if self.width == width && self.painted == lines {
            return String::new();
        }
        let mut text = self.home(width);
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        // The last picture may have been higher.
        text.push_str("\x1b[J");
        self.painted = lines.to_vec();
        self.width = width;
        text
    }

    /// What is on the terminal stays there.
    pub(super) fn keep(&mut self) {
        self.painted.clear();
    }

    /// The way back to the first line; where the window has become narrower, a terminal has broken
    /// what no longer fitted into several lines.
    fn home(&self, width: u16) -> String {
        let width = usize::from(width).max(1);
        let lengths = self.painted.iter().map(|line| super::cells::cells(line));
        let rows: usize = lengths.map(|length| length.div_ceil(width).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::screen::Screen;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_picture_takes_the_place_of_the_last_one() {
        let mut screen = Screen::new(20, 6);
        let mut painter = Painter::default();
        screen.feed("before\n");
        screen.feed(&painter.paint(&lines(&["aaaaaaaa", "b", "c"]), 20));
        screen.feed(&painter.paint(&lines(&["a", "bbb"]), 20));
        assert_eq!(screen.text(), "before\na\nbbb\n");
        painter.keep();
        screen.feed("line\n");
        screen.feed(&painter.paint(&lines(&["d"]), 20));
        assert_eq!(screen.text(), "before\na\nbbb\nline\nd\n");
    }

    #[test]
    fn a_picture_at_the_bottom_scrolls_and_stays_in_place() {
        let mut screen = Screen::new(20, 4);
        let mut painter = Painter::default();
        screen.feed("1\n2\n3\n4\n");
        for round in 0..3 {
            screen.feed(&painter.paint(&lines(&[&format!("a{round}"), "b"]), 20));
        }
        assert_eq!(screen.text(), "4\na2\nb\n");
    }

    #[test]
    fn a_window_that_became_narrower_is_cleared_of_broken_lines() {
        let mut painter = Painter::default();
        painter.paint(&lines(&["12345678901234567890", "x"]), 40);
        let mut screen = Screen::new(8, 8);
        // As the terminal shows it after the change.
        screen.feed("12345678\n90123456\n7890\nx\n");
        screen.feed(&painter.paint(&lines(&["short", "y"]), 8));
        assert_eq!(screen.text(), "short\ny\n");
    }
}
