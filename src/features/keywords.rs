//! Words that say what kind of task a prompt is.

use std::sync::LazyLock;

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

/// A word of a text that is in some list.
#[derive(Debug, Clone, Copy)]
pub struct Keyword {
    /// Bytes before it.
    pub at: usize,
    /// The lists that hold it, as [`sets`] has them.
    pub sets: u32,
}

/// The lists that hold the word that `text` begins with, as bits: those of [`KEYWORDS`], then of [`ASKING`]. The word is
/// its first `length` bytes, ASCII letters. Without a branch that depends on the word, which nothing could predict.
pub fn sets(text: &[u8], length: usize) -> u32 {
    let (table, key) = (&*TABLE, Key::of(text, length));
    let word = &table.words[usize::from(table.slots[key.slot(table.multiplier)])];
    if word.key == key { word.sets } else { 0 }
}

/// A word's letters in lower case: the first eight, and of the others as many. No word in the table has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u64, u64);

impl Key {
    fn of(text: &[u8], length: usize) -> Self {
        let part =
            |at: usize| Eight::of(text.get(at..).unwrap_or_default()).lower_letters(length.saturating_sub(at).min(8));
        Self(part(0), part(8))
    }

    fn slot(self, multiplier: u64) -> usize {
        ((self.0 ^ self.1).wrapping_mul(multiplier) >> (64 - SLOT_BITS)) as usize
    }
}

const SLOT_BITS: u32 = 10;

struct Word {
    key: Key,
    sets: u32,
}

/// A perfect hash table.
struct Table {
    /// By which each word has a slot of its own.
    multiplier: u64,
    /// Which of the words it is.
    slots: [u8; 1 << SLOT_BITS],
    /// At most 256: before all others one that no text has, for the empty slots.
    words: Vec<Word>,
}

static TABLE: LazyLock<Table> = LazyLock::new(table);

fn table() -> Table {
    let mut words = vec![Word { key: Key(0, 0), sets: 0 }];
    let lists = KEYWORDS.iter().map(|(_, words)| *words).chain(ASKING.iter().map(std::slice::from_ref));
    for (i, list) in lists.enumerate() {
        for word in list {
            let key = Key::of(word.as_bytes(), word.len());
            match words.iter_mut().find(|word| word.key == key) {
                Some(word) => word.sets |= 1 << i,
                None => words.push(Word { key, sets: 1 << i }),
            }
        }
    }
    // One in some two hundred will do.
    let mut multipliers = (1..).map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let found = multipliers.find_map(|multiplier| Some((multiplier, slots(&words, multiplier)?)));
    let (multiplier, slots) = found.unwrap_or((0, [0; 1 << SLOT_BITS]));
    Table { multiplier, slots, words }
}

/// `None`: two words have the same slot.
fn slots(words: &[Word], multiplier: u64) -> Option<[u8; 1 << SLOT_BITS]> {
    let mut slots = [0; 1 << SLOT_BITS];
    for (i, word) in words.iter().enumerate().skip(1) {
        let slot = &mut slots[word.key.slot(multiplier)];
        if std::mem::replace(slot, i as u8) != 0 {
            return None;
        }
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_keyword_and_no_other_word() {
        assert!(TABLE.words.len() <= 256);
        for (i, (_, words)) in KEYWORDS.iter().enumerate() {
            for word in *words {
                assert!(word.len() <= 16, "{word}");
                let found = sets(format!("{}S", word.to_uppercase()).as_bytes(), word.len());
                assert_eq!(found >> i & 1, 1, "{word}");
            }
        }
        for word in ["manyy", "ann", "thee", "probabilities", "whatsoever", "", "altogetheraltogether"] {
            assert_eq!(sets(word.as_bytes(), word.len()), 0, "{word}");
        }
    }
}
