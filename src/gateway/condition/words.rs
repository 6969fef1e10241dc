//! The words of a condition, as far as it takes to find what joins its parts.

/// Brackets within each other, at most.
const DEEPEST: usize = 32;

/// A name, a number, a quoted text, an operator or a bracket.
#[derive(Debug)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    /// Where it stands, in bytes.
    pub(super) from: usize,
    /// How many brackets it stands within.
    pub(super) depth: usize,
}

impl Word<'_> {
    /// Behind its last byte.
    pub(super) fn end(&self) -> usize {
        self.from + self.text.len()
    }
}

/// All of a text, in its order; brackets need not match.
pub(super) fn words(text: &str) -> Result<Vec<Word<'_>>, String> {
    let (mut words, mut from, mut depth) = (vec![], 0, 0_usize);
    while let Some(first) = text[from..].chars().next() {
        let word = &text[from..from + length(&text[from..], first)];
        depth = depth.saturating_sub(usize::from(")]}".contains(first)));
        if !first.is_whitespace() {
            words.push(Word { text: word, from, depth });
        }
        depth += usize::from("([{".contains(first));
        from += word.len();
    }
    match words.iter().all(|word| word.depth <= DEEPEST) {
        true => Ok(words),
        false => Err(format!("more than {DEEPEST} brackets stand within each other; make two rules of it")),
    }
}

/// Of the word that `rest` begins with, in bytes.
fn length(rest: &str, first: char) -> usize {
    match first {
        '"' | '\'' => quoted(rest, first),
        '=' | '!' | '<' | '>' => 1 + usize::from(rest[1..].starts_with('=')),
        // `metadata.in` is a name, not a comparison.
        _ if is_plain(first) => rest.find(|c| !is_plain(c)).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

/// With both quotes; to the end where the second one is missing.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}
