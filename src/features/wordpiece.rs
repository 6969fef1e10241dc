//! WordPiece as uncased BERT tokenizes: clean, lowercase, strip accents, split at punctuation and ideographs, then
//! greedily take the longest piece of the vocabulary.
//!
//! The rules are those of Hugging Face's `BertNormalizer`, `BertPreTokenizer` and `WordPiece` (checked by a test), with
//! one difference: the text of a prompt never becomes a special token, so `[SEP]` is five characters here.

use std::borrow::Cow;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::eight::Eight;

/// Words of more characters than this are unknown, as in BERT.
const MAX_WORD_CHARS: usize = 100;
/// What continues a word carries this mark in the vocabulary.
const CONTINUES: &str = "##";
const UNKNOWN: &str = "[UNK]";

/// A WordPiece vocabulary: one piece per line, whose number is the id.
#[derive(Debug)]
pub struct WordPiece {
    text: Cow<'static, str>,
    /// Where each piece lies in `text`, without its `##`.
    pieces: Vec<Piece>,
    /// Pieces that begin a word.
    initial: HashTable<Entry>,
    /// Pieces that continue one.
    continuing: HashTable<Entry>,
    /// Which ids continue a word, one bit per id.
    continues: Vec<u64>,
    /// Ids of the one-character ASCII pieces.
    ascii: [u32; 128],
    unknown: u32,
    /// Bytes of the longest piece.
    longest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    len: u16,
    continues: bool,
}

/// A piece as it is looked up.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    id: u32,
}

/// A piece of up to seven bytes, as most are: its length in the first of eight bytes and then its bytes, so that the
/// table itself tells whether it matches. For a longer piece, a zero and a part of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u64);

impl Key {
    const BYTES: usize = 7;

    fn of(piece: &[u8]) -> Self {
        if piece.len() > Self::BYTES {
            return Self(FixedState::default().hash_one(piece) >> 8);
        }
        let bytes = piece.iter().fold(0, |bytes, &byte| bytes << 8 | u64::from(byte));
        Self::whole(piece.len(), bytes)
    }

    /// Of a piece of up to seven bytes, which `bytes` holds as a number: the last one lowest.
    fn whole(length: usize, bytes: u64) -> Self {
        Self((length as u64) << (8 * Self::BYTES) | bytes)
    }

    /// Equal keys mean equal pieces.
    fn is_whole(self) -> bool {
        self.0 >> (8 * Self::BYTES) > 0
    }

    fn hash(self) -> u64 {
        FixedState::default().hash_one(self.0)
    }
}

/// The text is not a WordPiece vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    #[error("line {0} is empty; every line must hold one piece")]
    EmptyLine(usize),
    #[error("line {0} repeats a piece")]
    Repeated(usize),
    #[error("line {0} holds a piece of more than 64 KiB")]
    TooLong(usize),
    #[error("no line holds [UNK]")]
    NoUnknown,
}

impl WordPiece {
    /// Reads a `vocab.txt`.
    ///
    /// # Errors
    /// Names the first line that does not fit.
    pub fn parse(text: impl Into<Cow<'static, str>>) -> Result<Self, VocabularyError> {
        let text = text.into();
        let pieces = pieces(&text)?;
        let mut vocabulary = Self {
            initial: HashTable::with_capacity(pieces.len()),
            continuing: HashTable::with_capacity(pieces.len() / 4),
            longest: pieces.iter().map(|piece| usize::from(piece.len)).max().unwrap_or(0),
            continues: vec![0; pieces.len().div_ceil(64)],
            text,
            pieces,
            ascii: [0; 128],
            unknown: 0,
        };
        vocabulary.index()?;
        vocabulary.unknown = vocabulary.find(UNKNOWN.as_bytes(), false).ok_or(VocabularyError::NoUnknown)?;
        for byte in 0..128u8 {
            vocabulary.ascii[usize::from(byte)] = vocabulary.find(&[byte], false).unwrap_or(vocabulary.unknown);
        }
        Ok(vocabulary)
    }

    fn index(&mut self) -> Result<(), VocabularyError> {
        for id in 0..self.pieces.len() {
            let piece = self.pieces[id];
            if self.find(self.bytes(piece), piece.continues).is_some() {
                return Err(VocabularyError::Repeated(id + 1));
            }
            self.continues[id / 64] |= u64::from(piece.continues) << (id % 64);
            let entry = Entry { key: Key::of(self.bytes(piece)), id: id as u32 };
            let table = if piece.continues { &mut self.continuing } else { &mut self.initial };
            table.insert_unique(entry.key.hash(), entry, |entry| entry.key.hash());
        }
        Ok(())
    }

    /// The vocabulary as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Pieces in the vocabulary.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether the vocabulary holds no piece; one that was parsed never is.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The id that stands for words that cannot be spelled.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The id of a piece that begins a word.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.find(piece.as_bytes(), false)
    }

    /// Whether no piece but special ones, such as `[UNK]`, has an upper-case letter: texts are lowercased.
    pub fn is_uncased(&self) -> bool {
        let is_special = |piece: &[u8]| piece.starts_with(b"[") && piece.ends_with(b"]");
        let upper = |piece: &[u8]| piece.iter().any(u8::is_ascii_uppercase);
        self.pieces.iter().map(|piece| self.bytes(*piece)).all(|piece| is_special(piece) || !upper(piece))
    }

    /// Whether `id` continues a word (`##…`).
    pub fn continues(&self, id: u32) -> bool {
        self.continues[id as usize / 64] >> (id % 64) & 1 == 1
    }

    /// Appends the ids of `text`, without special tokens.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let bytes = text.as_bytes();
        let mut word = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match CLASS[usize::from(byte)] {
                Class::Letter => {
                    let short = word.is_empty().then(|| self.short_word(&bytes[at - 1..])).flatten();
                    let end = short.map_or_else(|| letters_end(bytes, at), |(_, length)| at - 1 + length);
                    match short {
                        Some((id, _)) => ids.push(id),
                        None => word.extend(bytes[at - 1..end].iter().map(u8::to_ascii_lowercase)),
                    }
                    at = end;
                }
                Class::Space => self.end_word(&mut word, ids),
                Class::Punctuation => {
                    self.end_word(&mut word, ids);
                    ids.push(self.ascii[usize::from(byte)]);
                }
                Class::Control => {}
                Class::NotAscii => {
                    let end = at + bytes[at..].iter().position(u8::is_ascii).unwrap_or(bytes.len() - at);
                    self.encode_unicode(&text[at - 1..end], &mut word, ids);
                    at = end;
                }
            }
        }
        self.end_word(&mut word, ids);
    }

    /// Most words are short, ASCII, and a single piece: its id and bytes, where `text` begins with such a word that
    /// ends there.
    fn short_word(&self, text: &[u8]) -> Option<(u32, usize)> {
        let eight = Eight::of(text);
        let length = eight.alphanumerics();
        let is_end = |&next: &u8| matches!(CLASS[usize::from(next)], Class::Space | Class::Punctuation);
        if length > Key::BYTES || !text.get(length).is_none_or(is_end) {
            return None;
        }
        let key = Key::whole(length, eight.lower(length));
        self.initial.find(key.hash(), |entry| entry.key == key).map(|entry| (entry.id, length))
    }

    /// A run with non-ASCII characters. Canonical decomposition never crosses an ASCII character, so runs can be
    /// treated separately.
    fn encode_unicode(&self, run: &str, word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        for c in spaced(run).nfd().filter(|c| c.general_category() != GeneralCategory::NonspacingMark) {
            if c.is_whitespace() {
                self.end_word(word, ids);
            } else if is_punctuation(c) {
                self.end_word(word, ids);
                push_char(word, c);
                self.end_word(word, ids);
            } else {
                c.to_lowercase().for_each(|c| push_char(word, c));
            }
        }
    }

    /// Spells `word` and empties it.
    fn end_word(&self, word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        if is_too_long(word) || !self.spell(word, ids) {
            ids.truncate(before);
            ids.push(self.unknown);
        }
        word.clear();
    }

    /// Longest piece first; false if a remainder is left that no piece begins.
    fn spell(&self, word: &[u8], ids: &mut Vec<u32>) -> bool {
        let mut rest = word;
        while !rest.is_empty() {
            let continues = rest.len() < word.len();
            let longest = rest.len().min(self.longest);
            let found = (1..=longest).rev().find_map(|len| Some((len, self.find(&rest[..len], continues)?)));
            let Some((len, id)) = found else {
                return false;
            };
            ids.push(id);
            rest = &rest[len..];
        }
        true
    }

    fn find(&self, piece: &[u8], continues: bool) -> Option<u32> {
        let table = if continues { &self.continuing } else { &self.initial };
        let key = Key::of(piece);
        let same =
            |entry: &Entry| entry.key == key && (key.is_whole() || self.bytes(self.pieces[entry.id as usize]) == piece);
        table.find(key.hash(), same).map(|entry| entry.id)
    }

    fn bytes(&self, piece: Piece) -> &[u8] {
        slice(&self.text, piece)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, VocabularyError> {
    let mut pieces = Vec::with_capacity(text.len() / 7);
    let mut start = 0;
    for (line, text) in text.split_terminator('\n').enumerate() {
        let piece = text.strip_suffix('\r').unwrap_or(text);
        // "##" alone is a word, not an empty continuation.
        let continues = piece.len() > CONTINUES.len() && piece.starts_with(CONTINUES);
        let mark = if continues { CONTINUES.len() } else { 0 };
        let len = u16::try_from(piece.len() - mark).map_err(|_| VocabularyError::TooLong(line + 1))?;
        if len == 0 {
            return Err(VocabularyError::EmptyLine(line + 1));
        }
        pieces.push(Piece { start: (start + mark) as u32, len, continues });
        start += text.len() + 1;
    }
    Ok(pieces)
}

fn slice(text: &str, piece: Piece) -> &[u8] {
    &text.as_bytes()[piece.start as usize..][..usize::from(piece.len)]
}

fn is_too_long(word: &[u8]) -> bool {
    // Characters in UTF-8: all bytes except the continuation bytes.
    let chars = || word.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
    word.len() > MAX_WORD_CHARS && chars() > MAX_WORD_CHARS
}

fn push_char(word: &mut Vec<u8>, c: char) {
    word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `run` without control characters, and with each ideograph as a word of its own.
fn spaced(run: &str) -> String {
    let mut out = String::with_capacity(run.len() * 2);
    for c in run.chars().filter(|&c| !is_control(c)) {
        if is_ideograph(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

fn is_control(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    c == char::REPLACEMENT_CHARACTER || matches!(c.general_category(), Control | Format | PrivateUse)
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// BERT's "Chinese characters": the blocks of CJK ideographs, but not Hangul or kana.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}' | '\u{2A700}'..='\u{2B73F}'
        | '\u{2B740}'..='\u{2B81F}' | '\u{2B920}'..='\u{2CEAF}' | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[derive(Clone, Copy)]
enum Class {
    Letter,
    Space,
    Punctuation,
    Control,
    NotAscii,
}

/// Where a run of [`Class::Letter`] ends that reaches at least to `at`.
fn letters_end(text: &[u8], at: usize) -> usize {
    let is_letter = |byte: &u8| matches!(CLASS[usize::from(*byte)], Class::Letter);
    text[at..].iter().position(|byte| !is_letter(byte)).map_or(text.len(), |length| at + length)
}

/// What each byte is to the tokenizer.
static CLASS: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::NotAscii; 256];
    let mut byte = 0u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
            _ if byte.is_ascii_punctuation() => Class::Punctuation,
            _ if byte.is_ascii_control() => Class::Control,
            _ => Class::Letter,
        };
        byte += 1;
    }
    classes
}

#[cfg(test)]
mod tests;
