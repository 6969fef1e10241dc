//! Hand-made signals: what a prompt's surface says of its difficulty.
//!
//! Shares are taken as square roots and counts as log(1 + n), which brings them near a normal shape.

use super::keywords::KEYWORDS;
use super::scan::Scan;
use super::wordpiece::WordPiece;

/// How many signals there are.
pub const SIGNALS: usize = 62 + KEYWORDS.len();

/// Where the share of characters beyond ASCII stands (its square root).
pub const NON_ASCII: usize = 5;
/// Where the share of tokens that continue a word stands.
pub const SPLIT: usize = SIGNALS - 5;
/// Where the share of unknown tokens stands.
pub const UNKNOWN: usize = SIGNALS - 4;

/// The signals of a conversation, in the order of the schema.
///
/// `ids` are the WordPiece ids of its window, `window_words` the window's words.
pub fn signals(scan: &Scan, vocabulary: &WordPiece, ids: &[u32], window_words: u32) -> [f32; SIGNALS] {
    let mut signals = [0.0; SIGNALS];
    let counted = surface(scan).into_iter().chain(details(scan)).chain(manner(scan)).chain(keyword_shares(scan));
    let all = counted.chain(rarity(vocabulary, ids, window_words)).chain([variety(vocabulary, ids)]);
    signals.iter_mut().zip(all).for_each(|(signal, value)| *signal = value as f32);
    signals
}

/// Lengths, shares of kinds of characters, structure.
fn surface(scan: &Scan) -> [f64; 23] {
    let share = |count: u32| (f64::from(count) / f64::from(scan.chars.max(1))).sqrt();
    let words = f64::from(scan.words.max(1));
    let options = f64::from(scan.lines.options.max(1));
    [
        log1p(scan.chars),
        log1p(scan.words),
        log1p(scan.newlines),
        share(scan.digits),
        share(scan.upper),
        share(scan.non_ascii),
        share(scan.math),
        log1p(scan.latex),
        share(scan.code),
        log1p(scan.fences),
        log1p(scan.question_marks),
        f64::from(scan.lines.options.min(12)),
        (f64::from(scan.lines.option_chars) / options).ln_1p(),
        f64::from(scan.lines.options_with_digit) / options,
        (f64::from(scan.non_space) / words).min(20.0),
        (words / f64::from(scan.sentence_ends + 1)).ln_1p(),
        log1p(scan.numbers),
        (f64::from(scan.digits) / f64::from(scan.numbers.max(1))).ln_1p(),
        share(scan.parentheses),
        share(scan.quotes),
        f64::from(scan.long_runs) / f64::from(scan.letter_runs.max(1)),
        log1p(scan.lines.last_chars),
        log1p(scan.lines.first_chars),
    ]
}

/// What numbers, words, lines and code are like.
fn details(scan: &Scan) -> [f64; 21] {
    let runs = f64::from(scan.letter_runs.max(1));
    let (lines, question) = (&scan.lines, &scan.lines.question);
    [
        log1p(scan.sentence_ends + lines.count),
        f64::from(scan.longest_runs) / runs,
        log1p(scan.decimals),
        log1p(scan.carets),
        log1p(scan.percents),
        log1p(scan.brackets),
        (f64::from(scan.letters) / runs).min(20.0),
        log1p(scan.fractions),
        log1p(scan.large_numbers),
        log1p(scan.blanks),
        log1p(lines.stem_chars),
        log1p(question.chars),
        lines.option_deviation().ln_1p(),
        log1p(lines.longest_option),
        f64::from(lines.options_of_options),
        log1p(scan.commas),
        log1p(scan.equals),
        log1p(scan.comparisons),
        log1p(scan.pluses),
        log1p(scan.calls),
        log1p(scan.subscripts),
    ]
}

/// What is asked, and how words look.
fn manner(scan: &Scan) -> impl Iterator<Item = f64> {
    let flag = |flag: bool| f64::from(u8::from(flag));
    let runs = f64::from(scan.letter_runs.max(1));
    let mean = f64::from(scan.letters) / runs;
    let deviation = (scan.letter_squares as f64 / runs - mean * mean).max(0.0).sqrt();
    let question = &scan.lines.question;
    let asked = question.asking.into_iter().chain([question.negated, scan.lines.asked]).map(flag);
    let words = [log1p(scan.capitals), log1p(scan.names), deviation.min(20.0), f64::from(scan.nesting.min(8))];
    asked.chain(words)
}

fn keyword_shares(scan: &Scan) -> impl Iterator<Item = f64> {
    let runs = f64::from(scan.letter_runs.max(1));
    scan.keywords.iter().map(move |&n| (f64::from(n) / runs).sqrt())
}

/// How rare the words are. BERT's vocabulary is ordered by frequency, so an id is a rank.
fn rarity(vocabulary: &WordPiece, ids: &[u32], window_words: u32) -> [f64; 5] {
    let tokens = ids.len().max(1) as f64;
    let share = |n: usize| n as f64 / tokens;
    let ranked = ranks(ids).count();
    // One logarithm per chunk: that of a product is the sum of its factors'. No chunk's product overflows.
    let product = |ids: &[u32]| ranks(ids).map(|rank| f64::from(rank) + 10.0).product::<f64>();
    let log_rank: f64 = ids.chunks(16).map(|ids| product(ids).ln()).sum();
    [
        (tokens / f64::from(window_words.max(1))).ln(),
        share(ids.iter().filter(|&&id| vocabulary.continues(id)).count()),
        share(ids.iter().filter(|&&id| id == vocabulary.unknown()).count()),
        if ranked == 0 { 0.0 } else { log_rank / ranked as f64 },
        share(ranks(ids).filter(|&rank| rank > 10_000).count()),
    ]
}

fn ranks(ids: &[u32]) -> impl Iterator<Item = u32> {
    ids.iter().filter_map(|&id| id.checked_sub(FIRST_WORD))
}

/// The share of tokens that are not repeated.
fn variety(vocabulary: &WordPiece, ids: &[u32]) -> f64 {
    let mut seen = vec![0u64; vocabulary.len().div_ceil(64)];
    let mut distinct = 0;
    for &id in ids {
        let (bits, bit) = (&mut seen[id as usize / 64], 1 << (id % 64));
        distinct += u32::from(*bits & bit == 0);
        *bits |= bit;
    }
    f64::from(distinct) / ids.len().max(1) as f64
}

/// Most counts are 0, which needs no logarithm.
fn log1p(count: u32) -> f64 {
    if count == 0 { 0.0 } else { f64::from(count).ln_1p() }
}

/// "the": what comes before in BERT's vocabulary is special, unused, or a single character.
pub const FIRST_WORD: u32 = 1996;
