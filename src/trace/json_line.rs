//! A line of JSON, read so that an error names the field, what is wrong with it and what to do about it.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// Reads a line, with or without its line break. For other mistakes, `not_one` says what the line should have been.
///
/// # Errors
/// What is wrong with it: `outcomes.m.quality is NaN; it must be a number from 0 to 1`. The caller adds the file and
/// line.
pub fn read<'a, T: Deserialize<'a>>(line: &'a [u8], not_one: impl FnOnce(&str) -> String) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| explain::<T>(line, &error, not_one))
}

/// Reads it again to locate the mistake, so that correct lines do not pay for that.
fn explain<'a, T: Deserialize<'a>>(
    line: &'a [u8],
    error: &serde_json::Error,
    not_one: impl FnOnce(&str) -> String,
) -> String {
    let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(line));
    let path = again.err().map(|error| error.path().to_string());
    // The path of a value without a name is `.` or `?`.
    let path =
        path.map(|path| path.strip_suffix(".?").unwrap_or(&path).to_owned()).filter(|path| path != "." && path != "?");
    if error.is_eof() {
        let (what, place) =
            (if line.ends_with(b"\n") { "line" } else { "file" }, path.map(|path| format!(", in {path}")));
        return format!("the {what} is cut off here{}; fetch the file again", place.unwrap_or_default());
    }
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
    let Some(path) = path else { return not_one(said) };
    let wrong = said.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "));
    match (not_finite(line, error.column()), wrong) {
        (Some(number), _) => format!("{path} is {number}; it must be {}", wanted(&path, "f64")),
        (None, Some((found, expected))) => format!("{path} is {found}; it must be {}", wanted(&path, expected)),
        (None, None) => not_one(&format!("{path}: {said}")),
    }
}

/// What a field must be, in plain words.
fn wanted<'a>(path: &str, expected: &'a str) -> &'a str {
    let is_share =
        path.rsplit('.').next().is_some_and(|field| ["quality", "propensity", "difficulty"].contains(&field));
    match expected {
        "f64" | "f32" if is_share => "a number from 0 to 1",
        "f64" | "f32" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    }
}

/// The word around `column` (from 1) that other languages read as a number and JSON does not: `NaN`, `-Infinity`, `1e400`.
fn not_finite(line: &[u8], column: usize) -> Option<&str> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let around = |at: usize| {
        let begin = line[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
        let length = line[begin..].iter().take_while(|byte| is_part(byte)).count();
        std::str::from_utf8(&line[begin..begin + length]).ok()
    };
    let mut words = (column.saturating_sub(2)..=column).filter(|at| *at <= line.len()).filter_map(around);
    words.find(|word| word.parse::<f64>().is_ok_and(|number| !number.is_finite()))
}

/// The fields of an object, in their order; a repeated field is a mistake.
#[derive(Debug)]
pub struct Fields<V>(pub Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Fields<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once(PhantomData))
    }
}

struct Once<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Once<V> {
    type Value = Fields<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<V>, A::Error> {
        let (mut fields, mut names) = (Vec::new(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{name:?} is there twice; leave one of them out")));
            }
            fields.push((name, map.next_value()?));
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "read for its mistakes")]
    struct Line {
        outcomes: Fields<Outcome>,
        n: Option<u32>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "read for its mistakes")]
    struct Outcome {
        quality: f64,
        usd: f64,
    }

    #[test]
    fn a_mistake_is_named_by_its_field_and_in_no_programmers_words() {
        for (line, expected) in [
            (
                r#"{"outcomes": {"a.b": {"quality": NaN, "usd": 1}}}"#,
                "outcomes.a.b.quality is NaN; it must be a number from 0 to 1",
            ),
            (r#"{"outcomes": {"m": {"quality":NaN}}}"#, "outcomes.m.quality is NaN; it must be a number from 0 to 1"),
            (
                r#"{"outcomes": {"m": {"usd":-Infinity,"quality":1}}}"#,
                "outcomes.m.usd is -Infinity; it must be a number",
            ),
            (
                r#"{"outcomes": {"m": {"quality": 1e400}}}"#,
                "outcomes.m.quality is 1e400; it must be a number from 0 to 1",
            ),
            (
                r#"{"outcomes": {"m": {"quality":1e400, "usd": 1}}}"#,
                "outcomes.m.quality is 1e400; it must be a number from 0 to 1",
            ),
            (
                r#"{"outcomes": {"m": {"quality": null}}}"#,
                "outcomes.m.quality is null; it must be a number from 0 to 1",
            ),
            (
                r#"{"outcomes": {"m": {"quality": "good"}}}"#,
                r#"outcomes.m.quality is string "good"; it must be a number from 0 to 1"#,
            ),
            (r#"{"outcomes": {"m": 7}}"#, "outcomes.m is integer `7`; it must be an object"),
            (r#"{"outcomes": {}, "n": "x"}"#, r#"n is string "x"; it must be a whole number from 0 on"#),
            (r#"{"outcomes": {"m": {"quality": 1}}}"#, "no line (outcomes.m: missing field `usd`)"),
            (
                r#"{"outcomes": {"m": {"quality": 1, "usd": 1}, "m": 1}}"#,
                r#"no line (outcomes: "m" is there twice; leave one of them out)"#,
            ),
            (r#"{"outcomes": {}, "outcomes": {}}"#, "no line (duplicate field `outcomes`)"),
            (r#"{"outcomes": {}} x"#, "no line (trailing characters)"),
            ("{}", "no line (missing field `outcomes`)"),
            (
                r#"{"outcomes": {"m": {"quality": 0."#,
                "the file is cut off here, in outcomes.m.quality; fetch the file again",
            ),
            (
                "{\"outcomes\": {\"m\n",
                "no line (outcomes: control character (\\u0000-\\u001F) found while parsing a string)",
            ),
            ("{\"outcomes\": {\n", "the line is cut off here, in outcomes; fetch the file again"),
        ] {
            let said = read::<Line>(line.as_bytes(), |said| format!("no line ({said})")).unwrap_err();
            assert_eq!(said, expected, "{line}");
        }
        assert!(
            read::<Line>(b"{\"outcomes\": {\"m\": {\"quality\": 1, \"usd\": 0}}, \"more\": NULL}\n", str::to_owned)
                .is_err()
        );
        assert!(
            read::<Line>(b"{\"outcomes\": {\"m\": {\"quality\": 1, \"usd\": 0}}, \"more\": null}\n", str::to_owned)
                .is_ok()
        );
    }
}
