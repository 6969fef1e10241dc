//! Files, as Bedrock's document blocks.

use serde_json::{Value, json};

use crate::api::conversation::Source;
use crate::api::error::BadRequest;
use crate::upstream::anthropic::messages::Place;

/// The longest name of a document.
const MAX_NAME: usize = 200;
/// Media types and Bedrock's names for them.
const FORMATS: [(&str, &str); 10] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("text/x-markdown", "md"),
];

/// The `number`th (from 1) document of a request.
///
/// # Errors
/// It is not in the request itself, or of a kind that Bedrock does not read.
pub fn block(place: Place, source: &Source, name: Option<&str>, number: usize) -> Result<Value, BadRequest> {
    let Source::Base64 { media_type, data } = source else {
        return Err(place.problem("Bedrock takes files as bytes only; send `file_data` as a data: URL"));
    };
    let Some((_, format)) = FORMATS.iter().find(|(known, _)| known == media_type) else {
        let known = FORMATS.map(|(_, format)| format)[..9].join(", ");
        return Err(place.problem(&format!("Bedrock does not read {media_type}; it reads {known}")));
    };
    Ok(json!({"document": {"format": format, "name": self::name(name, number), "source": {"bytes": data}}}))
}

/// Letters, digits, single spaces, hyphens, brackets; unique in a request, since two documents must not share one.
fn name(given: Option<&str>, number: usize) -> String {
    let given = given.map_or("document", |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let fit = |c: char| if c.is_ascii_alphanumeric() || "()[]".contains(c) { c } else { ' ' };
    let words: String = given.chars().take(MAX_NAME - 24).map(fit).collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    format!("{} {number}", words.join("-")).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_bedrock_takes() {
        assert_eq!(name(Some("Q3 report_final (2).pdf"), 1), "Q3-report-final-(2) 1");
        assert_eq!(name(Some("über/../x"), 2), "ber 2");
        assert_eq!(name(None, 3), "document 3");
        assert!(name(Some(&"a".repeat(500)), 4).len() <= MAX_NAME);
    }
}
