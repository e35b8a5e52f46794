//! Variables as the reference describes them, and what must not be possible with them.

use super::*;

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "FOO" => "foo",
        "EMPTY" => "",
        "STR" => "foobarbaz",
        "PATHS" => "/a/b:/c/d",
        "PORTS" => "80 443/tcp",
        "STARS" => "a*b?c",
        "LONG" => return Some("x".repeat(100_000)),
        "1" => "one",
        _ => return None,
    };
    Some(value.to_owned())
}

fn word(text: &str) -> String {
    Expander::new('\\', &variables).word(text).unwrap().value
}

fn reason(text: &str) -> String {
    Expander::new('\\', &variables).word(text).unwrap_err().reason
}

#[test]
fn names_end_where_they_cannot_go_on() {
    assert_eq!(word("a$FOO-b"), "afoo-b");
    assert_eq!(word("${FOO}bar"), "foobar");
    assert_eq!(word("$FOObar"), "");
    assert_eq!(word("$1FOO"), "oneFOO");
    assert_eq!(word("a$ b$/ $"), "a$ b$/ $");
}

#[test]
fn quotes_and_escapes_protect() {
    assert_eq!(word("'$FOO'"), "$FOO");
    assert_eq!(word("\"$FOO\""), "foo");
    assert_eq!(word("\\$FOO"), "$FOO");
    assert_eq!(word("\\${FOO}"), "${FOO}");
    assert_eq!(word("\"\\$FOO \\\" \\x\""), "$FOO \" \\x");
    assert_eq!(word("'a\\b'"), "a\\b");
    assert_eq!(word("a\\ b\\\\"), "a b\\");
    assert_eq!(word("x\\"), "x");
    assert_eq!(word("\"${FOO:-'a'}\"'b'"), "foob");
}

#[test]
fn another_escape_character_is_obeyed() {
    let expander = Expander::new('`', &variables);
    assert_eq!(expander.word("c:\\$FOO").unwrap().value, "c:\\foo");
    assert_eq!(expander.word("`$FOO").unwrap().value, "$FOO");
}

#[test]
fn a_word_stands_for_what_has_no_value() {
    assert_eq!(word("${FOO:-w} ${EMPTY:-w} ${NO:-w}"), "foo w w");
    assert_eq!(word("${FOO-w} ${EMPTY-w} ${NO-w}"), "foo  w");
    assert_eq!(word("${FOO:+w} ${EMPTY:+w} ${NO:+w}"), "w  ");
    assert_eq!(word("${FOO+w} ${EMPTY+w} ${NO+w}"), "w w ");
    assert_eq!(word("${FOO:?w}${FOO?w}${EMPTY?w}"), "foofoo");
    assert_eq!(word("${NO:-${NO:-$FOO}}"), "foo");
    assert_eq!(word("${NO:-a b}"), "a b");
}

#[test]
fn what_is_required_is_named() {
    assert_eq!(reason("${NO:?sorry}"), "NO: sorry");
    assert_eq!(reason("${NO?}"), "NO: is not allowed to be unset");
    assert_eq!(reason("${EMPTY:?}"), "EMPTY: is not allowed to be empty");
}

#[test]
fn patterns_are_cut_off() {
    assert_eq!(word("${STR#f*b}"), "arbaz");
    assert_eq!(word("${STR##f*b}"), "az");
    assert_eq!(word("${STR%b*}"), "foobar");
    assert_eq!(word("${STR%%b*}"), "foo");
    assert_eq!(word("${STR#x}${STR%x}"), "foobarbazfoobarbaz");
    assert_eq!(word("${PATHS##*/} ${PATHS%%:*}"), "d /a/b");
    assert_eq!(word("${STARS%\\?c} ${STARS#a\\*}"), "a*b b?c");
    assert_eq!(word("${STR#$FOO}"), "barbaz");
    assert_eq!(word("${NO#a}${NO%a}"), "");
}

#[test]
fn patterns_are_replaced() {
    assert_eq!(word("${STR/ba/fo}"), "fooforbaz");
    assert_eq!(word("${STR//ba/fo}"), "fooforfoz");
    assert_eq!(word("${STR//b?/-}"), "foo-r-z");
    assert_eq!(word("${STR//b*r/-}"), "foo-baz");
    assert_eq!(word("${STR/b*/}"), "foo");
    assert_eq!(word("${STR//x*/-}"), "foobarbaz");
    assert_eq!(word("${PATHS//\\//_}"), "_a_b:_c_d");
    assert_eq!(word("${STR///x}"), "foobarbaz");
    assert_eq!(word("${EMPTY/*/x}${EMPTY//a/x}"), "x");
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(reason("${FOO"), "syntax error: missing '}'");
    assert_eq!(reason("${FOO:-a"), "syntax error: missing '}'");
    assert_eq!(reason("${"), "syntax error: missing '}'");
    for text in ["${}", "${:x}", "${{a}}"] {
        assert_eq!(reason(text), "syntax error: bad substitution");
    }
    assert_eq!(reason("'a"), "unexpected end of statement while looking for matching single-quote");
    assert_eq!(
        reason("\"a"),
        "unexpected end of statement while looking for matching double-quote"
    );
    assert!(reason("${FOO^^}").starts_with("unsupported modifier (^) in substitution"));
    assert!(reason("${FOO:x}").starts_with("unsupported modifier (:x) in substitution"));
}

#[test]
fn words_part_where_nothing_is_quoted() {
    let words = |text: &str| Expander::new('\\', &variables).words(text).unwrap().value;
    assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
    assert_eq!(words("$PORTS 8080"), ["80", "443/tcp", "8080"]);
    assert_eq!(words("\"$PORTS\" a\\ b ''"), ["80 443/tcp", "a b", ""]);
    assert_eq!(words("$NO"), [""; 0]);
    assert_eq!(words("x$PORTS"), ["x80", "443/tcp"]);
}

#[test]
fn text_to_be_shown_stays_as_it_is() {
    let expander = Expander::new('\\', &variables).quotes(Quotes::Keep).unset(Unset::Keep);
    let show = |text: &str| expander.word(text).unwrap().value;
    assert_eq!(show("echo \"$FOO\" '$FOO' \\$FOO"), "echo \"foo\" '$FOO' \\$FOO");
    assert_eq!(show("$NO ${NO} ${NO:-a$FOO} ${NO#x} $"), "$NO ${NO} ${NO:-a$FOO} ${NO#x} $");
}

#[test]
fn quotes_mean_nothing_in_heredocs() {
    let expander = Expander::new('\\', &variables).quotes(Quotes::Literal);
    let content = |text: &str| expander.word(text).unwrap().value;
    assert_eq!(content("it's \"$FOO\"\n\\$FOO \\\\\n"), "it's \"foo\"\n$FOO \\\n");
    assert_eq!(content("'$FOO'\n"), "'foo'\n");
}

#[test]
fn variables_that_were_used_are_told() {
    let expanded = Expander::new('\\', &variables).word("$FOO $NO ${NEVER:-x} '$STR' ${EMPTY+a}");
    let expanded = expanded.unwrap();
    assert_eq!(expanded.used.iter().collect::<Vec<_>>(), ["EMPTY", "FOO"]);
    assert_eq!(expanded.unset.iter().collect::<Vec<_>>(), ["NO"]);
}

#[test]
fn neither_depth_nor_length_gets_out_of_hand() {
    let deep = "${NO:-".repeat(100_000);
    assert!(reason(&deep).starts_with("substitutions are nested"));
    assert_eq!(reason(&"$LONG".repeat(1000)), "what it expands to is too long");
    assert_eq!(reason("${LONG//x/$LONG}"), "what it expands to is too long");
    let stars = format!("${{LONG#{}y}}", "*x".repeat(20));
    assert_eq!(word(&stars).len(), 100_000);
    let long = format!("${{LONG#{}}}", "?x".repeat(3000));
    assert_eq!(reason(&long), "the pattern and the value are too long");
}
