use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::api::metadata::Metadata;
use crate::catalog::ModelId;

/// An answer to a request with this `response_format`.
fn answer(format: Value, content: &str) -> Trace {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "?"}], "response_format": format});
    let request = Bytes::from(body.to_string());
    Trace {
        id: Uuid::nil(),
        at_ms: 0,
        owner: None,
        route: Some("auto".into()),
        metadata: Metadata::default(),
        decision: None,
        bundle: None,
        attempts: Vec::new(),
        model: Some(ModelId { provider: "p".into(), model: "m".into() }),
        outcome: Outcome::Answered,
        needs: ChatRequest::parse(&request).unwrap().needs,
        stream: false,
        usage: None,
        cost_usd: None,
        first_byte_us: None,
        total_us: 0,
        request,
        reply: ReplyText { content: content.into(), finish_reason: Some("stop".into()), ..ReplyText::default() },
    }
}

fn text(content: &str) -> Trace {
    answer(json!({"type": "text"}), content)
}

fn object(content: &str) -> Trace {
    answer(json!({"type": "json_object"}), content)
}

fn following(schema: &Value, content: &str) -> Trace {
    answer(json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}), content)
}

fn score(trace: &Trace) -> Option<f64> {
    Format::default().score(trace).map(|verdict| verdict.value)
}

#[test]
fn text_is_well_formed() {
    assert_eq!(score(&text("yes")), Some(1.0));
}

#[test]
fn nothing_is_said_of_an_answer_that_the_client_gave_hardly_any_tokens() {
    for (limit, expected) in [(1, None), (63, None), (64, Some(0.0))] {
        let mut trace = text("Yes, but");
        trace.request = json!({"model": "m", "messages": [{"role": "user"}], "max_tokens": limit}).to_string().into();
        trace.reply.finish_reason = Some("length".into());
        assert_eq!(score(&trace), expected, "{limit}");
    }
}

#[test]
fn nothing_is_said_of_an_empty_text_where_a_picture_was_asked_for() {
    let mut trace = text("");
    trace.request = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user"}],"modalities":["image","text"]}"#);
    assert_eq!(score(&trace), None);
    trace.reply.content = "A cake.".into();
    assert_eq!(score(&trace), Some(1.0));
    trace.reply.refusal = true;
    assert_eq!(score(&trace), Some(0.0));
}

#[test]
fn an_empty_answer_is_not_but_a_tool_call_is() {
    let mut trace = text(" \n");
    assert_eq!(score(&trace), Some(0.0));
    trace.reply.tool_calls = true;
    assert_eq!(score(&trace), Some(1.0));
}

#[test]
fn refusals_and_answers_cut_off_are_not() {
    let mut refused = text("I cannot");
    refused.reply.refusal = true;
    assert_eq!(score(&refused), Some(0.0));
    for reason in ["content_filter", "length"] {
        let mut trace = text("The first");
        trace.reply.finish_reason = Some(reason.into());
        assert_eq!(score(&trace), Some(0.0), "{reason}");
    }
}

#[test]
fn nothing_is_said_of_what_is_not_the_models_doing() {
    for outcome in [Outcome::ClientGone, Outcome::Cut, Outcome::Failed] {
        let mut trace = text("");
        trace.outcome = outcome;
        assert_eq!(score(&trace), None, "{outcome:?}");
    }
}

#[test]
fn json_mode_wants_an_object() {
    assert_eq!(score(&object("{\"a\": 1}")), Some(1.0));
    assert_eq!(score(&object("[1]")), Some(0.0));
    assert_eq!(score(&object("```json\n{}\n```")), Some(0.0));
}

#[test]
fn a_schema_is_held_against_the_answer() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    assert_eq!(score(&following(&schema, "{\"n\": 1}")), Some(1.0));
    assert_eq!(score(&following(&schema, "{\"n\": \"1\"}")), Some(0.0));
    assert_eq!(score(&following(&schema, "{}")), Some(0.0));
    assert_eq!(score(&following(&schema, "n = 1")), Some(0.0));
}

#[test]
fn a_truncated_text_says_nothing_of_its_json() {
    let mut trace = object("{\"a\": ");
    trace.reply.truncated = true;
    assert_eq!(score(&trace), None);
}

#[test]
fn a_schema_that_is_none_says_nothing() {
    assert_eq!(score(&following(&json!({"type": 7}), "{}")), None);
    assert_eq!(score(&following(&json!({"$ref": "https://example.com/schema.json"}), "{}")), None);
    assert_eq!(score(&following(&json!({"description": "x".repeat(MAX_SCHEMA_BYTES)}), "{}")), None);
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false});
    assert_eq!(score(&following(&tree, "{\"next\": {\"next\": {}}}")), Some(1.0));
    assert_eq!(score(&following(&tree, "{\"next\": {\"other\": {}}}")), Some(0.0));
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}),
        json!({"$dynamicRef": "#"}),
        json!({"if": {"$ref": "#"}, "then": false}),
        json!({"unevaluatedProperties": false, "allOf": [{"$ref": "#"}]}),
    ] {
        // The scorer gives a verdict, whichever it is.
        let _ = score(&following(&schema, "{\"a\": {\"a\": 1}}"));
    }
}

#[test]
fn a_schema_whose_work_doubles_at_every_step_is_left_alone() {
    let mut definitions = serde_json::Map::new();
    for n in 0..40 {
        let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
        definitions.insert(n.to_string(), json!({"anyOf": [next, next]}));
    }
    definitions.insert("40".into(), json!(false));
    assert_eq!(score(&following(&json!({"$ref": "#/$defs/0", "$defs": definitions}), "{}")), None);
}

#[test]
fn a_schema_is_compiled_once_and_not_for_ever_kept() {
    let mut format = Format::default();
    for n in 0..2 * CACHED_SCHEMAS {
        let trace = following(&json!({"maxProperties": n}), "{}");
        assert_eq!(format.score(&trace).map(|v| v.value), Some(1.0));
        assert_eq!(format.score(&trace).map(|v| v.value), Some(1.0));
    }
    assert_eq!(format.schemas.compiled.len(), CACHED_SCHEMAS);
    assert_eq!(format.schemas.order.len(), CACHED_SCHEMAS);
}
