//! `format`: does an answer have the form that was asked for? Whoever wrote it.
//!
//! 0: empty without a tool call, refused, cut off by the token limit, or not the JSON that `response_format` asked for.
//! 1: none of these. No verdict where the request failed, the client left or the upstream broke off, for none of that
//! is the model's doing; nor where the client gave hardly any tokens, the trace has only part of the text, the text is
//! empty and pictures were asked for, or the schema is beyond the bounds.

use std::collections::{HashMap, VecDeque};

use jsonschema::Validator;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Scorer, Verdict, reward};
use crate::api::chat::ChatRequest;
use crate::trace::{Outcome, ReplyText, Trace};

/// An answer that was allowed fewer tokens is cut off because the client wanted it so, as a ping or a first word.
const LEAST_TOKENS: u32 = 64;
/// Longer answers are only parsed as JSON, not validated against their schema.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// Larger schemas are not compiled.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// The most of (references in the schema) × (depth of the answer + 1). Each reference can double the work at each
/// level: at this bound the worst possible schema costs 3^(40/3), about two million steps.
const MAX_BRANCHING: usize = 40;
/// Compiled schemas that are kept; the oldest is dropped.
const CACHED_SCHEMAS: usize = 64;

/// The scorer, with the schemas that it has compiled.
#[derive(Debug, Default)]
pub struct Format {
    schemas: Schemas,
}

impl Scorer for Format {
    fn name(&self) -> &'static str {
        reward::FORMAT
    }

    fn score(&mut self, trace: &Trace) -> Option<Verdict> {
        if trace.outcome != Outcome::Answered {
            return None;
        }
        self.well_formed(trace).map(|good| Verdict { value: f64::from(u8::from(good)) })
    }
}

impl Format {
    fn well_formed(&mut self, trace: &Trace) -> Option<bool> {
        let reply = &trace.reply;
        match reply.finish_reason.as_deref() {
            Some("length") if wants_few_tokens(trace) => return None,
            Some("content_filter" | "length") => return Some(false),
            _ if reply.refusal => return Some(false),
            _ => {}
        }
        if reply.tool_calls {
            return Some(true);
        }
        if reply.truncated {
            return if trace.needs.json { None } else { Some(true) };
        }
        if reply.content.trim().is_empty() {
            return if wants_pictures(trace) { None } else { Some(false) };
        }
        if trace.needs.json { self.json(trace, reply) } else { Some(true) }
    }

    fn json(&mut self, trace: &Trace, reply: &ReplyText) -> Option<bool> {
        let Ok(answer) = serde_json::from_str::<Value>(&reply.content) else {
            return Some(false);
        };
        if !trace.needs.json_schema {
            return Some(answer.is_object());
        }
        if reply.content.len() > MAX_ANSWER_BYTES {
            return None;
        }
        let schema = schema(trace)?;
        if references(&schema) * (depth(&answer) + 1) > MAX_BRANCHING {
            return None;
        }
        Some(self.schemas.compiled(&schema)?.is_valid(&answer))
    }
}

fn wants_few_tokens(trace: &Trace) -> bool {
    let limit = ChatRequest::parse(&trace.request).ok().and_then(|request| request.max_output_tokens);
    limit.is_some_and(|limit| limit < LEAST_TOKENS)
}

/// An answer may then be a picture, which a trace does not keep.
fn wants_pictures(trace: &Trace) -> bool {
    let request = ChatRequest::parse(&trace.request).ok();
    let modalities = request.and_then(|request| request.field::<Vec<String>>("modalities", "a list").ok()?);
    modalities.is_some_and(|modalities| modalities.iter().any(|modality| modality == "image"))
}

/// `response_format.json_schema.schema`, if present and of bounded size.
fn schema(trace: &Trace) -> Option<Value> {
    let request = ChatRequest::parse(&trace.request).ok()?;
    let mut format: Value = serde_json::from_slice(bounded(request.raw("response_format")?)?).ok()?;
    format.get_mut("json_schema")?.get_mut("schema").map(Value::take)
}

/// How many references within itself a schema has.
fn references(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => {
            let own = members.keys().filter(|name| name.ends_with("Ref") || *name == "$ref").count();
            own + members.values().map(references).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(references).sum(),
        _ => 0,
    }
}

/// 0 for a value without members.
fn depth(value: &Value) -> usize {
    let inner = |deepest: Option<usize>| deepest.map_or(0, |depth| depth + 1);
    match value {
        Value::Object(members) => inner(members.values().map(depth).max()),
        Value::Array(items) => inner(items.iter().map(depth).max()),
        _ => 0,
    }
}

fn bounded(raw: &[u8]) -> Option<&[u8]> {
    (raw.len() <= MAX_SCHEMA_BYTES).then_some(raw)
}

type SchemaHash = [u8; 32];

/// Compiled schemas by their hash; `None`: it does not compile.
#[derive(Debug, Default)]
struct Schemas {
    compiled: HashMap<SchemaHash, Option<Validator>>,
    order: VecDeque<SchemaHash>,
}

impl Schemas {
    fn compiled(&mut self, schema: &Value) -> Option<&Validator> {
        let hash: SchemaHash = Sha256::digest(schema.to_string()).into();
        if !self.compiled.contains_key(&hash) {
            self.make_room();
            self.compiled.insert(hash, compile(schema));
            self.order.push_back(hash);
        }
        self.compiled.get(&hash)?.as_ref()
    }

    fn make_room(&mut self) {
        while self.order.len() >= CACHED_SCHEMAS {
            if let Some(oldest) = self.order.pop_front() {
                self.compiled.remove(&oldest);
            }
        }
    }
}

/// Patterns run in time linear in the text: a client's schema must not be able to hold up learning.
fn compile(schema: &Value) -> Option<Validator> {
    jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20))
        .build(schema)
        .ok()
}

#[cfg(test)]
mod tests;
