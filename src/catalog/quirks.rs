//! How a provider's wire differs from OpenAI's own, as data: `models/providers.toml` has what is known, and a
//! configuration may say more.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Fields of messages that this gateway's answers have beyond OpenAI's, and clients send back, and that nobody who speaks
/// OpenAI's wire reads: places in documents, Mistral's other chunks, what was done with tools of another protocol, that a
/// call failed, what a search found in Anthropic's form, signed thoughts in Anthropic's form.
pub const OURS: [&str; 6] =
    ["citations", "content_chunks", "hosted_items", "is_error", "search_result", "thinking_blocks"];

/// What is different at a provider that otherwise speaks OpenAI's wire. The default is no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Where chat is below the base URL; `chat/completions` without it.
    pub chat_path: Option<String>,
    /// Where embeddings are below the base URL; `embeddings` without it.
    pub embeddings_path: Option<String>,
    /// The header that the key stands in, alone; in `authorization` it is a bearer token. The wire's own without it.
    pub key_header: Option<String>,
    /// Its other names of top-level fields: OpenAI's → its own. Where a request has both, the renamed one holds.
    pub rename: BTreeMap<String, String>,
    /// Its other words for the values of a top-level field: field → OpenAI's word → its own.
    pub values: BTreeMap<String, BTreeMap<String, String>>,
    /// Top-level fields that it knows nothing like.
    pub unsupported: Option<Vec<String>>,
    /// False: it takes no `stream_options`.
    pub stream_usage: Option<bool>,
    /// The role that it wants in place of `developer`.
    pub developer_role: Option<String>,
    /// The only fields of a message that it takes; empty: all.
    pub message_fields: Vec<String>,
    /// Fields of messages, of their parts and calls, and of tools that other providers read and this one would refuse:
    /// left out. Without it, those of [`OURS`].
    pub foreign: Option<Vec<String>>,
    /// A tool's result is a text there: its pictures follow in a message of the user's.
    pub text_results: bool,
    /// True: it knows functions alone, no custom tools, and no choice of those that are allowed.
    pub functions_only: Option<bool>,
    /// Behind tools' results comes the assistant: where it did not go on itself, a word of it stands between.
    pub answered_results: bool,
    /// The field of an assistant's message that tells the model to go on with it: in the last one it is true.
    pub prefill: Option<String>,
    /// Files and sound stand in their parts alone, as Mistral has them: `document_url` with `document_name`, `file_id`,
    /// and `input_audio` that is a string.
    pub flat_media: bool,
    /// It is told how hard to think by `reasoning_effort` alone: OpenRouter's `reasoning` becomes that.
    pub effort_alone: bool,
    /// Functions must have `parameters`, even where they take nothing.
    pub parameters: bool,
    /// Its tool call ids have exactly so many letters and digits, at most 10.
    pub tool_call_id_length: Option<usize>,
    /// They have so many characters at most, 10 or more.
    pub tool_call_id_max: Option<usize>,
    /// It routes itself: `provider` is for it to read.
    pub routes_itself: bool,
}

impl Quirks {
    /// These, and where they say nothing, `known`.
    #[must_use]
    pub fn or(self, known: &Self) -> Self {
        let mut rename = known.rename.clone();
        // Two that name each other would swap the fields.
        rename.retain(|_, theirs| !self.rename.contains_key(theirs));
        rename.extend(self.rename);
        let known = known.clone();
        Self {
            chat_path: self.chat_path.or(known.chat_path),
            embeddings_path: self.embeddings_path.or(known.embeddings_path),
            key_header: self.key_header.or(known.key_header),
            rename,
            unsupported: self.unsupported.or(known.unsupported),
            stream_usage: self.stream_usage.or(known.stream_usage),
            developer_role: self.developer_role.or(known.developer_role),
            foreign: self.foreign.or(known.foreign),
            functions_only: self.functions_only.or(known.functions_only),
            ..known
        }
    }

    /// Whether it knows no tools but functions.
    pub fn functions_only(&self) -> bool {
        self.functions_only == Some(true)
    }

    /// Top-level fields that it knows nothing like.
    pub fn unsupported(&self) -> &[String] {
        self.unsupported.as_deref().unwrap_or_default()
    }
}
