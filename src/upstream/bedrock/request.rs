//! A chat request → the body of `Converse`.

use serde_json::{Map, Value, json};

use super::messages::{self, Reads, cache_point};
use crate::api::chat::ChatRequest;
use crate::api::conversation::{
    Controls, Conversation, Effort, Tool, ToolChoice, Turn, no_cited_results, one_call_at_a_time, unsupported,
};
use crate::api::error::BadRequest;
use crate::upstream::anthropic::messages::called;
use crate::upstream::anthropic::model::{Claude, Thinking};
use crate::upstream::anthropic::sampling::Sampling;
use crate::upstream::anthropic::schema;
use crate::upstream::anthropic::thinking::{Conditions, Thoughts, max_tokens};
use crate::upstream::structure::{ANSWER, ANSWER_PURPOSE, Structure};

/// The body for `model`, which writes `longest` tokens at most.
///
/// # Errors
/// What Bedrock, or this model, cannot express.
pub fn body(model: &str, longest: Option<u32>, request: &ChatRequest) -> Result<Value, BadRequest> {
    let Conversation { turns, controls } = Conversation::read(request)?;
    let (family, claude) = (Family::of(model), Claude::named(model));
    let draft = Draft { model, family, claude, request, controls: &controls, turns: &turns };
    let structure = draft.structure()?;
    let thoughts = draft.thoughts(&structure, longest)?;
    let sampling = Sampling::choose(draft.claude, &controls, request, thoughts.on())?;

    let mut out = Map::new();
    draft.write_messages(&structure, &mut out)?;
    draft.write_tools(&structure, &mut out)?;
    put(&mut out, "inferenceConfig", inference(&controls, longest, sampling));
    put(&mut out, "outputConfig", output(&structure, &thoughts));
    put(&mut out, "additionalModelRequestFields", draft.additional(&thoughts, sampling)?);
    Ok(Value::Object(out))
}

/// Whose models have their own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Claude,
    Nova,
    Other,
}

impl Family {
    /// Inference profiles hold the model's name; the ARNs of others do not, and are taken for any other where nobody wrote
    /// it behind them.
    fn of(model: &str) -> Self {
        match () {
            () if model.contains("claude") => Self::Claude,
            () if model.contains("amazon.nova") => Self::Nova,
            () => Self::Other,
        }
    }
}

struct Draft<'a> {
    model: &'a str,
    family: Family,
    claude: Claude,
    request: &'a ChatRequest,
    controls: &'a Controls,
    turns: &'a [Turn],
}

impl Draft<'_> {
    fn is_claude(&self) -> bool {
        self.family == Family::Claude
    }

    fn structure(&self) -> Result<Structure, BadRequest> {
        let thinks = self.claude.thinking() == Thinking::Always || self.controls.asks_to_think();
        let unforced = (self.is_claude() && thinks) || self.family == Family::Other;
        let native = |wanted: &Value| schema::held_to(wanted, self.is_claude().then_some(self.claude)?);
        Structure::choose(self.request, &self.controls.format, unforced, native)
    }

    /// Claude's; the other models' effort, if they know one, is not one of Bedrock's own settings.
    fn thoughts(&self, structure: &Structure, longest: Option<u32>) -> Result<Thoughts, BadRequest> {
        let lenient = self.request.drop_unsupported;
        if !self.is_claude() {
            return match self.controls.effort {
                None | Some(Effort::None) => Ok(Thoughts::default()),
                Some(_) if lenient => Ok(Thoughts::default()),
                Some(_) => Err(unsupported("reasoning_effort", "this model has no effort that Bedrock could set")),
            };
        }
        let (claude, controls, turns) = (self.claude, self.controls, self.turns);
        let max_tokens = max_tokens(controls, longest);
        Thoughts::choose(&Conditions { claude, controls, lenient, structure, max_tokens, turns })
    }

    fn write_messages(&self, structure: &Structure, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        let claude = self.is_claude();
        if let Some(bad) = no_cited_results(self.request, "this model").filter(|_| !claude) {
            return Err(bad);
        }
        let reads = Reads { marks: self.family != Family::Other, search_results: claude };
        let mut messages = messages::write(self.turns, reads)?;
        if claude {
            messages.trim();
        }
        messages.put(structure.words().map(|words| json!({"text": words})), out)
    }

    fn write_tools(&self, structure: &Structure, out: &mut Map<String, Value>) -> Result<(), BadRequest> {
        if let Structure::Tool(schema) = structure {
            let tool = spec(ANSWER, Some(ANSWER_PURPOSE), schema.clone());
            let choice = json!({"tool": {"name": ANSWER}});
            out.insert("toolConfig".into(), json!({"tools": [tool], "toolChoice": choice}));
            return Ok(());
        }
        let calls = called(self.turns);
        if calls.is_empty() && self.controls.tool_choice == Some(ToolChoice::None) {
            return Ok(());
        }
        let mut tools: Vec<Value> = self.controls.tools.iter().flat_map(|tool| self.tool(tool)).collect();
        if let Some(bad) = one_call_at_a_time(self.request, "Bedrock").filter(|_| !tools.is_empty()) {
            return Err(bad);
        }
        let choice = self.choice()?;
        if tools.is_empty() {
            // Bedrock refuses calls in a conversation whose tools it is not told of.
            tools = calls.into_iter().map(|name| spec(name, None, json!({"type": "object"}))).collect();
        }
        if !tools.is_empty() {
            let config = [Some(("tools", tools.into())), choice.map(|choice| ("toolChoice", choice))];
            let config = config.into_iter().flatten().map(|(name, value)| (name.to_owned(), value));
            put(out, "toolConfig", config.collect());
        }
        Ok(())
    }

    /// `None`: as the model likes. In a conversation with calls its tools must be told, and it may then call them. A
    /// certain one must be called by Claude and Nova alone, and Llama need not call any.
    fn choice(&self) -> Result<Option<Value>, BadRequest> {
        let free = "Bedrock cannot keep a model from calling tools amid a conversation with calls";
        let unforced = "Bedrock cannot make this model call a tool";
        let one = "Bedrock cannot make this model call a certain tool";
        let other = self.family == Family::Other;
        match &self.controls.tool_choice {
            None | Some(ToolChoice::Auto) => Ok(None),
            Some(ToolChoice::None) => self.refuse("tool_choice", free).map(|()| None),
            Some(ToolChoice::Required) if self.model.contains("llama") => {
                self.refuse("tool_choice", unforced).map(|()| None)
            }
            Some(ToolChoice::Required) => Ok(Some(json!({"any": {}}))),
            Some(ToolChoice::Function(_)) if other => self.refuse("tool_choice", one).map(|()| None),
            Some(ToolChoice::Function(name)) => Ok(Some(json!({"tool": {"name": name}}))),
        }
    }

    fn refuse(&self, field: &str, problem: &str) -> Result<(), BadRequest> {
        if self.request.drop_unsupported { Ok(()) } else { Err(unsupported(field, problem)) }
    }

    fn tool(&self, tool: &Tool) -> Vec<Value> {
        let (schema, strict) = schema::of_tool(tool, self.is_claude().then_some(self.claude));
        let mut out = spec(&tool.name, tool.description.as_deref(), schema);
        if strict {
            out["toolSpec"]["strict"] = true.into();
        }
        let cache = tool.cache.as_ref().filter(|_| self.is_claude());
        std::iter::once(out).chain(cache.map(cache_point)).collect()
    }

    /// What goes to the model past Bedrock, in the model's own words.
    fn additional(&self, thoughts: &Thoughts, sampling: Sampling) -> Result<Map<String, Value>, BadRequest> {
        let mut out = Map::new();
        out.extend(thoughts.config.clone().map(|config| ("thinking".to_owned(), config)));
        match (sampling.top_k, self.family) {
            (None, _) => {}
            (Some(k), Family::Claude) => put_some(&mut out, "top_k", Some(k)),
            (Some(k), Family::Nova) => put_some(&mut out, "inferenceConfig", Some(json!({"topK": k}))),
            (Some(_), Family::Other) => self.refuse("top_k", "this model has no top_k that Bedrock could set")?,
        }
        Ok(out)
    }
}

fn inference(controls: &Controls, longest: Option<u32>, sampling: Sampling) -> Map<String, Value> {
    // Where nobody says, Bedrock takes what the model can write.
    let limit = controls.max_output_tokens.map(|_| max_tokens(controls, longest));
    let stops: Vec<&str> = controls.stop.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
    let mut out = Map::new();
    put_some(&mut out, "maxTokens", limit);
    put_some(&mut out, "temperature", sampling.temperature);
    put_some(&mut out, "topP", sampling.top_p);
    put_some(&mut out, "stopSequences", (!stops.is_empty()).then_some(stops));
    out
}

fn output(structure: &Structure, thoughts: &Thoughts) -> Map<String, Value> {
    let mut out = Map::new();
    put_some(&mut out, "effort", thoughts.effort.as_deref());
    if let Structure::Native(schema) = structure {
        let structure = json!({"jsonSchema": {"schema": schema.to_string()}});
        out.insert("textFormat".into(), json!({"type": "json_schema", "structure": structure}));
    }
    out
}

fn spec(name: &str, description: Option<&str>, schema: Value) -> Value {
    let mut spec = json!({"name": name, "inputSchema": {"json": schema}});
    if let Some(description) = description.filter(|text| !text.is_empty()) {
        spec["description"] = description.into();
    }
    json!({"toolSpec": spec})
}

fn put(out: &mut Map<String, Value>, name: &str, fields: Map<String, Value>) {
    if !fields.is_empty() {
        out.insert(name.into(), fields.into());
    }
}

fn put_some(out: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    out.extend(value.map(|value| (name.to_owned(), value.into())));
}
