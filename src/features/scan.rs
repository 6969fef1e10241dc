//! Counts what a text is made of, in one pass over its characters and one over its lines.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::eight::Eight;
use super::keywords::{self, KEYWORDS, Keyword};
use super::lines::Lines;

static FENCE: LazyLock<Finder> = LazyLock::new(|| Finder::new("```"));
static BLANK: LazyLock<Finder> = LazyLock::new(|| Finder::new("__"));

/// Counts over all texts that were fed; see [`super::signals`] for what becomes of them.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Scan {
    pub chars: u32,
    pub non_ascii: u32,
    pub non_space: u32,
    /// Runs of characters that are not white space.
    pub words: u32,
    pub newlines: u32,
    /// White space after one of `.?!`.
    pub sentence_ends: u32,
    pub digits: u32,
    /// Runs of digits.
    pub numbers: u32,
    /// Of these, those that reach four digits, and commas between digits.
    pub large_numbers: u32,
    /// Points between digits.
    pub decimals: u32,
    /// Slashes between digits.
    pub fractions: u32,
    pub upper: u32,
    pub math: u32,
    pub carets: u32,
    pub percents: u32,
    pub pluses: u32,
    pub equals: u32,
    /// `<` and `>`.
    pub comparisons: u32,
    pub commas: u32,
    pub code: u32,
    pub brackets: u32,
    /// Of these, those that follow a letter.
    pub subscripts: u32,
    /// Opening parentheses that follow a letter.
    pub calls: u32,
    /// Most parentheses, brackets and braces that were open at once.
    pub nesting: u32,
    /// Pairs of underscores: something to fill in.
    pub blanks: u32,
    pub parentheses: u32,
    pub quotes: u32,
    pub question_marks: u32,
    /// Dollar signs, and backslashes before a letter.
    pub latex: u32,
    /// Code fences (three backticks).
    pub fences: u32,
    /// ASCII letters.
    pub letters: u32,
    /// Runs of them.
    pub letter_runs: u32,
    /// Of these, those of eight letters and more.
    pub long_runs: u32,
    /// And those of eleven and more.
    pub longest_runs: u32,
    /// The sum of the runs' squared lengths.
    pub letter_squares: u64,
    /// Runs of two letters and more that are all capitals.
    pub capitals: u32,
    /// Runs with a capital in the middle of a sentence.
    pub names: u32,
    /// Of these, how many are in each of [`KEYWORDS`].
    pub keywords: [u32; KEYWORDS.len()],
    pub lines: Lines,
    previous: Option<char>,
    before_previous: Option<char>,
    /// Parentheses, brackets and braces that are open.
    open: u32,
    /// Digits of the number that is being read.
    number: u32,
    /// How many characters had been read when the last number ended.
    number_end: u32,
}

impl Scan {
    /// Counts one text; a text after the first stands on a new line.
    pub fn feed(&mut self, text: &str) {
        let code = self.code;
        if self.chars > 0 {
            self.character('\n');
        }
        let (mut rest, mut keywords) = (text, Vec::with_capacity(64));
        while !rest.is_empty() {
            let letters = Letters::of(rest.as_bytes());
            if letters.length > 0 {
                let sets = self.run(rest.as_bytes(), letters);
                if sets != 0 {
                    keywords.push(Keyword { at: text.len() - rest.len(), sets });
                }
            }
            let mut chars = rest[letters.length..].chars();
            match chars.next() {
                Some(' ') => self.space(),
                Some(c) => self.character(c),
                None => {}
            }
            rest = chars.as_str();
        }
        // Both consist of what counts as code: most texts need not be searched.
        if self.code > code {
            self.fences += count(FENCE.find_iter(text.as_bytes()));
            self.blanks += count(BLANK.find_iter(text.as_bytes()));
        }
        self.count_keywords(&keywords);
        self.lines.feed(text, &keywords);
    }

    fn count_keywords(&mut self, keywords: &[Keyword]) {
        for found in keywords {
            self.keywords.iter_mut().enumerate().for_each(|(i, n)| *n += found.sets >> i & 1);
        }
    }

    /// A run of ASCII letters, whole, which `text` begins with. Returns the lists of keywords that it is in.
    fn run(&mut self, text: &[u8], Letters { length, capitals: upper }: Letters) -> u32 {
        let before = self.before_previous;
        let previous = self.follow(char::from(text[length - 1]));
        let sets = keywords::sets(text, length);
        let length = length as u32;
        self.chars += length;
        self.non_space += length;
        self.words += u32::from(previous.is_whitespace());
        self.latex += u32::from(previous == '\\');
        self.run_length(length);
        self.upper += upper;
        self.capitals += u32::from(length >= 2 && upper == length);
        let in_sentence = previous == ' ' && before.is_some_and(|c| matches!(c, 'a'..='z' | ',' | ';'));
        self.names += u32::from(in_sentence && upper == 1 && text[0].is_ascii_uppercase());
        sets
    }

    fn run_length(&mut self, length: u32) {
        self.letters += length;
        self.letter_squares += u64::from(length).pow(2);
        self.letter_runs += 1;
        self.long_runs += u32::from(length >= 8);
        self.longest_runs += u32::from(length >= 11);
    }

    /// Takes `c` for the last character, and returns the one before.
    fn follow(&mut self, c: char) -> char {
        self.before_previous = self.previous.replace(c);
        self.before_previous.unwrap_or('\n')
    }

    /// What most often comes between words.
    fn space(&mut self) {
        let previous = self.follow(' ');
        self.chars += 1;
        self.sentence_ends += u32::from(matches!(previous, '.' | '?' | '!'));
    }

    /// Any character except an ASCII letter.
    fn character(&mut self, c: char) {
        let previous = self.follow(c);
        self.chars += 1;
        self.other(c, previous);
        if !c.is_whitespace() {
            self.non_space += 1;
            self.words += u32::from(previous.is_whitespace());
        }
    }

    fn other(&mut self, c: char, previous: char) {
        match c {
            '0'..='9' => self.digit(previous),
            '+' | '=' | '*' | '/' | '^' | '<' | '>' | '%' | '|' | '~' => self.operator(c),
            '(' | ')' | '[' | ']' | '{' | '}' => self.bracket(c, previous),
            ';' | '_' | '`' | '#' => self.code += 1,
            ',' => self.commas += 1,
            '"' | '\'' => self.quotes += 1,
            '?' => self.question_marks += 1,
            '$' => self.latex += 1,
            '\n' => self.newlines += 1,
            _ if !c.is_ascii() => self.beyond_ascii(c),
            _ => {}
        }
        self.sentence_ends += u32::from(matches!(previous, '.' | '?' | '!') && c.is_whitespace());
    }

    fn digit(&mut self, previous: char) {
        if !previous.is_ascii_digit() {
            self.numbers += 1;
            self.number = 0;
            if self.number_end > 0 && self.number_end + 2 == self.chars {
                self.joint(previous);
            }
        }
        self.digits += 1;
        self.number += 1;
        self.number_end = self.chars;
        self.large_numbers += u32::from(self.number == 4);
    }

    /// The one character between two numbers.
    fn joint(&mut self, c: char) {
        match c {
            '.' => self.decimals += 1,
            '/' => self.fractions += 1,
            ',' => self.large_numbers += 1,
            _ => {}
        }
    }

    fn operator(&mut self, c: char) {
        self.math += 1;
        match c {
            '^' => self.carets += 1,
            '%' => self.percents += 1,
            '+' => self.pluses += 1,
            '=' => self.equals += 1,
            '<' | '>' => self.comparisons += 1,
            _ => {}
        }
    }

    fn bracket(&mut self, c: char, previous: char) {
        let after_letter = u32::from(previous.is_ascii_alphabetic());
        match c {
            '(' | ')' => self.parentheses += 1,
            _ => self.code += 1,
        }
        match c {
            '(' => self.calls += after_letter,
            '[' => {
                self.brackets += 1;
                self.subscripts += after_letter;
            }
            _ => {}
        }
        self.open = if matches!(c, '(' | '[' | '{') { self.open + 1 } else { self.open.saturating_sub(1) };
        self.nesting = self.nesting.max(self.open);
    }

    fn beyond_ascii(&mut self, c: char) {
        const MATH: &str = "×÷±≤≥≠≈√∑∏∫∂∞πθλμσαβγδεφωΔΩ∈∉⊂⊃∪∩∀∃¬∧∨→↔≡°";
        self.non_ascii += 1;
        self.math += u32::from(MATH.contains(c));
        self.quotes += u32::from(matches!(c, '“' | '”' | '‘' | '’'));
    }
}

fn count(items: impl Iterator) -> u32 {
    items.count() as u32
}

/// The ASCII letters that a text begins with.
#[derive(Clone, Copy)]
struct Letters {
    length: usize,
    /// Of these, those in upper case.
    capitals: u32,
}

impl Letters {
    fn of(text: &[u8]) -> Self {
        let mut letters = Self { length: 0, capitals: 0 };
        loop {
            let eight = Eight::of(&text[letters.length..]);
            let length = eight.letters();
            letters.length += length;
            letters.capitals += eight.capitals(length);
            if length < 8 {
                return letters;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Scan {
        let mut scan = Scan::default();
        scan.feed(text);
        scan
    }

    #[test]
    fn numbers_are_told_apart_by_what_joins_their_digits() {
        let seen = scan("1.5 of 3/4, 12,345 and 2024. 7 .5 8, 9 1.2.3 12345");
        assert_eq!((seen.numbers, seen.digits), (15, 25));
        assert_eq!((seen.decimals, seen.fractions, seen.large_numbers), (3, 1, 3));
    }

    #[test]
    fn brackets_capitals_and_names_are_counted() {
        let seen = scan("Is f(a[1], (b)) NOT what Ann, Bob or IBM {x} say? It is.");
        assert_eq!((seen.calls, seen.brackets, seen.subscripts, seen.nesting), (1, 1, 1, 2));
        assert_eq!((seen.capitals, seen.names, seen.commas), (2, 2, 2));
    }

    #[test]
    fn several_texts_count_as_their_lines_joined() {
        let (mut parts, whole) = (Scan::default(), scan("Why 12?\nπ ≥ 3 \\frac $x$\n```code```"));
        ["Why 12?", "π ≥ 3 \\frac $x$", "```code```"].into_iter().for_each(|text| parts.feed(text));
        assert_eq!(parts, whole);
        assert_eq!((whole.letters, whole.lines.count, whole.lines.question.chars), (12, 3, 6));
        assert_eq!((whole.latex, whole.fences, whole.math, whole.numbers, whole.sentence_ends), (3, 2, 2, 2, 1));
    }
}
