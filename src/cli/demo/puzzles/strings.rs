//! Reversing, counting, sorting and shifting letters.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Answer, Draft, pick};

/// Words of 4–5, 6–7, 8–9 and 10–12 letters.
const WORDS: [[&str; 14]; 4] = [
    [
        "lamp", "river", "stone", "cloud", "bread", "tiger", "plant", "music", "chair", "grape", "wind", "salt",
        "north", "candy",
    ],
    [
        "garden", "planet", "silver", "window", "bottle", "monkey", "orange", "winter", "kitchen", "lantern",
        "journey", "blanket", "thunder", "picture",
    ],
    [
        "mountain",
        "elephant",
        "notebook",
        "sandwich",
        "umbrella",
        "hospital",
        "calendar",
        "keyboard",
        "crocodile",
        "chocolate",
        "dangerous",
        "structure",
        "adventure",
        "orchestra",
    ],
    [
        "strawberry",
        "background",
        "playground",
        "helicopter",
        "dictionary",
        "mississippi",
        "temperature",
        "electricity",
        "imagination",
        "grasshopper",
        "photography",
        "architecture",
        "intelligence",
        "conversation",
    ],
];

fn word(level: u32, rng: &mut StdRng) -> &'static str {
    pick::<&str>(&WORDS[level as usize], rng)
}

fn spelled(prompt: String, letters: impl IntoIterator<Item = char>) -> Draft {
    Draft { prompt, answer: Answer::Word(letters.into_iter().collect()) }
}

pub(super) fn reverse(level: u32, rng: &mut StdRng) -> Draft {
    let (first, second) = (word(level, rng), word(level / 2, rng));
    let text = format!("{first}{second}");
    let ask = pick(&["Reverse the string", "Spell backwards:", "Write in reverse order the letters of"], rng);
    spelled(format!("{ask} \"{text}\"."), text.chars().rev())
}

pub(super) fn anagram(level: u32, rng: &mut StdRng) -> Draft {
    let original = word(level, rng);
    let mut letters: Vec<char> = original.chars().collect();
    letters.shuffle(rng);
    if rng.random() {
        let at = rng.random_range(0..letters.len());
        letters[at] = *pick(&['a', 'e', 'n', 'r', 's', 't'], rng);
    }
    let other: String = letters.into_iter().collect();
    let answer = Answer::YesNo(sorted(original) == sorted(&other));
    Draft { prompt: format!("Are \"{original}\" and \"{other}\" anagrams of each other? Answer yes or no."), answer }
}

fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

pub(super) fn letters(level: u32, rng: &mut StdRng) -> Draft {
    let words: Vec<&str> = (0..=level).map(|_| word(level, rng)).collect();
    let text = words.join(" ");
    let letter = *pick(&['a', 'e', 'r', 's', 't', 'n', 'i'], rng);
    let count = text.chars().filter(|c| *c == letter).count();
    Draft::number(format!("How many times does the letter \"{letter}\" occur in \"{text}\"?"), count as i64)
}

pub(super) fn sort(level: u32, rng: &mut StdRng) -> Draft {
    let text = format!("{}{}", word(level, rng), word(0, rng));
    spelled(format!("Put the letters of \"{text}\" into alphabetical order, keeping repeated letters."), sorted(&text))
}

pub(super) fn caesar(level: u32, rng: &mut StdRng) -> Draft {
    let plain = word(level, rng);
    let by = rng.random_range(3..23);
    let prompt = format!(
        "Encrypt \"{plain}\" with a Caesar cipher that moves every letter {by} places forward in the alphabet, \
         wrapping around from z to a."
    );
    spelled(prompt, plain.chars().map(|c| shifted(c, by)))
}

/// A lower-case letter moved `by` places on, round from z to a.
fn shifted(letter: char, by: u8) -> char {
    char::from(b'a' + (letter as u8 - b'a' + by) % 26)
}

pub(super) fn pipeline(level: u32, rng: &mut StdRng) -> Draft {
    let start = word(level.min(2) + 1, rng);
    let mut letters: Vec<char> = start.chars().collect();
    let mut steps = Vec::new();
    for number in 1..=level + 2 {
        let (instruction, next) = transform(letters, rng);
        letters = next;
        steps.push(format!("{number}. {instruction}"));
    }
    let prompt = format!(
        "Take the string \"{start}\" and apply these steps one after another:\n{}\nWhat is the resulting string?",
        steps.join("\n")
    );
    spelled(prompt, letters)
}

/// One step of a pipeline, and the letters after it. No step leaves fewer than two letters.
fn transform(mut letters: Vec<char>, rng: &mut StdRng) -> (String, Vec<char>) {
    match rng.random_range(0..5) {
        0 => {
            letters.reverse();
            ("Reverse the string.".into(), letters)
        }
        1 => {
            let by = rng.random_range(1..letters.len());
            letters.rotate_left(by);
            (format!("Move the first {by} characters to the end."), letters)
        }
        2 if letters.len() >= 6 => {
            let kept = letters.into_iter().enumerate().filter(|(i, _)| i % 3 != 2).map(|(_, c)| c).collect();
            ("Delete every third character.".into(), kept)
        }
        3 => {
            let next = letters.into_iter().map(|c| if "aeiou".contains(c) { shifted(c, 1) } else { c }).collect();
            ("Replace each vowel (a, e, i, o, u) by the letter that follows it in the alphabet.".into(), next)
        }
        _ => {
            let last = letters.len() - 1;
            letters.swap(0, last);
            ("Swap the first and the last character.".into(), letters)
        }
    }
}
