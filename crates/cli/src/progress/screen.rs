//! A terminal for tests: rows of characters that understand what the painter writes.

/// What a person would see.
#[derive(Debug)]
pub(super) struct Screen {
    rows: Vec<Vec<char>>,
    height: usize,
    width: usize,
    row: usize,
    column: usize,
}

impl Screen {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { rows: vec![Vec::new(); height], height, width, row: 0, column: 0 }
    }

    pub(super) fn feed(&mut self, text: &str) {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\n' => {
                    // The terminal's driver adds the carriage return.
                    self.column = 0;
                    self.down();
                }
                '\r' => self.column = 0,
                '\x1b' => {
                    assert_eq!(characters.next(), Some('['));
                    let mut number = String::new();
                    let command = loop {
                        match characters.next().unwrap() {
                            digit if digit.is_ascii_digit() => number.push(digit),
                            command => break command,
                        }
                    };
                    self.command(command, number.parse().unwrap_or(0));
                }
                other => self.put(other),
            }
        }
    }

    /// All rows, without blanks at the end.
    pub(super) fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        let text = rows.collect::<Vec<_>>().join("\n");
        format!("{}\n", text.trim_end_matches('\n'))
    }

    fn command(&mut self, command: char, number: usize) {
        match command {
            'A' => self.row = self.row.saturating_sub(number.max(1)),
            'K' => self.rows[self.row].truncate(self.column),
            'J' => {
                self.rows[self.row].truncate(self.column);
                for row in &mut self.rows[self.row + 1..] {
                    row.clear();
                }
            }
            // Colours are not seen here.
            'm' => {}
            other => panic!("unknown command {other:?}"),
        }
    }

    fn put(&mut self, character: char) {
        if self.column == self.width {
            self.column = 0;
            self.down();
        }
        let row = &mut self.rows[self.row];
        if row.len() <= self.column {
            row.resize(self.column + 1, ' ');
        }
        row[self.column] = character;
        self.column += 1;
    }

    fn down(&mut self) {
        if self.row + 1 == self.height {
            self.rows.remove(0);
            self.rows.push(Vec::new());
        } else {
            self.row += 1;
        }
    }
}
