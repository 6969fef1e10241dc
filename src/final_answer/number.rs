//! Numbers as people and models write them: `1,234.50`, `-3/4`, `$18`.

/// An exact fraction.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    numerator: i128,
    /// Not 0.
    denominator: i128,
}

/// A number too long to be compared exactly equals no other.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        let cross = |a: i128, b: i128| a.checked_mul(b);
        let left = cross(self.numerator, other.denominator);
        left.is_some() && left == cross(other.numerator, self.denominator)
    }
}

impl Number {
    /// The number that `text` is, ignoring a currency, a percent sign or a full stop.
    pub(super) fn whole(text: &str) -> Option<Self> {
        let plain = super::text::plain(text);
        let text = plain.trim().trim_end_matches(['.', '%', ' ']);
        let digits = text.trim_start_matches(['-', '+', '$', '€', '£', ' ']);
        let (_, end) = read(digits.as_bytes(), 0)?;
        (end == digits.len()).then(|| all(text).first().copied())?
    }

    fn negative(self, negative: bool) -> Self {
        if negative { Self { numerator: -self.numerator, ..self } } else { self }
    }

    fn over(self, other: Self) -> Option<Self> {
        let numerator = self.numerator.checked_mul(other.denominator)?;
        let denominator = self.denominator.checked_mul(other.numerator)?;
        (denominator != 0).then_some(Self { numerator, denominator })
    }
}

/// The numbers of a text in their order. Digits within a word (`x2`) do not count.
pub(super) fn all(text: &str) -> Vec<Number> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((number, end)) = read(bytes, at) else {
            at += 1;
            continue;
        };
        if !in_a_word(&bytes[..at]) {
            found.extend(number.map(|number| number.negative(signed(&bytes[..at]))));
        }
        at = end;
    }
    found
}

fn in_a_word(before: &[u8]) -> bool {
    before.last().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
}

/// Whether a minus stands before it, or before its currency, that is neither a hyphen nor a subtraction.
fn signed(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"$").unwrap_or(before);
    let Some(before) = before.strip_suffix(b"-") else { return false };
    !before.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b')')
}

/// A decimal, or a fraction of two, that begins at `at`, and where it ends; the inner `None`: too long to be exact.
fn read(bytes: &[u8], at: usize) -> Option<(Option<Number>, usize)> {
    let (number, end) = decimal(bytes, at)?;
    let below = if bytes.get(end) == Some(&b'/') { decimal(bytes, end + 1) } else { None };
    match below {
        Some((below, end)) => Some((number.zip(below).and_then(|(above, below)| above.over(below)), end)),
        None => Some((number, end)),
    }
}

fn decimal(bytes: &[u8], at: usize) -> Option<(Option<Number>, usize)> {
    let mut digits = Vec::new();
    let mut end = run(bytes, at, &mut digits);
    while (1..=3).contains(&(end - at)) || (end > at && bytes[at..end].contains(&b',')) {
        let mut group = Vec::new();
        let after = if bytes.get(end) == Some(&b',') { run(bytes, end + 1, &mut group) } else { end };
        if group.len() != 3 {
            break;
        }
        digits.append(&mut group);
        end = after;
    }
    let whole = digits.len();
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = run(bytes, end + 1, &mut digits);
    }
    (!digits.is_empty()).then(|| (exact(&digits, digits.len() - whole), end))
}

/// Copies the digits from `at` on; gives where they end.
fn run(bytes: &[u8], at: usize, digits: &mut Vec<u8>) -> usize {
    let before = digits.len();
    digits.extend(bytes[at.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()));
    at + digits.len() - before
}

/// `digits` with the point before the last `places`.
fn exact(digits: &[u8], places: usize) -> Option<Number> {
    let append = |n: i128, digit: &u8| n.checked_mul(10)?.checked_add(i128::from(digit - b'0'));
    let numerator = digits.iter().try_fold(0, append)?;
    Some(Number { numerator, denominator: 10_i128.checked_pow(u32::try_from(places).ok()?)? })
}
