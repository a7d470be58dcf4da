use std::collections::BTreeSet;

use super::*;

#[test]
fn every_reason_has_a_word_and_a_meaning_of_its_own() {
    let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let meanings: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.meaning()).collect();
    assert_eq!((words.len(), meanings.len()), (Reason::ALL.len(), Reason::ALL.len()));
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(words.iter().all(|word| !word.is_empty() && is_word(word)));
}
