//! Counts of what a text is made of, in one pass over its characters and one over its lines.

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
    pub upper: u32,
    pub math: u32,
    pub code: u32,
    pub parentheses: u32,
    pub quotes: u32,
    pub question_marks: u32,
    /// Dollar signs, and backslashes before a letter.
    pub latex: u32,
    /// Code fences (three backticks).
    pub fences: u32,
    /// Runs of ASCII letters.
    pub letter_runs: u32,
    /// Of these, those of eight letters and more.
    pub long_runs: u32,
    /// Of these, how many are in each of [`KEYWORDS`].
    pub keywords: [u32; KEYWORDS.len()],
    /// Lines that begin like a choice: `A) …`, `(b) …`, `3. …`.
    pub options: u32,
    pub option_chars: u32,
    pub options_with_digit: u32,
    /// Characters of the first line that is not blank, trimmed.
    pub first_line_chars: u32,
    /// The same of the last one.
    pub last_line_chars: u32,
    previous: Option<char>,
}

/// Words, in lower case, that say what kind of task a prompt is.
pub const KEYWORDS: [(&str, &[&str]); 8] = [
    ("howmany", &["many", "much"]),
    ("negate", &["not", "except", "never", "false", "incorrect", "least", "cannot", "no"]),
    (
        "reason",
        &["why", "explain", "prove", "show", "derive", "because", "therefore", "if", "then", "assume", "suppose"],
    ),
    ("wh", &["what", "which", "who", "when", "where", "whose"]),
    (
        "calc",
        &[
            "calculate",
            "compute",
            "find",
            "determine",
            "evaluate",
            "value",
            "total",
            "sum",
            "average",
            "percent",
            "equation",
            "function",
            "probability",
        ],
    ),
    (
        "write",
        &[
            "write",
            "create",
            "generate",
            "list",
            "give",
            "make",
            "summarize",
            "describe",
            "suggest",
            "design",
            "compose",
        ],
    ),
    (
        "code",
        &[
            "def",
            "return",
            "import",
            "class",
            "print",
            "int",
            "str",
            "assert",
            "code",
            "python",
            "javascript",
            "sql",
            "const",
            "var",
            "for",
            "while",
            "elif",
            "lambda",
        ],
    ),
    ("person", &["i", "me", "my", "you", "your", "we", "he", "she", "his", "her", "they", "their"]),
];

impl Scan {
    /// Counts one text; a text after the first stands on a new line.
    pub fn feed(&mut self, text: &str) {
        if self.chars > 0 {
            self.character('\n');
        }
        let mut rest = text;
        while !rest.is_empty() {
            let (run, after) = rest.split_at(letters(rest.as_bytes()));
            if !run.is_empty() {
                self.run(run.as_bytes());
            }
            let mut chars = after.chars();
            if let Some(c) = chars.next() {
                self.character(c);
            }
            rest = chars.as_str();
        }
        self.fences += count(memchr::memmem::find_iter(text.as_bytes(), "```"));
        text.split('\n').for_each(|line| self.line(line));
    }

    /// A run of ASCII letters, whole.
    fn run(&mut self, run: &[u8]) {
        let previous = self.previous.replace(char::from(run[run.len() - 1])).unwrap_or('\n');
        let length = run.len() as u32;
        self.chars += length;
        self.non_space += length;
        self.words += u32::from(previous.is_whitespace());
        self.upper += count(run.iter().filter(|letter| letter.is_ascii_uppercase()));
        self.latex += u32::from(previous == '\\');
        self.letter_runs += 1;
        self.long_runs += u32::from(length >= 8);
        if let Some(sets) = keyword_sets(run) {
            self.keywords.iter_mut().enumerate().for_each(|(i, n)| *n += u32::from(sets >> i & 1));
        }
    }

    /// Any character but an ASCII letter.
    fn character(&mut self, c: char) {
        let previous = self.previous.replace(c).unwrap_or('\n');
        self.chars += 1;
        self.other(c, previous);
        if !c.is_whitespace() {
            self.non_space += 1;
            self.words += u32::from(previous.is_whitespace());
        }
    }

    fn other(&mut self, c: char, previous: char) {
        match c {
            '0'..='9' => {
                self.digits += 1;
                self.numbers += u32::from(!previous.is_ascii_digit());
            }
            '+' | '=' | '*' | '/' | '^' | '<' | '>' | '%' | '|' | '~' => self.math += 1,
            '{' | '}' | '[' | ']' | ';' | '_' | '`' | '#' => self.code += 1,
            '(' | ')' => self.parentheses += 1,
            '"' | '\'' => self.quotes += 1,
            '?' => self.question_marks += 1,
            '$' => self.latex += 1,
            '\n' => self.newlines += 1,
            _ if !c.is_ascii() => self.beyond_ascii(c),
            _ => {}
        }
        self.sentence_ends += u32::from(matches!(previous, '.' | '?' | '!') && c.is_whitespace());
    }

    fn beyond_ascii(&mut self, c: char) {
        const MATH: &str = "×÷±≤≥≠≈√∑∏∫∂∞πθλμσαβγδεφωΔΩ∈∉⊂⊃∪∩∀∃¬∧∨→↔≡°";
        self.non_ascii += 1;
        self.math += u32::from(MATH.contains(c));
        self.quotes += u32::from(matches!(c, '“' | '”' | '‘' | '’'));
    }

    fn line(&mut self, line: &str) {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return;
        }
        self.last_line_chars = count(trimmed.chars());
        if self.first_line_chars == 0 {
            self.first_line_chars = self.last_line_chars;
        }
        if let Some(option) = option(line) {
            self.options += 1;
            self.option_chars += count(option.chars());
            self.options_with_digit += u32::from(option.bytes().any(|byte| byte.is_ascii_digit()));
        }
    }
}

/// What stands after the mark of a choice: `^[ \t]*\(?[A-Ja-j1-9][).:][ \t]+(.*)$`.
fn option(line: &str) -> Option<&str> {
    let blank = [' ', '\t'];
    let line = line.trim_start_matches(blank);
    let line = line.strip_prefix('(').unwrap_or(line);
    let rest = line.strip_prefix(|c| matches!(c, 'A'..='J' | 'a'..='j' | '1'..='9'))?;
    let rest = rest.strip_prefix([')', '.', ':'])?;
    rest.starts_with(blank).then(|| rest.trim_start_matches(blank))
}

fn count(items: impl Iterator) -> u32 {
    items.count() as u32
}

/// How many ASCII letters the text begins with.
fn letters(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len())
}

/// The keyword lists that hold this run of ASCII letters, as bits.
fn keyword_sets(run: &[u8]) -> Option<u8> {
    let sorted = &*SORTED_KEYWORDS;
    let initial = usize::from(run[0].to_ascii_lowercase() - b'a');
    if run.len() > LONGEST_KEYWORD || sorted.lengths[initial] >> run.len() & 1 == 0 {
        return None;
    }
    let (first, last) = sorted.ranges[run.len()];
    let packed = pack(run);
    let found = sorted.words[first..last].binary_search_by_key(&packed, |&(word, _)| word).ok()?;
    Some(sorted.words[first + found].1)
}

const LONGEST_KEYWORD: usize = 11;

/// All keywords, packed, in ascending order: so shorter ones come first.
struct SortedKeywords {
    words: Vec<(u128, u8)>,
    /// Where the words of each length lie.
    ranges: [(usize, usize); LONGEST_KEYWORD + 1],
    /// The lengths, as bits, of the words with each initial: most words are none of them and need no search.
    lengths: [u16; 26],
}

static SORTED_KEYWORDS: std::sync::LazyLock<SortedKeywords> = std::sync::LazyLock::new(sorted_keywords);

fn sorted_keywords() -> SortedKeywords {
    let mut sets = std::collections::BTreeMap::<u128, u8>::new();
    for (i, (_, words)) in KEYWORDS.iter().enumerate() {
        for word in *words {
            *sets.entry(pack(word.as_bytes())).or_default() |= 1 << i;
        }
    }
    let words: Vec<_> = sets.into_iter().collect();
    let shorter_than = |len: usize| words.partition_point(|&(word, _)| word < 1 << (8 * len.saturating_sub(1)));
    let ranges = std::array::from_fn(|len| (shorter_than(len), shorter_than(len + 1)));
    let mut lengths = [0; 26];
    for word in KEYWORDS.iter().flat_map(|(_, words)| *words) {
        lengths[usize::from(word.as_bytes()[0] - b'a')] |= 1 << word.len();
    }
    SortedKeywords { words, ranges, lengths }
}

/// Up to 16 letters, in lower case.
fn pack(word: &[u8]) -> u128 {
    word.iter().fold(0, |packed, letter| packed << 8 | u128::from(letter.to_ascii_lowercase()))
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
    fn finds_every_keyword_and_no_other_word() {
        for (i, (_, words)) in KEYWORDS.iter().enumerate() {
            for word in *words {
                assert!(word.len() <= LONGEST_KEYWORD, "{word}");
                assert_eq!(scan(&word.to_uppercase()).keywords[i], 1, "{word}");
            }
        }
        assert_eq!(scan("manyy an thee probabilities whatsoever").keywords, [0; 8]);
    }

    #[test]
    fn options_are_lines_that_begin_like_choices() {
        let seen = scan("Which?\n A) one\n(b) 2\n3. three\nK) no\nA)no\nA. \n10. no");
        assert_eq!((seen.options, seen.option_chars, seen.options_with_digit), (4, 9, 1));
        assert_eq!((seen.first_line_chars, seen.last_line_chars), (6, 6));
    }

    #[test]
    fn several_texts_count_as_their_lines_joined() {
        let (mut parts, whole) = (Scan::default(), scan("Why 12?\nπ ≥ 3 \\frac $x$\n```code```"));
        ["Why 12?", "π ≥ 3 \\frac $x$", "```code```"].into_iter().for_each(|text| parts.feed(text));
        assert_eq!(parts, whole);
        assert_eq!((whole.latex, whole.fences, whole.math, whole.numbers, whole.sentence_ends), (3, 2, 2, 2, 1));
    }
}
