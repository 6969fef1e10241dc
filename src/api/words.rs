//! The names that the gateway looks for among messages, tools and the choice of one, found in one pass when a request is
//! read: each target of a route asks for several of them, and most requests have none.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

/// In no order that matters.
const NAMES: [&str; 14] = [
    "allowed_tools",
    "cache_control",
    "citations",
    "content_chunks",
    "custom",
    "extra_content",
    "hosted",
    "hosted_items",
    "images",
    "is_error",
    "reasoning_content",
    "reasoning_details",
    "search_result",
    "thinking_blocks",
];

/// In quotes, which no text within a string has.
static QUOTED: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(NAMES.map(|name| format!("\"{name}\""))).ok());

/// Which of the names occur, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Words(u32);

impl Words {
    /// Those in a piece of JSON.
    pub fn of(json: &[u8]) -> Self {
        let all = Self(u32::MAX);
        QUOTED
            .as_ref()
            .map_or(all, |names| Self(names.find_iter(json).fold(0, |bits, at| bits | 1 << at.pattern().as_u32())))
    }

    /// Those in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// False: `name` is no field and no value there. Of a name that is not looked for, nothing is known.
    pub fn may_have(self, name: &str) -> bool {
        // One by one: nearly all are told apart by their length.
        NAMES.iter().position(|known| *known == name).is_none_or(|place| self.0 >> place & 1 == 1)
    }
}

/// Whether `name`, in quotes, is anywhere in `json`.
pub fn occurs(name: &str, json: &[u8]) -> bool {
    let is_quoted = |at: usize| json[..at].ends_with(b"\"") && json[at + name.len()..].starts_with(b"\"");
    memmem::find_iter(json, name).any(is_quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_where_it_is_a_field_or_a_value_and_not_within_a_text() {
        for name in NAMES {
            let has = |json: String| NAMES.map(|other| Words::of(json.as_bytes()).may_have(other));
            let alone = NAMES.map(|other| other == name);
            assert_eq!(has(format!("[{{\"{name}\": 1}}]")), alone, "{name}");
            assert_eq!(has(format!("[\"{name}\"]")), alone, "{name}");
            assert!(occurs(name, format!("[\"{name}\"]").as_bytes()));
            assert!(!occurs(name, format!("[\"a {name}\", \"{name}s\"]").as_bytes()));
            assert_eq!(has(format!("[\"is it \\\"{name}\\\"?\"]")), [false; NAMES.len()], "{name}");
        }
        assert!(Words::default().may_have("of a server of one's own"));
    }
}
