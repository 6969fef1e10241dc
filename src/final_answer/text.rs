//! Texts without their typography.

/// LaTeX and Unicode that say the same as plain characters.
const TYPOGRAPHY: [(&str, &str); 17] = [
    ("{,}", ","),
    ("\\left", ""),
    ("\\right", ""),
    ("\\,", ""),
    ("\\!", ""),
    ("\\;", " "),
    ("\\ ", " "),
    ("\\(", ""),
    ("\\)", ""),
    ("\\[", ""),
    ("\\]", ""),
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("−", "-"),
    ("\u{a0}", " "),
];

/// Without typography and emphasis; a fraction of plain terms is written `a/b`.
pub(super) fn plain(text: &str) -> String {
    let emphasised = text.replace("**", "");
    let plain = TYPOGRAPHY.iter().filter(|(from, _)| emphasised.contains(from));
    let plain = plain.fold(emphasised.clone(), |text, (from, to)| text.replace(from, to));
    fractions(&unwrapped(&plain))
}

/// Without `\text{…}` and the like around words.
fn unwrapped(text: &str) -> String {
    ["\\text{", "\\mathrm{", "\\textbf{", "\\mathbf{"].iter().fold(text.to_owned(), |text, wrapper| {
        let mut parts = text.split(wrapper);
        let head = parts.next().unwrap_or_default().to_owned();
        std::iter::once(head).chain(parts.map(|part| part.replacen('}', "", 1))).collect()
    })
}

/// `\frac{a}{b}` → `a/b`, where neither has a fraction or braces within.
fn fractions(text: &str) -> String {
    let mut parts = text.split("\\frac{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let terms = part.split_once("}{").and_then(|(above, rest)| Some((above, rest.split_once('}')?)));
        match terms.filter(|(above, (below, _))| !above.contains(['{', '}']) && !below.contains('{')) {
            Some((above, (below, rest))) => out.extend([above, "/", below, rest]),
            None => out.extend(["\\frac{", part]),
        }
    }
    out
}

/// Whether both say the same.
pub(super) fn same(one: &str, reference: &str) -> bool {
    let literal = is_literal(reference);
    let (one, reference) = (bare(one, literal), bare(reference, literal));
    one == reference || (!reference.contains(['\'', '"']) && !literal && squeezed(&one) == squeezed(&reference))
}

/// What two texts that say the same have in common; `None` for one that says nothing.
pub(super) fn comparable(text: &str) -> Option<String> {
    let bare = bare(text, is_literal(text)).to_lowercase();
    Some(squeezed(&bare)).filter(|text| !text.is_empty())
}

/// Whether `text` says `reference` somewhere, not within a longer word.
pub(super) fn contains(text: &str, reference: &str) -> bool {
    let literal = is_literal(reference);
    let (text, reference) = (bare(text, literal), bare(reference, literal));
    let is_whole = |(at, found): (usize, &str)| {
        let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !inside(text[..at].chars().next_back()) && !inside(text[at + found.len()..].chars().next())
    };
    !reference.is_empty() && text.match_indices(&reference).any(is_whole)
}

/// A value as a program prints it: its case and spaces count.
fn is_literal(reference: &str) -> bool {
    reference.trim_start().starts_with(['\'', '"', '[', '{'])
}

/// What is compared: without surrounding quotes; for prose, without case, surplus space and the final full stop.
fn bare(text: &str, literal: bool) -> String {
    if literal {
        return unquoted(&spaced_by_nothing(text.trim().trim_matches('`')).replace('"', "'")).to_owned();
    }
    let plain = plain(text).to_lowercase();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let text = words.join(" ");
    unquoted(text.trim_matches(['`', '$', ' ']).trim_end_matches(['.', ',', ';', '!', ' '])).to_owned()
}

/// A program's value without the space between its parts; that within quotes stays.
fn spaced_by_nothing(value: &str) -> String {
    let mut quote = None;
    let mut keep = |c: char| {
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        quote.is_some() || !c.is_whitespace()
    };
    if value.starts_with(['[', '{', '(']) { value.chars().filter(|c| keep(*c)).collect() } else { value.to_owned() }
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text: &str| text.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}
