//! Where a reply says its final answer.

use serde_json::Value;

/// What introduces an answer, in lower case.
const PHRASES: [&str; 5] = ["answer is", "answer:", "answer =", "answer would be", "####"];
/// JSON fields that hold one.
const FIELDS: [&str; 2] = ["\"answer\"", "\"final_answer\""];
const BOX: &str = "\\boxed{";

/// A reply's final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) place: Place,
}

/// How certain it is that the text is the answer and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A JSON field or a box: the answer alone.
    Field,
    /// Behind a phrase, to the end of its line.
    Phrase,
    /// Nothing marks it.
    LastLine,
}

impl Answer {
    pub(super) fn find(reply: &str) -> Self {
        let reply = reply.replace("**", "");
        let field = || field(&reply).or_else(|| boxed(&reply)).map(|text| Self { text, place: Place::Field });
        let phrase = || phrase(&reply).map(|text| Self { text: text.into(), place: Place::Phrase });
        field().or_else(phrase).unwrap_or_else(|| Self { text: last_line(&reply).into(), place: Place::LastLine })
    }
}

/// The value of the last field whose name says that it is an answer.
fn field(reply: &str) -> Option<String> {
    let behind = FIELDS.iter().filter_map(|name| reply.rfind(name).map(|at| at + name.len())).max()?;
    let value = reply[behind..].trim_start().strip_prefix(':')?.trim_start();
    match serde_json::Deserializer::from_str(value).into_iter::<Value>().next()? {
        Ok(Value::String(text)) => Some(text),
        Ok(value) => Some(value.to_string()),
        Err(_) => loose_string(value).map(str::to_owned),
    }
}

/// A string with escapes that JSON does not have, such as LaTeX's: taken literally.
fn loose_string(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?;
    let ends = |(at, _): &(usize, &str)| !inner[..*at].ends_with('\\');
    inner.match_indices('"').find(ends).map(|(end, _)| &inner[..end])
}

/// What the last box holds.
fn boxed(reply: &str) -> Option<String> {
    let inner = &reply[reply.rfind(BOX)? + BOX.len()..];
    let mut depth = 1_usize;
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(inner[..at].to_owned());
        }
    }
    None
}

/// What follows the last phrase: the rest of its line, or the next line that is not blank.
fn phrase(reply: &str) -> Option<&str> {
    let lower = reply.to_ascii_lowercase();
    let behind = PHRASES.iter().filter_map(|phrase| lower.rfind(phrase).map(|at| at + phrase.len())).max()?;
    reply[behind..].lines().map(|line| line.trim_start_matches(':').trim()).find(|line| !line.is_empty())
}

/// The last line that is neither blank nor the end of a fenced block.
fn last_line(reply: &str) -> &str {
    let said = |line: &&str| !line.is_empty() && !line.starts_with("```");
    reply.lines().rev().map(str::trim).find(said).unwrap_or_default()
}
