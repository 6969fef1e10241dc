//! Model names: what different spellings and dated versions of one have in common.

/// In lower case, without the provider before it.
pub fn canonical(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase()
}

/// A model's name without `-2024-08-06` or `-20240806` at the end: what its versions have in common.
pub fn undated(name: &str) -> &str {
    let like = |text: &str, pattern: &str| {
        text.bytes().zip(pattern.bytes()).all(|(byte, p)| if p == b'0' { byte.is_ascii_digit() } else { byte == p })
    };
    let cut = |pattern: &&str| {
        let (head, tail) = name.split_at_checked(name.len().checked_sub(pattern.len())?)?;
        like(tail, pattern).then_some(head)
    };
    ["-0000-00-00", "-00000000"].iter().find_map(cut).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_cut_off_and_nothing_else() {
        let cases = [
            ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("claude-3-haiku-20240307", "claude-3-haiku"),
            ("gpt-3.5-turbo-0125", "gpt-3.5-turbo-0125"),
            ("2024-07-18", "2024-07-18"),
            ("é-20240307", "é"),
        ];
        for (name, expected) in cases {
            assert_eq!(undated(name), expected);
        }
    }
}
