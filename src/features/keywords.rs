//! Words that say what kind of task a prompt is.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::eight::Eight;

/// Lists of words, in lower case.
pub const KEYWORDS: [(&str, &[&str]); 11] = [
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
    ("article", &["the", "a", "an", "of"]),
    (
        "compare",
        &[
            "more",
            "less",
            "fewer",
            "than",
            "times",
            "each",
            "per",
            "every",
            "as",
            "same",
            "remaining",
            "left",
            "rest",
            "another",
            "both",
            "total",
            "altogether",
        ],
    ),
    ("refer", &["following", "statement", "statements"]),
];

/// Where the words that negate stand among them.
pub const NEGATION: usize = 1;

/// Words that say how a question is meant, each a list of its own behind those of [`KEYWORDS`] …
pub const ASKING: [&str; 6] = ["what", "how", "which", "why", "who", "if"];
/// … from this one on.
pub const ASKED: usize = KEYWORDS.len();

/// The lists that hold the word that `text` begins with, as bits: those of [`KEYWORDS`], then of [`ASKING`]. The word is
/// its first `length` bytes, ASCII letters, at least one.
pub fn sets(text: &[u8], length: usize) -> Option<u32> {
    let table = &*TABLE;
    let [first, last] = ends(text, length);
    if length > LONGEST || table.lengths[first][last] >> length & 1 == 0 {
        return None;
    }
    table.sets.get(&pack(text, length)).copied()
}

const LONGEST: usize = 11;

struct Table {
    /// The lists of each word, packed.
    sets: HashMap<u128, u32, FixedState>,
    /// The lengths, as bits, of the words with each first and last letter: most words match none of them and need no
    /// look-up.
    lengths: [[u16; 26]; 26],
}

static TABLE: LazyLock<Table> = LazyLock::new(table);

fn table() -> Table {
    let (mut sets, mut lengths) = (HashMap::<u128, u32, FixedState>::default(), [[0; 26]; 26]);
    let lists = KEYWORDS.iter().map(|(_, words)| *words).chain(ASKING.iter().map(std::slice::from_ref));
    for (i, words) in lists.enumerate() {
        for word in words.iter().map(|word| word.as_bytes()) {
            *sets.entry(pack(word, word.len())).or_default() |= 1 << i;
            let [first, last] = ends(word, word.len());
            lengths[first][last] |= 1 << word.len();
        }
    }
    Table { sets, lengths }
}

/// Where a word's first and last letters stand in the alphabet.
fn ends(text: &[u8], length: usize) -> [usize; 2] {
    [text[0], text[length - 1]].map(|letter| usize::from(letter.to_ascii_lowercase() - b'a'))
}

/// Up to 16 letters, in lower case.
fn pack(text: &[u8], length: usize) -> u128 {
    let lower = |at: usize| u128::from(Eight::of(&text[at..]).lower((length - at).min(8)));
    if length <= 8 { lower(0) } else { lower(0) << 64 | lower(8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_keyword_and_no_other_word() {
        for (i, (_, words)) in KEYWORDS.iter().enumerate() {
            for word in *words {
                assert!(word.len() <= LONGEST, "{word}");
                let found = sets(format!("{}S", word.to_uppercase()).as_bytes(), word.len()).expect("found");
                assert_eq!(found >> i & 1, 1, "{word}");
            }
        }
        for word in ["manyy", "ann", "thee", "probabilities", "whatsoever"] {
            assert_eq!(sets(word.as_bytes(), word.len()), None, "{word}");
        }
    }
}
