//! Halves of characters in JSON: an escape such as `\ud83d` is one of the two that stand for a character beyond the basic
//! plane. Streams are cut between the two, and answers at their last token; serde reads no text with such a half.

use bytes::Bytes;
use memchr::{memchr, memchr_iter};

/// `\ud83d` and its like.
const ESCAPE: usize = 6;

/// `json` with `\ufffd` in place of each half that is alone; `None`: there is none.
pub fn replaced(json: &[u8]) -> Option<Bytes> {
    memchr_iter(b'\\', json).find(|&at| matches!(json.get(at + 1..at + 3), Some([b'u', b'd' | b'D'])))?;
    let (mut out, mut at) = (json.to_vec(), 0);
    while let Some(escape) = json.get(at..).and_then(|rest| memchr(b'\\', rest)).map(|offset| at + offset) {
        at = escape + ESCAPE;
        match unit(json, escape) {
            None => at = escape + 2,
            Some(0xD800..=0xDBFF) if matches!(unit(json, at), Some(0xDC00..=0xDFFF)) => at += ESCAPE,
            Some(0xD800..=0xDFFF) => out[escape..at].copy_from_slice(br"\ufffd"),
            Some(_) => {}
        }
    }
    (out != json).then(|| out.into())
}

/// The UTF-16 unit that an escape at `at` stands for, if one does.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Option<String> {
        replaced(json.as_bytes()).map(|out| String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn halves_that_are_alone_are_replaced_and_pairs_stay() {
        assert_eq!(read(r#""a\ud83d""#).as_deref(), Some(r#""a\ufffd""#));
        assert_eq!(read(r#""\uDE00\u00e9\ud83d\ud83d\ude00""#).as_deref(), Some(r#""\ufffd\u00e9\ufffd\ud83d\ude00""#));
        for whole in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""plain""#, r#""\u00e9""#, r"\ud8", r"\"] {
            assert_eq!(read(whole), None, "{whole}");
        }
    }

    proptest! {
        #[test]
        fn any_units_can_be_read(units in proptest::collection::vec(0xD700u16..0xE100, 0..12)) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{escapes}\"");
            let out = replaced(json.as_bytes()).unwrap_or_else(|| json.clone().into());
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}
