//! Eight bytes of a text at once. Where a word ends cannot be predicted, and leaving a loop over its letters at a
//! mispredicted branch costs more than all the work in it.

/// The lowest bit of each byte …
const ONES: u64 = u64::from_le_bytes([1; 8]);
/// … and the highest.
const HIGH: u64 = ONES << 7;

/// Eight bytes, the first one lowest.
#[derive(Debug, Clone, Copy)]
pub struct Eight(u64);

impl Eight {
    /// What a text begins with; zeros stand behind its end.
    pub fn of(text: &[u8]) -> Self {
        let eight = text.first_chunk().copied().unwrap_or_else(|| {
            let mut eight = [0; 8];
            eight[..text.len()].copy_from_slice(text);
            eight
        });
        Self(u64::from_le_bytes(eight))
    }

    /// How many ASCII letters it begins with.
    pub fn letters(self) -> usize {
        leading(self.are_letters())
    }

    /// How many ASCII letters and digits it begins with.
    pub fn alphanumerics(self) -> usize {
        leading(self.are_letters() | self.are(b'0', b'9'))
    }

    /// How many of the first `length` bytes, which are letters, are capitals.
    pub fn capitals(self, length: usize) -> u32 {
        let capitals = ((!self.0 << 2) & HIGH & below(length)) >> 7;
        (capitals.wrapping_mul(ONES) >> 56) as u32
    }

    /// The first `length` bytes, which are letters and digits, in lower case as a number: the last one lowest.
    pub fn lower(self, length: usize) -> u64 {
        let lower = self.0 | (self.are(b'A', b'Z') >> 2);
        (lower & below(length)).swap_bytes() >> (64 - 8 * length)
    }

    /// The first `length` bytes, which are letters, in lower case; zeros behind them.
    pub fn lower_letters(self, length: usize) -> u64 {
        (self.0 | (ONES << 5)) & below(length)
    }

    /// The high bit of each byte that is an ASCII letter.
    fn are_letters(self) -> u64 {
        Self(self.0 | (ONES << 5)).are(b'a', b'z')
    }

    /// The high bit of each byte from `first` to `last`, both ASCII.
    fn are(self, first: u8, last: u8) -> u64 {
        let low = self.0 & !HIGH;
        let not_below = low + ONES * u64::from(128 - first);
        let above = low + ONES * u64::from(127 - last);
        not_below & !above & !self.0 & HIGH
    }
}

/// How many bytes from the lowest on have their high bit set.
fn leading(bits: u64) -> usize {
    (!bits & HIGH).trailing_zeros() as usize / 8
}

/// All bits of the first `length` bytes, 8 at most.
fn below(length: usize) -> u64 {
    if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_measured_as_byte_by_byte() {
        for text in
            ["", "a", "Az09", "zZaA{", "@AZ[`az{", "abcdefgh", "ABCDEFGHI", "a1b2c3d4e5", "é", "ab é", "\u{7f}", "a\0b"]
        {
            let (eight, bytes) = (Eight::of(text.as_bytes()), &text.as_bytes()[..text.len().min(8)]);
            let run = |is: fn(&u8) -> bool| bytes.iter().position(|b| !is(b)).unwrap_or(bytes.len());
            assert_eq!(eight.letters(), run(u8::is_ascii_alphabetic), "{text:?}");
            assert_eq!(eight.alphanumerics(), run(u8::is_ascii_alphanumeric), "{text:?}");
            let letters = &bytes[..eight.letters()];
            let capitals = letters.iter().filter(|b| b.is_ascii_uppercase()).count();
            assert_eq!(eight.capitals(letters.len()) as usize, capitals, "{text:?}");
            let number = letters.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b.to_ascii_lowercase()));
            assert_eq!(eight.lower_letters(letters.len()), number, "{text:?}");
            let word = bytes[..eight.alphanumerics()].to_ascii_lowercase();
            let number = word.iter().fold(0, |n, &b| n << 8 | u64::from(b));
            if !word.is_empty() {
                assert_eq!(eight.lower(word.len()), number, "{text:?}");
            }
        }
    }
}
