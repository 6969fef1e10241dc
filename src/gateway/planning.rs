//! A route's request, up to the models to ask: extract → hard filters → assess → decide.

use std::sync::Arc;

use arc_swap::Guard;
use tokio::time::Instant;

use super::bundles::Held;
use super::condition::Circumstances;
use super::filter::Demand;
use super::plan::{Plan, Rescue};
use super::preferred::Preferred;
use super::rules::Then;
use super::sessions::{Reading, Warm};
use super::settings::RouteSettings;
use super::setup::{Route, Setup};
use super::shadow::Room;
use super::{Gateway, GatewayError, Wishes};
use crate::api::chat::ChatRequest;
use crate::difficulty::DifficultyError;
use crate::features::Draft;
use crate::policy::{self, Ask, Decision, NoCandidate, Snapshot};
use crate::telemetry::Shadowed;

/// A request of a route, and what is said beside it.
#[derive(Clone, Copy)]
pub(super) struct Routed<'a> {
    pub(super) setup: &'a Setup,
    /// Index into [`Setup::routes`].
    pub(super) route: usize,
    pub(super) request: &'a ChatRequest,
    pub(super) wishes: &'a Wishes,
    pub(super) preferred: Option<&'a Preferred>,
    /// When it came, Unix milliseconds: by this its rule was told when its kept answer was looked for.
    pub(super) at_ms: u64,
}

/// Snapshot and classifier for one request, loaded together because both may be swapped meanwhile.
struct Mind {
    snapshot: Guard<Arc<Snapshot>>,
    bundle: Held,
}

/// The conversation that a request goes on with.
struct Conversation {
    reading: Option<Reading>,
    /// Who answered last.
    warm: Option<Warm>,
}

/// Why nothing was decided; the request is answered all the same.
#[derive(Debug, thiserror::Error)]
enum Undecided {
    #[error(transparent)]
    Classifier(#[from] DifficultyError),
    #[error("the classifier that the policy learns on is not loaded")]
    AnotherClassifier,
    #[error("the policy does not know the route yet")]
    NewRoute,
    #[error(transparent)]
    Policy(#[from] NoCandidate),
}

impl Gateway {
    /// The models to ask. What the client prefers, and what a rule says, restricts what is decided among; where the
    /// client has put them in order, nothing is decided.
    pub(super) async fn plan(&self, routed: Routed<'_>) -> Result<Plan, GatewayError> {
        let Routed { setup, route, preferred, .. } = routed;
        let snapshot = self.snapshot.load();
        let mind = Mind { bundle: self.bundles.of(snapshot.bundle), snapshot };
        let draft = mind.bundle.extractor.draft(routed.request);
        let tokens = draft.input_tokens;
        let rule = routed.rule(tokens);
        let demand = Demand::new(routed.request, tokens);
        let fit = routed.fit(&demand, rule)?;
        let segment = routed.of().segment(&routed.wishes.metadata).map(|segment| segment.name.clone());
        if let Some(preferred) = preferred.filter(|preferred| preferred.is_ordered()) {
            let targets = preferred.with_fallbacks(setup, &demand, preferred.arranged(setup, fit));
            return Ok(Plan { route: Some(route), segment, confined: true, ..Plan::pinned(targets) });
        }
        let conversation = self.conversation(routed, tokens);
        let ask = Ask {
            segment: segment.as_deref(),
            quality: routed.wishes.quality,
            consult: routed.may_consult(),
            warm: conversation.warm.as_ref().and_then(|warm| setup.warm(&mind.snapshot, route, warm, tokens)),
        };
        let plan = match self.decide(routed, &mind, draft, &fit, ask).await {
            Ok(decision) => {
                routed.of().undecided.ends();
                let decision = ruled(decision, rule, &*self.sources.draw);
                let (decision, room) = self.sample(routed, &mind.snapshot, decision);
                let decided = (decision, mind.snapshot.bundle);
                let plan = Plan { room, ..Plan::decided(setup, route, &fit, decided, &*self.sources.draw) };
                plan.preferring(setup, conversation.warm.as_ref().map(Warm::model))
            }
            Err(problem) => self.safest(routed, &mind.snapshot, fit, &problem),
        };
        let plan = Plan { segment, reading: conversation.reading, ..plan };
        Ok(match preferred {
            Some(preferred) => {
                let targets = preferred.after_decision(setup, &demand, plan.targets);
                Plan { targets, confined: true, ..plan }
            }
            None => Plan { rescue: routed.rescue(&demand, rule), ..plan },
        })
    }

    fn conversation(&self, routed: Routed<'_>, tokens: u32) -> Conversation {
        let reading = routed.of().reading(routed.wishes, routed.request, tokens);
        Conversation { reading, warm: reading.and_then(|reading| self.sessions.warm(reading)) }
    }

    async fn decide(
        &self,
        routed: Routed<'_>,
        mind: &Mind,
        draft: Draft,
        fit: &[usize],
        ask: Ask<'_>,
    ) -> Result<Decision, Undecided> {
        let state = mind.snapshot.routes.get(&*routed.of().name).ok_or(Undecided::NewRoute)?;
        if mind.bundle.key != mind.snapshot.bundle {
            return Err(Undecided::AnotherClassifier);
        }
        let context = mind.bundle.assess(draft).await?;
        let may_answer = |arm: &str| fit.iter().any(|target| routed.setup.targets[*target].model.id.model == arm);
        let arms = state.spec.arms.iter().enumerate();
        let eligible: Vec<usize> = arms.filter(|(_, arm)| may_answer(&arm.arm)).map(|(i, _)| i).collect();
        Ok(policy::decide(&mind.snapshot, state, &context, &eligible, ask, (self.sources.draw)())?)
    }

    /// Draws the requests on which a route, or its segment, is compared with its best model: of those that its own knob
    /// decided, and that can be judged as text. Without room for one more comparison, whoever answers, there is none.
    fn sample(&self, routed: Routed<'_>, snapshot: &Snapshot, decision: Decision) -> (Decision, Option<Room>) {
        let route: &RouteSettings = &routed.setup.settings.routes[routed.route];
        if route.shadow <= 0.0 || !routed.request.needs.is_text() {
            return (decision, None);
        }
        let best = snapshot.routes.get(&route.name).and_then(|state| state.best_for(&decision));
        let Some(best) = best.filter(|_| (self.sources.draw)() < route.shadow) else { return (decision, None) };
        let Some(room) = self.shadows.room() else {
            self.sink.metrics.shadow(Some(routed.of().name.clone()), Shadowed::Dropped);
            return (decision, None);
        };
        (decision.audited(best, route.shadow), Some(room))
    }

    fn safest(&self, routed: Routed<'_>, snapshot: &Snapshot, fit: Vec<usize>, problem: &Undecided) -> Plan {
        let name = &*routed.of().name;
        if routed.of().undecided.begins() {
            tracing::warn!(route = name, %problem, "undecided; the safest model answers from here on, until it is decided again");
        }
        self.sink.metrics.undecided.inc();
        Plan::safest(routed.setup, routed.route, fit, snapshot.routes.get(name).map(|state| &**state))
    }
}

impl<'a> Routed<'a> {
    /// Whether cheap models may be asked before a dear one: an answer that is told as it comes cannot be taken back, and of
    /// several answers to one request none is the answer.
    fn may_consult(self) -> bool {
        let request = self.request;
        let single = !request.stream && request.needs.is_text() && request.is_single();
        self.setup.settings.routes[self.route].panel && self.preferred.is_none() && single
    }

    fn of(self) -> &'a Route {
        &self.setup.routes[self.route]
    }

    /// What the first rule that holds says of the models.
    fn rule(self, tokens: u32) -> Option<&'a Then> {
        self.of().rule(|| Circumstances::new(self.request, tokens, &self.wishes.metadata, self.at_ms))
    }

    /// The targets that can answer, among those that the client and the rule leave; healthy ones only unless none is.
    fn fit(self, demand: &Demand, rule: Option<&Then>) -> Result<Vec<usize>, GatewayError> {
        let Self { setup, .. } = self;
        let all = &self.of().targets;
        let restricted = self.preferred.map(|preferred| preferred.restricted(setup, all)).transpose()?;
        let admitted = self.admitted(restricted.as_ref().unwrap_or(all), rule);
        let mut unable = vec![];
        let fit = setup.able(admitted, demand, &mut unable);
        if fit.is_empty() {
            return Err(GatewayError::NoModelFits {
                of: format!("the route \"{}\"", self.of().name),
                excluded: unable,
            });
        }
        let now = Instant::now();
        let is_healthy = |target: &usize| setup.upstreams.healthy(&setup.targets[*target].model.id, now);
        if !fit.iter().all(is_healthy) {
            let healthy: Vec<usize> = fit.iter().copied().filter(is_healthy).collect();
            return Ok(if healthy.is_empty() { fit } else { healthy });
        }
        Ok(fit)
    }
}

impl Routed<'_> {
    /// Those of `targets` that the rule leaves.
    fn admitted(self, targets: &[usize], rule: Option<&Then>) -> impl Iterator<Item = usize> {
        let model = |target: usize| &self.setup.targets[target].model.id.model;
        targets.iter().copied().filter(move |target| rule.is_none_or(|rule| rule.admits(model(*target))))
    }

    /// What the route falls back on by cause: the same holds for it as for the route's own models.
    fn rescue(self, demand: &Demand, rule: Option<&Then>) -> Rescue {
        let mut unable = vec![];
        let able = self.of().fallbacks.map(|list| self.setup.able(self.admitted(list, rule), demand, &mut unable));
        Rescue { able, unable }
    }
}

/// The decision, or what chance makes of it where the rule shares the requests out.
fn ruled(decision: Decision, rule: Option<&Then>, draw: &dyn Fn() -> f64) -> Decision {
    let Some(Then::Weights(weights)) = rule else { return decision };
    let weight = |arm: &str| weights.iter().find(|(name, _)| name == arm).map_or(0.0, |(_, weight)| *weight);
    let weights: Vec<f64> = decision.candidates.iter().map(|candidate| weight(&candidate.arm)).collect();
    decision.shared_out("rule", &weights, draw())
}
