//! What a text's lines say: choices, the stem before them, and what is asked.

use memchr::memrchr3_iter;

use super::keywords::{ASKED, ASKING, Keyword, NEGATION};

/// Counts over the lines that are not blank.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Lines {
    pub count: u32,
    /// Characters of the first line, trimmed.
    pub first_chars: u32,
    /// The same of the last one.
    pub last_chars: u32,
    /// Lines that begin like a choice: `A) …`, `(b) …`, `3. …`.
    pub options: u32,
    /// Characters of the choices, without their marks.
    pub option_chars: u32,
    /// The sum of their squares.
    pub option_squares: u64,
    /// Characters of the longest.
    pub longest_option: u32,
    pub options_with_digit: u32,
    /// Choices that refer to the others: "all of", "none of", "both".
    pub options_of_options: u32,
    /// Characters of all other lines, trimmed.
    pub stem_chars: u32,
    pub question: Question,
    /// A question mark was seen, outside the choices.
    pub asked: bool,
}

/// The last sentence that ends with a question mark and is not a choice; failing that, the last one before the choices.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Question {
    pub chars: u32,
    /// It asks for what is not so.
    pub negated: bool,
    /// Which of [`ASKING`] it holds.
    pub asking: [bool; ASKING.len()],
}

impl Lines {
    /// Counts the lines of one text, whose `keywords` are these.
    pub fn feed(&mut self, text: &str, keywords: &[Keyword]) {
        let mut question = None;
        for line in text.split('\n') {
            if self.line(line) {
                question = Some(line);
            }
        }
        if let Some(line) = question {
            self.question = Question::of(line, text, keywords);
        }
    }

    /// Whether this line is a better candidate for what is asked than those before it.
    fn line(&mut self, line: &str) -> bool {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return false;
        }
        self.count += 1;
        self.last_chars = chars(trimmed);
        if self.first_chars == 0 {
            self.first_chars = self.last_chars;
        }
        if let Some(option) = option(line) {
            self.option(option);
            return false;
        }
        self.stem_chars += self.last_chars;
        let asks = line.contains('?');
        self.asked |= asks;
        asks || !self.asked && self.options == 0
    }

    fn option(&mut self, option: &str) {
        let length = chars(option);
        self.options += 1;
        self.option_chars += length;
        self.option_squares += u64::from(length).pow(2);
        self.longest_option = self.longest_option.max(length);
        self.options_of_options += u32::from(speaks_of_others(option));
        self.options_with_digit += u32::from(option.bytes().any(|byte| byte.is_ascii_digit()));
    }

    /// Standard deviation of the choices' lengths, characters; 0 without choices.
    pub fn option_deviation(&self) -> f64 {
        let n = f64::from(self.options.max(1));
        let mean = f64::from(self.option_chars) / n;
        (self.option_squares as f64 / n - mean * mean).max(0.0).sqrt()
    }
}

impl Question {
    /// Of a line of `text`.
    fn of(line: &str, text: &str, keywords: &[Keyword]) -> Self {
        let line = line.trim();
        let sentence = last_sentence(&line[..line.rfind('?').unwrap_or(line.len())]);
        let start = sentence.as_ptr().addr() - text.as_ptr().addr();
        let among = start..start + sentence.len();
        let said = keywords.iter().filter(|keyword| among.contains(&keyword.at));
        let sets = said.fold(0, |sets, keyword| sets | keyword.sets);
        let is_in = |list: usize| sets >> list & 1 == 1;
        let asking = std::array::from_fn(|i| is_in(ASKED + i));
        Self { chars: chars(sentence), negated: is_in(NEGATION), asking }
    }
}

/// What follows the last blank after one of `.?!`.
fn last_sentence(text: &str) -> &str {
    let bytes = text.as_bytes();
    let is_before_blank = |mark: &usize| matches!(bytes.get(mark + 1), Some(b' ' | b'\t'));
    let end = memrchr3_iter(b'.', b'?', b'!', bytes).find(is_before_blank);
    end.map_or(text, |mark| &text[mark + 2..])
}

fn speaks_of_others(option: &str) -> bool {
    const WAYS: [&str; 3] = ["all of", "none of", "both"];
    let begins = |way: &str| option.get(..way.len()).is_some_and(|start| start.eq_ignore_ascii_case(way));
    WAYS.into_iter().any(begins)
}

/// What follows the mark of a choice: `^[ \t]*\(?[A-Ja-j1-9][).:][ \t]+(.*)$`.
fn option(line: &str) -> Option<&str> {
    let blank = [' ', '\t'];
    let line = line.trim_start_matches(blank);
    let line = line.strip_prefix('(').unwrap_or(line);
    let rest = line.strip_prefix(|c| matches!(c, 'A'..='J' | 'a'..='j' | '1'..='9'))?;
    let rest = rest.strip_prefix([')', '.', ':'])?;
    rest.starts_with(blank).then(|| rest.trim_start_matches(blank))
}

fn chars(text: &str) -> u32 {
    text.chars().count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::scan::Scan;

    fn lines(text: &str) -> Lines {
        let mut scan = Scan::default();
        scan.feed(text);
        scan.lines
    }

    #[test]
    fn options_are_lines_that_begin_like_choices() {
        let seen = lines("Which?\n A) one\n(b) 2\n3. three\n\nK) no\nA)no\nA. \n10. no");
        assert_eq!((seen.options, seen.option_chars, seen.options_with_digit), (4, 9, 1));
        assert_eq!((seen.count, seen.first_chars, seen.last_chars, seen.stem_chars), (8, 6, 6, 21));
        // Of 3, 1, 5 and 0 characters.
        assert!((seen.option_deviation() - 3.6875f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn choices_that_speak_of_the_others_are_counted() {
        let seen = lines("A. All of the above\nB. none of these\nC. Both\nD. é\nE. the ball of wool");
        assert_eq!((seen.options_of_options, seen.longest_option), (3, 16));
    }

    #[test]
    fn the_question_is_the_last_sentence_with_a_question_mark_that_is_no_choice() {
        let question = lines("Is it so? A cat sat. Which of these is NOT true? Think.\nA) What?\nAnswer:").question;
        assert_eq!(question, Question { chars: 26, negated: true, asking: [false, false, true, false, false, false] });
        assert_eq!(lines("How many, if any?\nWhat not").question.asking, [false, true, false, false, false, true]);
    }

    #[test]
    fn without_a_question_mark_it_is_the_last_sentence_before_the_choices() {
        let question = lines("He was late. What he did is\nA. that\nB. not this\nAnswer how:").question;
        assert_eq!(question, Question { chars: 14, negated: false, asking: [true, false, false, false, false, false] });
        assert_eq!(lines("").question, Question::default());
    }
}
