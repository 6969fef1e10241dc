//! Which model is asked what, what the policy expects of it, and what is known already.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::prompts::Prompt;
use crate::api::chat::Message;
use crate::catalog::Model;
use crate::difficulty::{Bundle, Context};
use crate::features::tokens;
use crate::gateway::{Demand, MAX_KEPT_REQUEST, RouteSettings};
use crate::policy::{Ask, Decision, RouteState, Snapshot, bundle_key, decide};
use crate::scorers::judge::{self, JudgeSettings};
use crate::store::{Entry, Store, StoreError, TraceReader};
use crate::trace::{JUDGE, TraceId};

/// The name that decisions of a calibration carry in place of the policy's.
pub(super) const POLICY: &str = "calibrate";

/// All prompts, and all calls that they are worth.
pub(super) struct Plan {
    pub(super) asked: Vec<Asked>,
    pub(super) calls: Vec<Call>,
    /// Pairs of a prompt and a model that cannot answer it.
    pub(super) unfit: usize,
}

/// One prompt as the policy sees it.
pub(super) struct Asked {
    pub(super) prompt: Prompt,
    pub(super) context: Context,
    /// The arms that can answer it.
    pub(super) eligible: Vec<usize>,
    /// What each judge of the route has to read beside the answer, tokens; empty where none can grade the answers.
    pub(super) questions: Vec<f64>,
}

impl Asked {
    /// Some model can.
    pub(super) fn can_be_answered(&self) -> bool {
        !self.eligible.is_empty()
    }

    /// A reference or a judge says how good the answers are.
    pub(super) fn is_scored(&self) -> bool {
        self.prompt.reference.is_some() || !self.questions.is_empty()
    }
}

/// One prompt to one model.
pub(super) struct Call {
    /// Index into [`Plan::asked`].
    pub(super) asked: usize,
    /// Index into the route's models.
    pub(super) arm: usize,
    pub(super) id: TraceId,
    /// Its answer is in the ledger.
    pub(super) known: bool,
    /// The judges that have to grade the answer: indices into the route's.
    pub(super) judges: Vec<usize>,
    pub(super) decision: Decision,
}

impl Call {
    /// Its model is asked; `again`: also where the answer is known.
    pub(super) fn is_asked(&self, again: bool) -> bool {
        again || !self.known
    }

    /// There is something to do for it.
    pub(super) fn is_open(&self, again: bool) -> bool {
        self.is_asked(again) || !self.judges.is_empty()
    }
}

/// What makes up a plan.
pub(super) struct Planner<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) route: &'a RouteSettings,
    pub(super) snapshot: &'a Snapshot,
    pub(super) state: &'a RouteState,
    pub(super) known: &'a Known,
    /// The route's.
    pub(super) judges: &'a [Arc<JudgeSettings>],
    pub(super) reader: &'a dyn TraceReader,
    /// What is known is asked too.
    pub(super) again: bool,
    /// Now, Unix milliseconds.
    pub(super) at_ms: u64,
}

impl Planner<'_> {
    /// Pairs all prompts with all models that can answer them.
    pub(super) fn plan(&self, prompts: Vec<Prompt>) -> anyhow::Result<Plan> {
        let mut plan = Plan { asked: Vec::with_capacity(prompts.len()), calls: Vec::new(), unfit: 0 };
        for prompt in prompts {
            let asked = self.assess(prompt)?;
            plan.unfit += self.route.models.len() - asked.eligible.len();
            if asked.can_be_answered() {
                plan.calls.extend(self.calls(&asked, plan.asked.len())?);
            }
            plan.asked.push(asked);
        }
        Ok(plan)
    }

    fn assess(&self, prompt: Prompt) -> anyhow::Result<Asked> {
        let context = self.bundle.assess(self.bundle.extractor.draft(&prompt.request))?;
        let demand = Demand::new(&prompt.request, context.input_tokens);
        let fits = |(_, model): &(usize, &std::sync::Arc<Model>)| demand.lacking(model).is_none();
        let eligible = self.route.models.iter().enumerate().filter(fits).map(|(arm, _)| arm).collect();
        let questions = self.questions(&prompt);
        Ok(Asked { prompt, context, eligible, questions })
    }

    fn questions(&self, prompt: &Prompt) -> Vec<f64> {
        let readable = prompt.request.needs.is_text() && prompt.body.len() <= MAX_KEPT_REQUEST;
        let judges = self.judges.iter().filter(|_| readable);
        let asked = judges.filter_map(|judge| judge.question(&prompt.body, "", TraceId::nil()));
        let bytes = |turns: &[Message]| turns.iter().map(|turn| turn.content.text.len()).sum();
        asked.map(|question| f64::from(tokens(bytes(&question.messages)))).collect()
    }

    fn calls(&self, asked: &Asked, index: usize) -> anyhow::Result<Vec<Call>> {
        let decision = decide(self.snapshot, self.state, &asked.context, &asked.eligible, Ask::default(), 0.0)?;
        let call = |(candidate, &arm): (usize, &usize)| {
            let model = &self.route.models[arm].id.model;
            let key = CallKey::new(&self.route.name, model, &asked.prompt.body);
            let given = self.known.0.get(&key);
            let decision = decision.clone().pinned(POLICY, candidate);
            let id = given.map_or_else(|| key.at(self.at_ms), |given| given.trace);
            let judges = self.graders(asked, given)?;
            Ok(Call { asked: index, arm, id, known: given.is_some(), judges, decision })
        };
        asked.eligible.iter().enumerate().map(call).collect()
    }

    /// Who has to grade an answer: all, of one that comes; of one that was given, those that have not, if it can be read.
    fn graders(&self, asked: &Asked, given: Option<&Given>) -> anyhow::Result<Vec<usize>> {
        let all = 0..asked.questions.len();
        let Some(given) = given.filter(|_| !self.again) else { return Ok(all.collect()) };
        let missing: Vec<usize> = all.filter(|&judge| !given.graded.contains(&self.judges[judge].name)).collect();
        let readable = !missing.is_empty() && self.reader.trace(given.trace)?.is_some_and(|t| judge::is_readable(&t));
        Ok(if readable { missing } else { vec![] })
    }
}

/// What a call is known by whenever it is made: the first 80 bits of the SHA-256 of route, model and request, as far as
/// a UUIDv7 has room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CallKey(u128);

impl CallKey {
    const BITS: u128 = (1 << 80) - 1;

    fn new(route: &str, model: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [route.as_bytes(), model.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut random = [0; 10];
        random.copy_from_slice(&hash.finalize()[..10]);
        Self::of(uuid::Builder::from_unix_timestamp_millis(0, &random).into_uuid())
    }

    fn of(id: TraceId) -> Self {
        Self(id.as_u128() & Self::BITS)
    }

    /// The id of this call, made at `at_ms`.
    fn at(self, at_ms: u64) -> TraceId {
        Uuid::from_u128(u128::from(at_ms) << 80 | self.0)
    }
}

/// The calls whose answers a ledger has.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<CallKey, Given>);

/// An answer that a ledger has.
#[derive(Debug)]
struct Given {
    trace: TraceId,
    /// The judges that graded it.
    graded: Vec<String>,
}

impl Known {
    /// Reads the whole ledger. Answers that were assessed by another classifier teach this one nothing and do not count.
    pub(super) fn read(store: &dyn Store, fingerprint: &str) -> Result<Self, StoreError> {
        let (mut known, current) = (HashMap::<CallKey, Given>::new(), bundle_key(fingerprint));
        store.replay(0, &mut |_, entry| {
            match entry {
                Entry::Decided { trace, bundle, decision, .. } if bundle == current && decision.policy == POLICY => {
                    known.insert(CallKey::of(trace), Given { trace, graded: vec![] });
                }
                Entry::Scored(score) if score.metric == JUDGE => {
                    let given = known.get_mut(&CallKey::of(score.trace)).filter(|given| given.trace == score.trace);
                    given.into_iter().for_each(|given| given.graded.push(score.source.clone()));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self(known))
    }
}

/// A route of the configuration by its name.
pub(super) fn route<'a>(routes: &'a [RouteSettings], name: &str) -> anyhow::Result<&'a RouteSettings> {
    let names = || routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = routes.iter().find(|route| route.name == name);
    found.with_context(|| format!("--route {name}: no route is called so; there are: {}", names()))
}
