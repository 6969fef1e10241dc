//! `reasoning_effort`, and `thinking` of Anthropic's clients, as each Claude takes it.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::model::{Claude, Thinking};
use crate::api::conversation::{self, Controls, Effort, Reasoning, ToolChoice, Turn, unsupported};
use crate::api::error::BadRequest;
use crate::upstream::structure::Structure;

/// Tokens of an answer at most, where neither the client nor the catalogue says: what each Claude since 3.5 can write.
const MAX_TOKENS: u32 = 8192;
/// The least budget that Claude takes, tokens.
const LEAST: u32 = 1024;

/// `thinking` and `output_config.effort`, as they stand in a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thoughts {
    pub config: Option<Value>,
    pub effort: Option<Cow<'static, str>>,
}

/// What thinking is asked for under.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    pub claude: Claude,
    /// How much is to be thought, and shown of it.
    pub controls: &'a Controls,
    /// What the model cannot do is left out.
    pub lenient: bool,
    pub structure: &'a Structure,
    /// Of the answer, thoughts and all.
    pub max_tokens: u32,
    pub turns: &'a [Turn],
}

/// Tokens of an answer at most, of a model that writes `longest`: a client's limit beyond that limits nothing, and would
/// be refused.
pub fn max_tokens(controls: &Controls, longest: Option<u32>) -> u32 {
    let wanted = controls.max_output_tokens.or(longest).unwrap_or(MAX_TOKENS);
    wanted.min(longest.unwrap_or(u32::MAX))
}

impl Conditions<'_> {
    /// A tool must be called: Claude does not think before it then.
    fn forced(&self) -> bool {
        let choice = &self.controls.tool_choice;
        matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_)))
            || matches!(self.structure, Structure::Tool(_))
    }
}

impl Thoughts {
    /// Whether the model thinks as these say.
    pub fn on(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config["type"] != "disabled")
    }

    /// Of Anthropic's client, its own effort for a model that has one, and thoughts only where it speaks of them.
    ///
    /// # Errors
    /// The model cannot think, or cannot but think.
    pub fn choose(wanted: &Conditions<'_>) -> Result<Self, BadRequest> {
        let Conditions { claude, controls, .. } = *wanted;
        let Some(effort) = &controls.claude_effort else { return Self::translated(wanted) };
        let config = match &controls.thinking {
            Some(_) => Self::translated(wanted)?.config,
            None => None,
        };
        Ok(Self { config, effort: claude.effort().then(|| effort.clone().into()) })
    }

    /// As the effort says in OpenAI's words, and as `thinking` says that the model may not know in this form.
    fn translated(wanted: &Conditions<'_>) -> Result<Self, BadRequest> {
        let Conditions { claude, controls, lenient, .. } = *wanted;
        let nothing = |problem| {
            if lenient { Ok(Self::default()) } else { Err(unsupported("reasoning_effort", problem)) }
        };
        let off = controls.thinking == Some(conversation::Thinking::Disabled {});
        let effort = controls.effort.filter(|_| !off || claude.thinking() == Thinking::Adaptive);
        match (claude.thinking(), effort) {
            (Thinking::Always, Some(Effort::None)) => nothing("this model cannot be told not to think"),
            (Thinking::Always, _) if off => nothing("this model cannot be told not to think"),
            // Newer ones think unless told otherwise.
            (Thinking::Adaptive, Some(Effort::None)) => Ok(Self::off(claude, None)),
            (Thinking::Adaptive, effort) if off || wanted.forced() => Ok(Self::off(claude, effort.filter(|_| off))),
            (Thinking::Always | Thinking::Adaptive, None) if controls.thinking.is_none() => Ok(Self::default()),
            (Thinking::Always | Thinking::Adaptive, effort) => Ok(Self::adaptive(claude, controls, effort)),
            (_, None | Some(Effort::None)) => Ok(Self::default()),
            (Thinking::Budget, Some(effort)) => Ok(Self::budget(wanted, effort)),
            (Thinking::Never, Some(_)) => nothing("this model does not think before it answers"),
        }
    }

    fn off(claude: Claude, effort: Option<Effort>) -> Self {
        Self { config: Some(json!({"type": "disabled"})), effort: effort.map(|effort| word(claude, effort)) }
    }

    /// Clients of OpenAI's protocols are shown what there is to see.
    fn adaptive(claude: Claude, controls: &Controls, effort: Option<Effort>) -> Self {
        let mut config = json!({"type": "adaptive"});
        let display = match &controls.thinking {
            Some(thinking) => thinking.display(),
            None => Some("summarized"),
        };
        display.into_iter().for_each(|display| config["display"] = display.into());
        Self { config: Some(config), effort: effort.map(|effort| word(claude, effort)) }
    }

    /// What the client says, else a share of the answer's length, as OpenRouter has it; nothing where there is no room for thoughts, or where the
    /// answer goes on from calls whose thoughts the client did not keep, which Claude refuses.
    fn budget(wanted: &Conditions<'_>, effort: Effort) -> Self {
        if wanted.forced() || wanted.max_tokens <= LEAST || goes_on_without_thoughts(wanted.turns) {
            return Self::default();
        }
        let percent: u64 = match effort {
            Effort::None | Effort::Minimal => 10,
            Effort::Low => 20,
            Effort::Medium => 50,
            Effort::High => 80,
            Effort::Xhigh | Effort::Max => 95,
        };
        let share = u64::from(wanted.max_tokens) * percent / 100;
        let share = wanted.controls.thought_tokens.map_or(share, u64::from);
        let budget = share.clamp(LEAST.into(), (wanted.max_tokens - 1).into());
        Self { config: Some(json!({"type": "enabled", "budget_tokens": budget})), effort: None }
    }
}

fn word(claude: Claude, effort: Effort) -> Cow<'static, str> {
    let word = match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Xhigh if claude.xhigh() => "xhigh",
        Effort::Xhigh | Effort::Max => "max",
    };
    word.into()
}

/// The last turns are calls and their results, and the calls have no thoughts before them.
fn goes_on_without_thoughts(turns: &[Turn]) -> bool {
    let last = turns.iter().rev().find(|turn| !matches!(turn, Turn::Tool { .. } | Turn::System { .. }));
    let thought = |reasoning: &[Reasoning]| reasoning.iter().any(Reasoning::is_signed);
    matches!(last, Some(Turn::Assistant { reasoning, calls, .. }) if !thought(reasoning) && !calls.is_empty())
}
