//! A WordPiece vocabulary as `tokenizer.json` holds it → the lines of `vocab.txt`.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

/// The file's name.
pub(super) const FILE: &str = "tokenizer.json";

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: serde_json::Value,
}

/// One piece per line, in the order of their ids.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn lines(file: &[u8]) -> Result<Cow<'static, [u8]>, String> {
    let Tokenizer { model } = serde_json::from_slice(file).map_err(|e| format!("is no tokenizer ({e})"))?;
    if model.kind.as_deref().is_some_and(|kind| kind != "WordPiece") {
        return Err(format!("holds a {} model; give a BERT, which has WordPiece", model.kind.unwrap_or_default()));
    }
    let ids: HashMap<String, u32> =
        serde_json::from_value(model.vocab).map_err(|e| format!("model.vocab must give each piece an id ({e})"))?;
    let mut pieces: Vec<(u32, String)> = ids.into_iter().map(|(piece, id)| (id, piece)).collect();
    pieces.sort_unstable();
    if let Some((at, _)) = pieces.iter().enumerate().find(|(at, (id, _))| *at as u32 != *id) {
        return Err(format!("model.vocab must have each id from 0 on once, and {at} is not there or there twice"));
    }
    Ok(Cow::Owned(pieces.into_iter().flat_map(|(_, piece)| (piece + "\n").into_bytes()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Result<String, String> {
        lines(json.as_bytes()).map(|lines| String::from_utf8(lines.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn pieces_stand_in_the_order_of_their_ids() {
        let json = r###"{"model": {"type": "WordPiece", "vocab": {"##s": 2, "[UNK]": 0, "é": 1}}}"###;
        assert_eq!(text(json), Ok("[UNK]\né\n##s\n".into()));
    }

    #[test]
    fn what_is_no_wordpiece_vocabulary_says_so() {
        let problem = |json: &str| text(json).expect_err("refused");
        assert!(problem("{").starts_with("is no tokenizer"));
        assert!(problem(r#"{"model": {"type": "BPE", "vocab": {}}}"#).contains("holds a BPE model"));
        assert!(problem(r#"{"model": {"vocab": [["a", 0.5]]}}"#).contains("give each piece an id"));
        assert!(problem(r#"{"model": {"vocab": {"a": 0, "b": 2}}}"#).contains("1 is not there"));
        assert!(problem(r#"{"model": {"vocab": {"a": 0, "b": 0}}}"#).contains("1 is not there or there twice"));
    }
}
