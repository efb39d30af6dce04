//! The list of what the watchdog says, which the pages say in the reader's language.

/// One line a sentence; a test of the pages holds them to the same list.
const LIST: &str = include_str!("../../../../tests/golden/watchdog_said.txt");
/// What follows these is said by somebody else.
const OPEN: &[&str] = &["missing. ", "started: ", "watches: ", "answer: "];

/// Whether a sentence is on the list, whatever its numbers and names.
pub(super) fn is_listed(said: &str) -> bool {
    said.is_empty() || LIST.lines().any(|line| form(line) == form(said))
}

fn form(said: &str) -> String {
    let cut = OPEN.iter().find_map(|mark| Some(said.split_once(mark)?.0));
    let is_value = |word: &str| word.chars().all(|c| c.is_ascii_uppercase() || !c.is_alphabetic());
    let words = cut.unwrap_or(said).split_whitespace();
    words.map(|word| if is_value(word) { "#" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_what_is_listed_is() {
    assert!(is_listed("It was ended by the signal SEGV."));
    assert!(is_listed("It is well 12345 ms after its start."));
    assert!(!is_listed("It is unwell 3 ms after its start."));
}
