//! Python programs to trace by hand: each generator prints the program and computes what the program would.

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Draft, pick};

fn trace(program: &str, printed: i64) -> Draft {
    Draft::number(format!("What does this Python program print?\n\n```python\n{}\n```", program.trim_end()), printed)
}

pub(super) fn straight(level: u32, rng: &mut StdRng) -> Draft {
    let mut x: i64 = rng.random_range(2..20);
    let mut program = format!("x = {x}\n");
    for _ in 0..level + 1 {
        let k = rng.random_range(2..9);
        let (line, next) = match rng.random_range(0..4) {
            0 => (format!("x = x + {k}"), x + k),
            1 => (format!("x = x * {k}"), x * k),
            2 => (format!("x = x // {k}"), x.div_euclid(k)),
            _ => (format!("x = x - {k}"), x - k),
        };
        program.push_str(&line);
        program.push('\n');
        x = next;
    }
    trace(&format!("{program}print(x)"), x)
}

pub(super) fn accumulate(level: u32, rng: &mut StdRng) -> Draft {
    let (n, k, m) = (rng.random_range(3..6) + 4 * i64::from(level), rng.random_range(2..6), rng.random_range(2..4));
    let total = (1..=n).map(|i| if i % m == 0 { i * k } else { i }).sum();
    let program = format!(
        "total = 0\nfor i in range(1, {}):\n    if i % {m} == 0:\n        total += i * {k}\n    else:\n        total += i\n\
         print(total)",
        n + 1
    );
    trace(&program, total)
}

pub(super) fn list(level: u32, rng: &mut StdRng) -> Draft {
    let values: Vec<i64> = (0..5 + 2 * level).map(|_| rng.random_range(1..30)).collect();
    let (at, add) = (rng.random_range(1..4), rng.random_range(1..9));
    let mut ys: Vec<i64> = values.iter().filter(|v| *v % 3 != 0).map(|v| v + add).collect();
    ys.sort_unstable_by(|a, b| b.cmp(a));
    let printed = ys.iter().step_by(at as usize).sum();
    let program = format!(
        "xs = {values:?}\nys = sorted([x + {add} for x in xs if x % 3 != 0], reverse=True)\nprint(sum(ys[::{at}]))"
    );
    trace(&program, printed)
}

pub(super) fn nested(level: u32, rng: &mut StdRng) -> Draft {
    let (n, m) = (rng.random_range(3..5) + 2 * i64::from(level), rng.random_range(2..5));
    let start = rng.random_range(0..20);
    let pairs = (0..n).flat_map(|i| (i..n).map(move |j| (i, j)));
    let count = pairs.fold(start, |count, (i, j)| if (i * j + i) % m == 1 { count + j } else { count - 1 });
    let program = format!(
        "count = {start}\nfor i in range({n}):\n    for j in range(i, {n}):\n        if (i * j + i) % {m} == 1:\n            \
         count += j\n        else:\n            count -= 1\nprint(count)"
    );
    trace(&program, count)
}

pub(super) fn recursion(level: u32, rng: &mut StdRng) -> Draft {
    let n = 5 + 3 * i64::from(level) + rng.random_range(0..2);
    let (a, b, c) = (rng.random_range(1..4), rng.random_range(1..4), *pick(&[2, 3], rng));
    let program = format!(
        "def f(n):\n    if n < 2:\n        return n + {a}\n    if n % {c} == 0:\n        return f(n - 1) + {b}\n    \
         return f(n - 1) + f(n - 2)\n\nprint(f({n}))"
    );
    trace(&program, recursive(n, a, b, c))
}

fn recursive(n: i64, a: i64, b: i64, c: i64) -> i64 {
    match n {
        ..2 => n + a,
        _ if n % c == 0 => recursive(n - 1, a, b, c) + b,
        _ => recursive(n - 1, a, b, c) + recursive(n - 2, a, b, c),
    }
}

pub(super) fn machine(level: u32, rng: &mut StdRng) -> Draft {
    let (mut a, mut b) = (rng.random_range(5..30), rng.random_range(5..30));
    let rounds = 5 + 4 * level;
    let modulus = *pick(&[31, 37, 41, 43], rng);
    let program = format!(
        "state, a, b = \"up\", {a}, {b}\nfor step in range({rounds}):\n    if state == \"up\":\n        a = (a * 3 + b) % {modulus}\n        \
         if a % 2 == 0:\n            state = \"down\"\n    else:\n        a, b = b, (a - step) % {modulus}\n        \
         if b % 3 == 0:\n            state = \"up\"\nprint(a * 100 + b)"
    );
    let mut up = true;
    for step in 0..i64::from(rounds) {
        if up {
            a = (a * 3 + b) % modulus;
            up = a % 2 != 0;
        } else {
            (a, b) = (b, (a - step).rem_euclid(modulus));
            up = b % 3 == 0;
        }
    }
    trace(&program, a * 100 + b)
}
