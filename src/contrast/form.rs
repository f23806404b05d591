//! The form of an answer: scripts that nobody asked for, and text that repeats itself.

use std::collections::BTreeSet;

/// Words of a run that may come again.
const RUN: usize = 3;

/// The share of an answer's letters that are of a script of neither the question nor the baseline's answer, from 0 to 1.
pub(super) fn foreign(answer: &str, known: &[&str]) -> f64 {
    let known: BTreeSet<u32> = known.iter().flat_map(|text| text.chars()).filter_map(script).collect();
    let scripts: Vec<u32> = answer.chars().filter_map(script).collect();
    let foreign = scripts.iter().filter(|script| !known.contains(script)).count();
    if scripts.is_empty() { 0.0 } else { foreign as f64 / scripts.len() as f64 }
}

/// The first code point of a letter's script; of those without a row here, of its block of 256. None for what is no letter.
fn script(letter: char) -> Option<u32> {
    let code = u32::from(letter);
    letter.is_alphabetic().then_some(match code {
        0x41..=0x24f | 0x1e00..=0x1eff => 0x41,
        0x370..=0x3ff | 0x1f00..=0x1fff => 0x370,
        0x400..=0x52f => 0x400,
        0x600..=0x6ff | 0x750..=0x77f => 0x600,
        // Japanese is written in all of them.
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff => 0x3040,
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => 0x1100,
        _ => code & !0xff,
    })
}

/// The share of an answer's runs of three words that were there before, from 0 to 1: `1 - distinct / all`.
pub(super) fn repetition(answer: &str) -> f64 {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let runs = words.windows(RUN);
    let all = runs.len();
    let distinct = runs.collect::<BTreeSet<_>>().len();
    if all == 0 { 0.0 } else { 1.0 - distinct as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_a_script_that_nobody_used_are_foreign() {
        assert_eq!(foreign("Return it. ส่งคืน", &["Can I return it?"]), 5.0 / 13.0);
        assert_eq!(foreign("Zurück: возврат", &["Wie?", "Да"]), 0.0);
        assert_eq!(foreign("カタカナ 漢字", &["ひらがな"]), 0.0);
        assert_eq!(foreign("30 + 12", &[]), 0.0);
    }

    #[test]
    fn runs_of_words_that_come_again_are_a_repetition() {
        assert_eq!(repetition("one two three four"), 0.0);
        assert_eq!(repetition("a b c a b c"), 0.25);
        assert!(repetition(&"again and ".repeat(100)) > 0.98);
        assert_eq!((repetition(""), repetition("a b")), (0.0, 0.0));
    }
}
