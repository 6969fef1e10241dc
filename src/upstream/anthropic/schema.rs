//! JSON schemas in the part of the language that Claude's structured outputs hold to.
//!
//! What that part lacks (ranges, lengths, patterns) is moved into descriptions, as Anthropic's own SDKs do it, so that
//! the model still reads of it.

use serde_json::{Map, Value, json};

use super::model::Claude;
use crate::api::conversation::Tool;

const KEPT: [&str; 9] =
    ["type", "enum", "const", "description", "title", "required", "$ref", "additionalProperties", "default"];
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// What a tool takes, and whether the model, if it is a Claude, is held to it.
pub fn of_tool(tool: &Tool, claude: Option<Claude>) -> (Value, bool) {
    let mut schema = tool.parameters.clone().filter(Value::is_object).unwrap_or_else(|| json!({}));
    if schema.get("type").is_none() {
        schema["type"] = "object".into();
    }
    let strict = claude.filter(|_| tool.strict == Some(true));
    match strict.and_then(|claude| held_to(&schema, claude)) {
        Some(schema) => (schema, true),
        None => (schema, false),
    }
}

/// The schema as `claude` is held to it; `None`: it cannot be.
pub fn held_to(schema: &Value, claude: Claude) -> Option<Value> {
    (claude.structured() && is_closed(schema)).then(|| supported(schema))
}

/// Whether every object in it says `additionalProperties: false`: no other can be held to.
fn is_closed(schema: &Value) -> bool {
    let Value::Object(map) = schema else { return true };
    let object = map.contains_key("properties") || names_object(&map.get("type").cloned().unwrap_or_default());
    let closed = map.get("additionalProperties") == Some(&Value::Bool(false));
    (closed || !object) && map.iter().all(|(key, value)| children(key, value).into_iter().all(is_closed))
}

/// The schema with nothing in it that would be refused.
fn supported(schema: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut out = Map::new();
    let mut told = vec![];
    for (key, value) in map {
        match key.as_str() {
            "properties" | "$defs" | "definitions" => put(&mut out, key, each_value(value)),
            "items" => put(&mut out, key, supported(value)),
            "anyOf" | "allOf" => put(&mut out, key, each_item(value)),
            "oneOf" => put(&mut out, "anyOf", each_item(value)),
            "$schema" | "$id" => {}
            _ if is_kept(key, value) => put(&mut out, key, value.clone()),
            _ => told.push(format!("{key}: {value}")),
        }
    }
    if !told.is_empty() {
        let before = out.get("description").and_then(Value::as_str).map_or(String::new(), |text| format!("{text}\n\n"));
        out.insert("description".into(), format!("{before}{{{}}}", told.join(", ")).into());
    }
    Value::Object(out)
}

fn is_kept(key: &str, value: &Value) -> bool {
    match key {
        "format" => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        "minItems" => value.as_u64().is_some_and(|n| n <= 1),
        key => KEPT.contains(&key),
    }
}

fn names_object(kind: &Value) -> bool {
    kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

/// The schemas directly below `key`.
fn children<'v>(key: &str, value: &'v Value) -> Vec<&'v Value> {
    match (key, value) {
        ("properties" | "$defs" | "definitions", Value::Object(map)) => map.values().collect(),
        ("anyOf" | "allOf" | "oneOf", Value::Array(list)) => list.iter().collect(),
        ("items", value) => vec![value],
        _ => vec![],
    }
}

fn put(out: &mut Map<String, Value>, key: &str, value: Value) {
    out.insert(key.to_owned(), value);
}

fn each_value(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(name, schema)| (name.clone(), supported(schema))).collect(),
        other => other.clone(),
    }
}

fn each_item(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(supported).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_held_to_is_told_in_the_description() {
        let schema = json!({"$schema": "x", "type": "object", "additionalProperties": false, "required": ["n"],
            "properties": {
                "n": {"type": "integer", "description": "A number", "minimum": 1, "maximum": 9},
                "s": {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "regex"}]},
                "l": {"type": "array", "minItems": 2, "items": {"type": "string", "maxLength": 3}}}});
        let expected = json!({"type": "object", "additionalProperties": false, "required": ["n"],
            "properties": {
                "n": {"type": "integer", "description": "A number\n\n{minimum: 1, maximum: 9}"},
                "s": {"anyOf": [{"type": "string", "format": "date"},
                                {"type": "string", "description": "{format: \"regex\"}"}]},
                "l": {"type": "array", "items": {"type": "string", "description": "{maxLength: 3}"},
                      "description": "{minItems: 2}"}}});
        assert_eq!(supported(&schema), expected);
        assert!(is_closed(&schema));
    }

    #[test]
    fn an_open_object_is_found_however_deep() {
        for open in [
            json!({"type": "object"}),
            json!({"properties": {}}),
            json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}}),
            json!({"type": "array", "items": {"type": "object"}}),
            json!({"$defs": {"a": {"anyOf": [{"type": "object"}]}}, "type": "string"}),
        ] {
            assert!(!is_closed(&open), "{open}");
        }
        assert!(is_closed(&json!({"type": "array", "items": {"type": "string"}})));
    }
}
