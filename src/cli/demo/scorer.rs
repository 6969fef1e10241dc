//! Judges an answer by its text alone, as a scorer in front of real models has to: find the final answer, compare.

use super::puzzles::Answer;

/// Whether the text's final answer is the right one.
pub fn is_right(expected: &Answer, text: &str) -> bool {
    final_answer(text).is_some_and(|given| matches(expected, &given))
}

/// What follows the last `Answer:`, without mark-up; without one, the last line that says anything.
pub fn final_answer(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let tail = match lower.rfind("answer:") {
        Some(at) => text[at + "answer:".len()..].trim_start_matches(MARKUP).lines().next(),
        None => text.lines().rfind(|line| !line.trim().is_empty()),
    };
    let bare = tail?.trim_matches(MARKUP).trim_end_matches('.').trim_matches(MARKUP);
    (!bare.is_empty()).then(|| bare.to_owned())
}

/// Quotes, Markdown and blanks that may stand around an answer.
const MARKUP: [char; 8] = ['*', '`', '"', '\'', '_', '$', ' ', '\n'];

fn matches(expected: &Answer, given: &str) -> bool {
    match expected {
        Answer::Number(n) => given.replace([',', '_', '\u{202f}'], "").parse() == Ok(*n),
        Answer::Word(word) => given == word,
        Answer::YesNo(yes) => given.eq_ignore_ascii_case(if *yes { "yes" } else { "no" }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_stated_answer_counts() {
        let text = "Answer: 12? No, I forgot the carry.\nSo 40 + 5.\n**Answer:** `1,045`.";
        assert_eq!(final_answer(text).as_deref(), Some("1,045"));
        assert!(is_right(&Answer::Number(1045), text));
        assert!(!is_right(&Answer::Number(12), text));
    }

    #[test]
    fn without_the_word_the_last_line_counts() {
        assert!(is_right(&Answer::Word("enots".into()), "Letter by letter:\n\"enots\"\n\n"));
        assert!(is_right(&Answer::YesNo(true), "Yes."));
        assert!(!is_right(&Answer::YesNo(true), "No."));
    }

    #[test]
    fn nothing_is_never_right() {
        for text in ["", "  \n", "Answer:", "Answer: **"] {
            assert_eq!(final_answer(text), None, "{text:?}");
            assert!(!is_right(&Answer::Number(0), text));
        }
    }

    #[test]
    fn only_the_whole_answer_is_right() {
        assert!(!is_right(&Answer::Number(4), "Answer: 42"));
        assert!(!is_right(&Answer::Word("abc".into()), "Answer: abcd"));
        assert!(is_right(&Answer::Number(-7), "answer: -7"));
    }

    proptest! {
        #[test]
        fn any_text_can_be_judged(text in ".*") {
            is_right(&Answer::Number(1), &text);
        }
    }
}
