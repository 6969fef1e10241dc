//! Generated puzzles with one checkable answer each, from trivial to hard.
//!
//! A puzzle's *difficulty* b is on the same scale as a simulated model's ability: a model whose ability equals b
//! answers rightly half of the time. It is never shown to the gateway, which sees the prompt alone.

mod arithmetic;
mod code;
mod strings;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// One puzzle.
#[derive(Debug, Clone, PartialEq)]
pub struct Puzzle {
    pub kind: Kind,
    /// The family's name, such as `recursion`.
    pub family: &'static str,
    /// The user's message, whole.
    pub prompt: String,
    pub answer: Answer,
    /// b, in logits: about −3.5 (trivial) to 3.5 (hard).
    pub difficulty: f64,
}

/// What a puzzle is about; simulated models have their specialities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Arithmetic,
    Strings,
    Code,
}

/// The one right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Number(i64),
    Word(String),
    YesNo(bool),
}

/// A prompt and its answer, before a difficulty is put to it.
struct Draft {
    prompt: String,
    answer: Answer,
}

impl Draft {
    fn number(prompt: String, answer: i64) -> Self {
        Self { prompt, answer: Answer::Number(answer) }
    }
}

/// Puzzles of one shape; `level` 0 to 3 makes them longer.
struct Family {
    name: &'static str,
    kind: Kind,
    /// Difficulty of level 0, and what each further level adds.
    base: f64,
    step: f64,
    make: fn(level: u32, rng: &mut StdRng) -> Draft,
}

/// How often each level comes: most traffic is easy.
const LEVEL_WEIGHTS: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
/// Two puzzles of the same shape differ by up to this much either way.
const SPREAD: f64 = 0.3;

const fn family(name: &'static str, kind: Kind, base: f64, step: f64, make: fn(u32, &mut StdRng) -> Draft) -> Family {
    Family { name, kind, base, step, make }
}

#[rustfmt::skip]
const FAMILIES: [Family; 20] = [
    family("sum",        Kind::Arithmetic, -3.2, 0.5, arithmetic::sum),
    family("product",    Kind::Arithmetic, -2.4, 0.9, arithmetic::product),
    family("expression", Kind::Arithmetic, -2.0, 0.6, arithmetic::expression),
    family("story",      Kind::Arithmetic, -1.8, 0.7, arithmetic::story),
    family("remainder",  Kind::Arithmetic, -1.0, 1.0, arithmetic::remainder),
    family("counting",   Kind::Arithmetic,  0.2, 0.7, arithmetic::counting),
    family("congruence", Kind::Arithmetic,  0.8, 0.7, arithmetic::congruence),
    family("paths",      Kind::Arithmetic,  1.0, 0.6, arithmetic::paths),
    family("reverse",    Kind::Strings,    -2.6, 0.7, strings::reverse),
    family("anagram",    Kind::Strings,    -2.4, 0.7, strings::anagram),
    family("letters",    Kind::Strings,    -2.2, 0.6, strings::letters),
    family("sort",       Kind::Strings,    -1.4, 0.7, strings::sort),
    family("pipeline",   Kind::Strings,    -0.6, 0.8, strings::pipeline),
    family("caesar",     Kind::Strings,    -0.4, 0.7, strings::caesar),
    family("straight",   Kind::Code,       -2.6, 0.6, code::straight),
    family("loop",       Kind::Code,       -1.4, 0.7, code::accumulate),
    family("list",       Kind::Code,       -0.8, 0.7, code::list),
    family("nested",     Kind::Code,       -0.4, 0.7, code::nested),
    family("recursion",  Kind::Code,        0.2, 0.8, code::recursion),
    family("machine",    Kind::Code,        0.6, 0.8, code::machine),
];

/// `count` puzzles; the same seed gives the same ones in the same order.
pub fn generate(seed: u64, count: usize) -> Vec<Puzzle> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| one(&mut rng)).collect()
}

fn one(rng: &mut StdRng) -> Puzzle {
    let family = pick(&FAMILIES, rng);
    let level = level(rng.random());
    let Draft { prompt, answer } = (family.make)(level, rng);
    let difficulty = family.base + family.step * f64::from(level) + rng.random_range(-SPREAD..=SPREAD);
    Puzzle { kind: family.kind, family: family.name, prompt, answer, difficulty }
}

/// The level that a uniform draw in [0, 1) falls on.
fn level(draw: f64) -> u32 {
    let mut below = 0.0;
    LEVEL_WEIGHTS
        .iter()
        .map(|weight| {
            below += weight;
            u32::from(draw >= below)
        })
        .sum::<u32>()
        .min(3)
}

/// One of `options`, which the generators never leave empty.
fn pick<'a, T>(options: &'a [T], rng: &mut StdRng) -> &'a T {
    options.choose(rng).unwrap_or(&options[0])
}

impl Answer {
    /// A plausible wrong answer; `draw` in [0, 1) chooses which.
    pub fn wrong(&self, draw: f64) -> Self {
        match self {
            Self::Number(n) => Self::Number(wrong_number(*n, draw)),
            Self::Word(word) => Self::Word(wrong_word(word, draw)),
            Self::YesNo(yes) => Self::YesNo(!yes),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Word(word) => f.write_str(word),
            Self::YesNo(yes) => f.write_str(if *yes { "yes" } else { "no" }),
        }
    }
}

/// Off by one, by a carry, or by a tenth.
fn wrong_number(n: i64, draw: f64) -> i64 {
    let slips = [1, -1, 2, -2, 10, -10, (n / 10).max(3)];
    n + slips[(draw * slips.len() as f64) as usize % slips.len()]
}

/// Two neighbours swapped or, where that changes nothing, a letter lost.
fn wrong_word(word: &str, draw: f64) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let pairs = letters.len().saturating_sub(1).max(1);
    let at = (draw * pairs as f64) as usize;
    match (letters.get(at), letters.get(at + 1)) {
        (Some(a), Some(b)) if a != b => letters.swap(at, at + 1),
        (_, Some(_)) => drop(letters.remove(at)),
        _ => letters.push('e'),
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests;
