//! A chat request → the body of `POST /v1/messages`.

use serde_json::{Map, Value, json};

use super::messages::{Messages, called};
use super::model::{Claude, Thinking};
use super::sampling::Sampling;
use super::schema;
use super::search;
use super::thinking::{Conditions, Thoughts, max_tokens};
use crate::api::chat::ChatRequest;
use crate::api::conversation::{Controls, Conversation, Hosted, Protocol, Tool, ToolChoice, Turn, unsupported};
use crate::api::error::BadRequest;
use crate::upstream::structure::{ANSWER, ANSWER_PURPOSE, Structure};

/// The body for `model`, which writes `longest` tokens at most.
///
/// # Errors
/// What Claude, or this Claude, cannot express.
pub fn body(model: &str, longest: Option<u32>, request: &ChatRequest) -> Result<Value, BadRequest> {
    let Conversation { turns, controls } = Conversation::read_of(request, Some(Protocol::Messages))?;
    let draft = Draft { claude: Claude::named(model), request, controls: &controls, turns: &turns };
    let max_tokens = max_tokens(&controls, longest);
    let structure = draft.structure()?;
    let thoughts = draft.thoughts(&structure, max_tokens)?;

    let mut out = Map::new();
    out.insert("model".into(), model.into());
    out.insert("max_tokens".into(), max_tokens.into());
    draft.write_messages(&structure, &mut out)?;
    draft.write_tools(&structure, &mut out)?;
    write_sampling(Sampling::choose(draft.claude, &controls, request, thoughts.on())?, &mut out);
    draft.write_stop(&mut out)?;
    write_output(&structure, &thoughts, &mut out);
    if let Some(user) = controls.claude_user.as_ref().or(controls.user.as_ref()) {
        out.insert("metadata".into(), json!({"user_id": user}));
    }
    if request.stream {
        out.insert("stream".into(), true.into());
    }
    Ok(Value::Object(out))
}

struct Draft<'a> {
    claude: Claude,
    request: &'a ChatRequest,
    controls: &'a Controls,
    turns: &'a [Turn],
}

impl Draft<'_> {
    fn structure(&self) -> Result<Structure, BadRequest> {
        let asked = self.controls.asks_to_think() || self.request.raw("thinking").is_some();
        let thinks = self.claude.thinking() == Thinking::Always || asked;
        Structure::choose(self.request, &self.controls.format, thinks, |wanted| schema::held_to(wanted, self.claude))
    }

    /// As the client wrote it in Claude's own words, else as its effort says.
    fn thoughts(&self, structure: &Structure, max_tokens: u32) -> Result<Thoughts, BadRequest> {
        if let Some(config) = self.request.field("thinking", "Anthropic's object, such as {\"type\": \"adaptive\"}")? {
            let effort = self.controls.claude_effort.clone().map(Into::into);
            return Ok(Thoughts { config: Some(config), effort });
        }
        Thoughts::choose(&Conditions {
            claude: self.claude,
            controls: self.controls,
            lenient: self.request.drop_unsupported,
            structure,
            max_tokens,
            turns: self.turns,
        })
    }

    fn write_messages(&self, structure: &Structure, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        let words = structure.words().map(|words| json!({"type": "text", "text": words}));
        Messages::write(self.turns)?.put(words, out)
    }

    fn write_tools(&self, structure: &Structure, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        if let Structure::Tool(schema) = structure {
            out.insert(
                "tools".into(),
                json!([{"name": ANSWER, "description": ANSWER_PURPOSE, "input_schema": schema}]),
            );
            out.insert(
                "tool_choice".into(),
                json!({"type": "tool", "name": ANSWER, "disable_parallel_tool_use": true}),
            );
            return Ok(());
        }
        let mut tools: Vec<Value> = self.controls.tools.iter().map(|tool| self.tool(tool)).collect();
        for (place, tool) in &self.controls.hosted {
            tools.insert((*place).min(tools.len()), tool.is.clone());
        }
        tools.extend(search::tool(self.request)?);
        let mut choice = self.choice();
        if tools.is_empty() {
            // Claude refuses calls in a conversation whose tools it is not told of.
            let tool = |name| json!({"name": name, "input_schema": {"type": "object"}});
            tools = called(self.turns).into_iter().map(tool).collect();
            choice = Some(json!({"type": "none"}));
        }
        if !tools.is_empty() {
            out.insert("tools".into(), tools.into());
            out.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
        }
        Ok(())
    }

    fn tool(&self, tool: &Tool) -> Value {
        let (schema, strict) = schema::of_tool(tool, Some(self.claude));
        let mut out = json!({"name": tool.name, "input_schema": schema});
        let description = tool.description.as_ref().map(|text| Value::from(text.as_str()));
        let more = [
            ("description", description),
            ("strict", strict.then_some(true.into())),
            ("cache_control", tool.cache.clone()),
        ];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            out[name] = value;
        }
        Hosted::fields(Protocol::Messages, tool.more.as_ref()).for_each(|(name, own)| out[name] = own.clone());
        out
    }

    /// `None`: as Claude does it by itself, `auto` and several calls at once.
    fn choice(&self) -> Option<Value> {
        let one = self.controls.parallel_tool_calls == Some(false);
        let mut choice = match &self.controls.tool_choice {
            Some(ToolChoice::None) => return Some(json!({"type": "none"})),
            None | Some(ToolChoice::Auto) if !one => return None,
            None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
            Some(ToolChoice::Required) => json!({"type": "any"}),
            Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
        };
        if one {
            choice["disable_parallel_tool_use"] = true.into();
        }
        Some(choice)
    }

    fn write_stop(&self, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        let (words, blank): (Vec<&String>, Vec<&String>) =
            self.controls.stop.iter().filter(|stop| !stop.is_empty()).partition(|stop| !stop.trim().is_empty());
        if !blank.is_empty() && !self.request.drop_unsupported {
            return Err(unsupported("stop", "Claude stops at no sequence that is all white space"));
        }
        if !words.is_empty() {
            out.insert("stop_sequences".into(), json!(words));
        }
        Ok(())
    }
}

fn write_sampling(sampling: Sampling, out: &mut Map<String, Value>) {
    let Sampling { temperature, top_p, top_k } = sampling;
    let fields = [
        ("temperature", temperature.map(Value::from)),
        ("top_p", top_p.map(Value::from)),
        ("top_k", top_k.map(Value::from)),
    ];
    out.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
}

fn write_output(structure: &Structure, thoughts: &Thoughts, out: &mut Map<String, Value>) {
    let mut config = Map::new();
    if let Structure::Native(schema) = structure {
        config.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
    }
    config.extend(thoughts.effort.as_deref().map(|effort| ("effort".to_owned(), effort.into())));
    if !config.is_empty() {
        out.insert("output_config".into(), config.into());
    }
    out.extend(thoughts.config.clone().map(|config| ("thinking".to_owned(), config)));
}
