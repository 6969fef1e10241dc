//! Sums, products, stories, remainders and counting.

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Draft, pick};

pub(super) fn sum(level: u32, rng: &mut StdRng) -> Draft {
    let top = 10_i64.pow(level + 2);
    let terms: Vec<i64> = (0..2 + level).map(|_| rng.random_range(top / 10..top)).collect();
    let written: Vec<String> = terms.iter().map(i64::to_string).collect();
    let ask = pick(&["What is", "Please add up", "Calculate"], rng);
    Draft::number(format!("{ask} {}.", written.join(" + ")), terms.iter().sum())
}

pub(super) fn product(level: u32, rng: &mut StdRng) -> Draft {
    let (a_top, b_top) = [(100, 10), (100, 100), (1_000, 100), (10_000, 1_000)][level as usize];
    let (a, b) = (rng.random_range(a_top / 10 + 1..a_top), rng.random_range(b_top / 10 + 1..b_top));
    let ask = pick(&["What is", "Compute", "Work out"], rng);
    Draft::number(format!("{ask} {a} × {b}."), a * b)
}

pub(super) fn expression(level: u32, rng: &mut StdRng) -> Draft {
    let mut value = rng.random_range(3..30);
    let mut text = value.to_string();
    for _ in 0..level + 2 {
        let k = rng.random_range(2..10);
        (text, value) = match rng.random_range(0..3) {
            0 => (format!("{text} + {k}"), value + k),
            1 => (format!("{text} - {k}"), value - k),
            _ => (format!("({text}) * {k}"), value * k),
        };
    }
    Draft::number(format!("Evaluate the expression {text} and give the result as an integer."), value)
}

pub(super) fn story(level: u32, rng: &mut StdRng) -> Draft {
    let name = pick(&["Mara", "Jonas", "Amira", "Luis", "Chen", "Priya"], rng);
    let thing = pick(&["marbles", "stickers", "apples", "coins", "postcards", "seashells"], rng);
    let mut value = rng.random_range(20..60);
    let mut text = format!("{name} starts the week with {value} {thing}.");
    for _ in 0..level + 1 {
        let (sentence, next) = event(value, thing, rng);
        text.push_str(&sentence);
        value = next;
    }
    text.push_str(&format!(" How many {thing} does {name} have in the end?"));
    Draft::number(text, value)
}

/// What happens next in a story, and the count after it.
fn event(value: i64, thing: &str, rng: &mut StdRng) -> (String, i64) {
    let (n, k) = (rng.random_range(2..9), rng.random_range(3..12));
    match rng.random_range(0..5) {
        0 if value % 2 == 0 => (format!(" Half of the {thing} are given to a friend."), value / 2),
        1 => (format!(" Then {n} boxes arrive, each holding {k} {thing}."), value + n * k),
        2 => (format!(" A neighbour doubles the collection and takes {n} {thing} for the trouble."), value * 2 - n),
        3 if value > 10 => (format!(" On the way home {n} {thing} are lost."), value - n),
        _ => (format!(" A visit to the market brings {k} more {thing}."), value + k),
    }
}

pub(super) fn remainder(level: u32, rng: &mut StdRng) -> Draft {
    let modulus = [rng.random_range(3..13), rng.random_range(7..30), 13, 97][level as usize];
    if level < 2 {
        let n = rng.random_range(100..10_000);
        return Draft::number(format!("What is the remainder when {n} is divided by {modulus}?"), n % modulus);
    }
    let (base, exponent) = (rng.random_range(2..40), rng.random_range(40..300));
    let rest = (0..exponent).fold(1, |power, _| power * base % modulus);
    Draft::number(format!("Find the remainder when {base}^{exponent} is divided by {modulus}."), rest)
}

pub(super) fn counting(level: u32, rng: &mut StdRng) -> Draft {
    let top = [60, 200, 500, 2_000][level as usize] + rng.random_range(0..40);
    let (a, b, c) = (*pick(&[2, 3], rng), *pick(&[5, 7], rng), *pick(&[4, 9, 11], rng));
    let count = (1..=top).filter(|n| (n % a == 0 || n % b == 0) && n % c != 0).count();
    let prompt =
        format!("How many integers n with 1 ≤ n ≤ {top} are divisible by {a} or by {b}, but are not divisible by {c}?");
    Draft::number(prompt, count as i64)
}

pub(super) fn congruence(level: u32, rng: &mut StdRng) -> Draft {
    let moduli: &[i64] = [&[3, 5][..], &[5, 7], &[5, 7, 11], &[7, 11, 13]][level as usize];
    let rests: Vec<i64> = moduli.iter().map(|m| rng.random_range(1..*m)).collect();
    let period: i64 = moduli.iter().product();
    let fits = |x: &i64| moduli.iter().zip(&rests).all(|(m, r)| x % m == *r);
    // The moduli are coprime: by the Chinese remainder theorem exactly one x in a period fits.
    let smallest = (1..=period).find(fits).unwrap_or(period);
    let clauses: Vec<String> = moduli.iter().zip(&rests).map(|(m, r)| format!("x ≡ {r} (mod {m})")).collect();
    let prompt = format!(
        "Let x be the smallest positive integer that satisfies the system of congruences {}. Determine x.",
        clauses.join(", ")
    );
    Draft::number(prompt, smallest)
}

pub(super) fn paths(level: u32, rng: &mut StdRng) -> Draft {
    let size = 3 + level as usize;
    let (width, height) = (size + rng.random_range(0..2), size);
    let blocked = (rng.random_range(1..width), rng.random_range(1..height));
    let prompt = format!(
        "On the integer lattice a particle moves from (0, 0) to ({width}, {height}). Every step goes one unit to the \
         right or one unit up, and the path must not pass through the point ({}, {}). How many such paths are there?",
        blocked.0, blocked.1
    );
    Draft::number(prompt, lattice_paths(width, height, blocked))
}

/// Monotone lattice paths from (0, 0) to (`width`, `height`) that avoid `blocked`.
fn lattice_paths(width: usize, height: usize, blocked: (usize, usize)) -> i64 {
    let mut row = vec![0; width + 1];
    row[0] = 1;
    for y in 0..=height {
        for x in 0..=width {
            let from_left = if x > 0 { row[x - 1] } else { 0 };
            row[x] = if (x, y) == blocked { 0 } else { row[x] + from_left };
        }
    }
    row[width]
}
