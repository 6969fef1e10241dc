//! Turns → `system` and `messages`, as Bedrock reads them.

use serde_json::{Value, json};

use super::document;
use crate::api::conversation::{Part, PartKind, Reasoning, Source, ToolCall, Turn};
use crate::api::error::BadRequest;
use crate::api::fields::with;
use crate::upstream::anthropic::answered::{Answered, Stretch};
use crate::upstream::anthropic::messages::{Messages, Place, input};

/// The longest id of a call.
const MAX_ID: usize = 64;
/// What the user says where the assistant speaks first, which Bedrock refuses.
const OPENING: &str = "(You begin.)";
/// Converse's `AudioFormat`.
const SOUNDS: [&str; 15] =
    ["mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm"];

/// What a model reads beside what all models do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Marks: of what is to be cached, of calls that failed.
    pub marks: bool,
    /// What a search found, as such: to other models it is text.
    pub search_results: bool,
}

/// As [Anthropic's](Messages::write): system turns to the front, turns of one side merged, parts without any text left
/// out. The user speaks first, and to documents at least their names.
///
/// # Errors
/// A part that Bedrock cannot be given.
pub fn write(turns: &[Turn], reads: Reads) -> Result<Messages, BadRequest> {
    let (mut out, mut writer) = (Messages::default(), Writer { reads, documents: 0 });
    for (i, turn) in turns.iter().enumerate() {
        match turn {
            Turn::System { parts } => out.system.extend(writer.texts(i, parts)?),
            Turn::User { parts, .. } => out.say("user", titled(writer.blocks(i, parts)?)),
            Turn::Assistant { parts, reasoning, calls, hosted, .. } => {
                let blocks = writer.answered(i, Answered { parts, reasoning, calls, hosted })?;
                if out.is_silent() && !blocks.is_empty() {
                    out.say("user", vec![json!({"text": OPENING})]);
                }
                out.say("assistant", blocks);
            }
            Turn::Tool { call_id, parts, failed, .. } => out.say("user", writer.result(i, call_id, parts, *failed)?),
        }
    }
    Ok(out)
}

/// Bedrock refuses documents that no text goes with.
fn titled(mut blocks: Vec<Value>) -> Vec<Value> {
    let name = blocks.iter().find_map(|block| block["document"]["name"].as_str());
    let title = name.filter(|_| blocks.iter().all(|block| block.get("text").is_none()));
    let title = title.map(|name| json!({"text": name}));
    blocks.extend(title);
    blocks
}

/// Turns → blocks.
struct Writer {
    reads: Reads,
    /// So far: each needs a name of its own.
    documents: usize,
}

impl Writer {
    fn blocks(&mut self, message: usize, parts: &[Part]) -> Result<Vec<Value>, BadRequest> {
        let mut out = vec![];
        for (part, given) in parts.iter().enumerate() {
            if let Some(block) = self.block(Place { message, part }, given)? {
                out.push(block);
                out.extend(given.cache.as_ref().filter(|_| self.reads.marks).map(cache_point));
            }
        }
        Ok(out)
    }

    fn answered(&mut self, message: usize, answered: Answered<'_>) -> Result<Vec<Value>, BadRequest> {
        let mut all = vec![];
        for piece in answered.in_order(None) {
            match piece {
                Stretch::Thoughts(these) => all.extend(these.iter().filter_map(thought)),
                Stretch::Texts(these) => all.extend(self.texts(message, &these)?),
                Stretch::Call(call) => all.extend(self.call(call)),
                Stretch::Item(_) => {}
            }
        }
        Ok(all)
    }

    fn texts(&mut self, message: usize, parts: &[Part]) -> Result<Vec<Value>, BadRequest> {
        if parts.iter().any(|part| part.words().is_none() || part.search_result.is_some()) {
            let field = format!("messages[{message}].content");
            let what = "pictures, sound, files and search results";
            let problem = format!("{field}: Bedrock takes {what} from users and tools only");
            return Err(BadRequest::field(field, problem));
        }
        self.blocks(message, parts)
    }

    /// `None`: the part says nothing.
    fn block(&mut self, place: Place, part: &Part) -> Result<Option<Value>, BadRequest> {
        Ok(match &part.kind {
            PartKind::Text(text) | PartKind::Refusal(text) if text.trim().is_empty() => None,
            PartKind::Text(text) | PartKind::Refusal(text) => {
                let found = part.search_result.as_ref().filter(|_| self.reads.search_results);
                Some(found.map_or_else(|| json!({"text": text}), |found| search_result(found, part.citations.as_ref())))
            }
            PartKind::Image { source, .. } => Some(picture(place, source)?),
            PartKind::Audio { data, format } => Some(sound(place, data, format)?),
            PartKind::File { source, .. } if is_picture(source) => Some(picture(place, source)?),
            PartKind::File { source, name } => {
                self.documents += 1;
                let mut block = document::block(place, source, name.as_deref(), self.documents)?;
                part.citations.iter().for_each(|citations| block["document"]["citations"] = citations.clone());
                Some(block)
            }
        })
    }

    fn call(&self, call: &ToolCall) -> Vec<Value> {
        let block = json!({"toolUseId": id(&call.id), "name": call.name, "input": input(&call.arguments)});
        let cache = call.cache.as_ref().filter(|_| self.reads.marks);
        std::iter::once(json!({"toolUse": block})).chain(cache.map(cache_point)).collect()
    }

    fn result(
        &mut self,
        message: usize,
        call_id: &str,
        parts: &[Part],
        failed: bool,
    ) -> Result<Vec<Value>, BadRequest> {
        if let Some(part) = parts.iter().position(|part| matches!(part.kind, PartKind::Audio { .. })) {
            return Err(Place { message, part }.problem("Bedrock takes no sound from tools; send it as the user"));
        }
        let plain: Vec<Part> = parts.iter().map(|part| Part { cache: None, ..part.clone() }).collect();
        let content = self.blocks(message, &plain)?;
        let cache = parts.iter().rev().find_map(|part| part.cache.as_ref()).filter(|_| self.reads.marks);
        let mut result = json!({"toolResult": {"toolUseId": id(call_id), "content": content}});
        if failed && self.reads.marks {
            result["toolResult"]["status"] = "error".into();
        }
        Ok(std::iter::once(result).chain(cache.map(cache_point)).collect())
    }
}

/// What Anthropic's `cache_control` says, said behind the block.
pub fn cache_point(control: &Value) -> Value {
    match control["ttl"].as_str() {
        Some(ttl) => json!({"cachePoint": {"type": "default", "ttl": ttl}}),
        None => json!({"cachePoint": {"type": "default"}}),
    }
}

/// Anthropic's block in Bedrock's words.
fn search_result(found: &Value, citations: Option<&Value>) -> Value {
    let texts = found["content"].as_array().into_iter().flatten();
    let content: Vec<Value> = texts.map(|block| json!({"text": block["text"]})).collect();
    let out = json!({"source": found["source"], "title": found["title"], "content": content});
    json!({"searchResult": with(out, "citations", citations)})
}

fn is_picture(source: &Source) -> bool {
    matches!(source, Source::Base64 { media_type, .. } if media_type.starts_with("image/"))
}

fn picture(place: Place, source: &Source) -> Result<Value, BadRequest> {
    let Source::Base64 { media_type, data } = source else {
        return Err(place.problem("Bedrock takes pictures as bytes only; send a data: URL, or ask another model"));
    };
    let format = media_type.trim_start_matches("image/");
    match format {
        "png" | "jpeg" | "gif" | "webp" => Ok(json!({"image": {"format": format, "source": {"bytes": data}}})),
        _ => Err(place.problem(&format!("Bedrock sees PNG, JPEG, GIF and WebP, and not {media_type}"))),
    }
}

fn sound(place: Place, data: &str, format: &str) -> Result<Value, BadRequest> {
    if !SOUNDS.contains(&format) {
        return Err(place.problem(&format!("Bedrock hears {}, and not {format}", SOUNDS.join(", "))));
    }
    Ok(json!({"audio": {"format": format, "source": {"bytes": data}}}))
}

/// Thoughts without their signature are refused.
fn thought(reasoning: &Reasoning) -> Option<Value> {
    match reasoning {
        Reasoning::Thinking { thinking, signature } if reasoning.is_signed() => {
            let thought = json!({"text": thinking, "signature": signature});
            Some(json!({"reasoningContent": {"reasoningText": thought}}))
        }
        Reasoning::RedactedThinking { data } => Some(json!({"reasoningContent": {"redactedContent": data}})),
        Reasoning::Thinking { .. } | Reasoning::Sealed(_) => None,
    }
}

/// Ids of calls that other providers gave may hold more than Bedrock takes, and be longer: their ends tell them apart.
fn id(id: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "_.:-".contains(c) { c } else { '_' };
    let fit: Vec<char> = id.chars().map(fit).collect();
    fit[fit.len().saturating_sub(MAX_ID)..].iter().collect()
}
