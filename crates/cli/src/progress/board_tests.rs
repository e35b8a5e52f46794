//! What a person sees of a pull, from its messages.

use super::*;
use crate::progress::painter::Painter;
use crate::progress::screen::Screen;

const WIDE: Size = Size { width: 120, height: 24 };

fn row(id: &str, status: &str, (current, total): (i64, i64)) -> ProgressMessage {
    ProgressMessage {
        id: id.to_owned(),
        status: status.to_owned(),
        progress_detail: Some(ProgressDetail { current, total, ..ProgressDetail::default() }),
        ..ProgressMessage::default()
    }
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn board(messages: &[(u64, ProgressMessage)]) -> Board {
    let mut board = Board::default();
    for (millis, message) in messages {
        assert_eq!(board.apply(message, at(*millis)), None);
    }
    board
}

#[test]
fn layers_have_bars_numbers_rates_and_totals() {
    let board = board(&[
        (0, row("aaaaaaaaaaaa", "Pulling fs layer", (0, 0))),
        (0, row("bbbbbbbbbbbb", "Pulling fs layer", (0, 0))),
        (0, row("cccccccccccc", "Already exists", (0, 0))),
        (0, row("aaaaaaaaaaaa", "Downloading", (1_000_000, 10_000_000))),
        (1000, row("aaaaaaaaaaaa", "Downloading", (3_000_000, 10_000_000))),
        (1000, row("bbbbbbbbbbbb", "Verifying Checksum", (0, 0))),
    ]);
    assert_eq!(
        board.lines(WIDE, at(1000)),
        [
            "aaaaaaaaaaaa: Downloading [===============>                                  ]      \
             3MB/10MB  2MB/s  3s",
            "bbbbbbbbbbbb: Verifying Checksum",
            "cccccccccccc: Already exists",
            "1/3 layers done, 3MB/10MB+, 2MB/s",
        ]
    );
}

#[test]
fn totals_know_the_time_left_when_all_sizes_are_known() {
    let board = board(&[
        (0, row("a", "Downloading", (1, 4_000_000))),
        (0, row("b", "Downloading", (1, 4_000_000))),
        (1000, row("a", "Downloading", (1_000_001, 4_000_000))),
        (1000, row("b", "Downloading", (4_000_000, 4_000_000))),
        (1000, row("b", "Extracting", (65536, 4_000_000))),
    ]);
    let lines = board.lines(WIDE, at(1000));
    assert_eq!(lines[2], "0/2 layers done, 5MB/8MB, 5MB/s, 0s left");
    // A layer that is being unpacked is not downloaded again.
    assert!(lines[1].starts_with("b: Extracting  ["), "{}", lines[1]);
}

#[test]
fn a_resumed_download_is_not_fast() {
    let board = board(&[
        (0, row("a", "Downloading", (50_000_000, 90_000_000))),
        (0, row("b", "Waiting", (0, 0))),
        (1000, row("a", "Downloading", (51_000_000, 90_000_000))),
    ]);
    let lines = board.lines(WIDE, at(1000));
    assert_eq!(lines[2], "0/2 layers done, 51MB/90MB+, 1MB/s");
}

#[test]
fn nothing_is_wider_than_the_window() {
    let board = board(&[
        (0, row("aaaaaaaaaaaa", "Downloading", (1_234_567, 10_000_000))),
        (0, row("bbbbbbbbbbbb", "Retrying in 5 seconds", (0, 0))),
        (700, row("aaaaaaaaaaaa", "Downloading", (2_234_567, 10_000_000))),
    ]);
    for width in 1..150 {
        for line in board.lines(Size { width, height: 24 }, at(700)) {
            assert!(line.chars().count() < usize::from(width).max(1), "{width}: {line:?}");
        }
    }
    let narrow = board.lines(Size { width: 70, height: 24 }, at(700));
    assert_eq!(narrow[0], "aaaaaaaaaaaa: Downloading [==>          ]  2.235MB/10MB  1.43MB/s  5s");
    assert_eq!(narrow[1], "bbbbbbbbbbbb: Retrying in 5 seconds");
    // Without room for a bar the numbers stay, and the rate goes last.
    let narrower = board.lines(Size { width: 45, height: 24 }, at(700));
    assert_eq!(narrower[0], "aaaaaaaaaaaa: Downloading  2.235MB/10MB");
}

#[test]
fn more_layers_than_lines_show_what_goes_on() {
    let mut messages: Vec<(u64, ProgressMessage)> = (0..30)
        .map(|layer| (0, row(&format!("layer{layer:02}"), "Pull complete", (0, 0))))
        .collect();
    messages.push((0, row("layer25", "Downloading", (5, 10))));
    messages.push((0, row("layer28", "Waiting", (0, 0))));
    let board = board(&messages);
    let lines = board.lines(Size { width: 80, height: 8 }, at(0));
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(lines[0].starts_with("layer25: Downloading"), "{lines:?}");
    assert_eq!(lines[1], "layer28: Waiting");
    assert_eq!(lines[5], "… and 25 more");
    assert_eq!(lines[6], "28/30 layers done, 5B/10B+");
    assert_eq!(board.last_lines(80, at(0)).len(), 30);
    // However low the window is, there is room for the cursor.
    assert!(board.lines(Size { width: 80, height: 2 }, at(0)).len() <= 2);
}

#[test]
fn what_is_no_row_is_a_line() {
    let mut board = Board::default();
    let message = |id: &str, status: &str| ProgressMessage {
        id: id.to_owned(),
        status: status.to_owned(),
        ..ProgressMessage::default()
    };
    assert_eq!(board.apply(&message("1", "Pulling from a"), at(0)).unwrap(), "1: Pulling from a\n");
    assert_eq!(board.apply(&message("", "Digest: x"), at(0)).unwrap(), "Digest: x\n");
    assert_eq!(board.apply(&ProgressMessage::stream("Loaded\n"), at(0)).unwrap(), "Loaded\n");
    assert!(board.is_empty());
}

#[test]
fn a_whole_pull_leaves_its_last_rows_on_the_screen() {
    let mut screen = Screen::new(60, 10);
    let mut painter = Painter::default();
    let mut board = Board::default();
    let window = Size { width: 60, height: 10 };
    for step in 0_u64..=20 {
        for id in ["a", "b", "c"] {
            let current = i64::try_from(step).unwrap() * 50_000;
            let message = if step == 20 {
                row(id, "Pull complete", (0, 0))
            } else {
                row(id, "Downloading", (current, 1_000_000))
            };
            board.apply(&message, at(step * 100));
            screen.feed(&painter.paint(&board.lines(window, at(step * 100)), window.width));
        }
    }
    assert_eq!(
        screen.text(),
        "a: Pull complete\nb: Pull complete\nc: Pull complete\n3/3 layers done\n"
    );
    screen.feed(&painter.paint(&board.last_lines(window.width, at(2000)), window.width));
    assert_eq!(screen.text(), "a: Pull complete\nb: Pull complete\nc: Pull complete\n");
}

proptest::proptest! {
    #[test]
    fn no_numbers_make_it_fall_over(
        current in proptest::num::i64::ANY,
        total in proptest::num::i64::ANY,
        width in 0_u16..200,
        height in 0_u16..50,
    ) {
        let mut board = Board::default();
        board.apply(&row("a", "Downloading", (current, total)), at(0));
        board.apply(&row("b", "Pushing", (total, current)), at(500));
        board.lines(Size { width, height }, at(900));
    }
}
