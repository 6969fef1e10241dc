//! `GET /v1/traces` and `/v1/traces/{id}`: the server's own view of what is kept.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::auth::Side;
use super::error::ApiError;
use super::view::{DecisionView, ReplyView, UsageView};
use super::{App, auth, json};
use crate::api::error::{BadRequest, bounded};
use crate::api::metadata::Metadata;
use crate::policy::{RouteState, Snapshot};
use crate::store::{Scored, StoreError, TracePage, TraceReader, Unreadable};
use crate::trace::{Owner, Trace};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// Traces that are read for one page: those of other tenants are passed over.
const MOST_READ: usize = 1000;

/// Which traces are asked for.
#[derive(Debug, Default, PartialEq)]
struct Page {
    limit: Option<usize>,
    before: Option<Uuid>,
}

impl Page {
    /// The last of a parameter that is given twice holds.
    ///
    /// # Errors
    /// The parameter that is none, or whose value is wrong.
    fn read(parameters: Vec<(String, String)>) -> Result<Self, BadRequest> {
        let mut page = Self::default();
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => page.limit = Some(limit(&value)?),
                "before" => page.before = Some(before(&value)?),
                _ => {
                    let message = format!("there is no parameter \"{name:.64}\"; give `limit`, `before`, or neither");
                    return Err(BadRequest::field(bounded(name), message));
                }
            }
        }
        Ok(page)
    }

    /// Those of `owner` (`None`: all), and where the next page begins; `None`: this is the last. Where many others lie
    /// between them, it has fewer than its limit.
    fn of(&self, reader: &dyn TraceReader, owner: Option<Owner>) -> Result<(TracePage, Option<Uuid>), StoreError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        let at_once = if owner.is_some() { MAX_LIMIT } else { limit };
        let (mut found, mut next, mut read) = (TracePage::default(), self.before, 0);
        while found.traces.len() < limit && read < MOST_READ {
            let TracePage { traces, unreadable } = reader.newest(next, at_once)?;
            read += traces.len();
            next = traces.last().filter(|_| traces.len() == at_once).map(|trace| trace.id);
            found.unreadable.extend(unreadable);
            found.traces.extend(traces.into_iter().filter(|trace| owner.is_none() || trace.owner == owner));
            if next.is_none() {
                break;
            }
        }
        if found.traces.len() > limit {
            found.traces.truncate(limit);
            next = found.traces.last().map(|trace| trace.id);
        }
        Ok((found, next))
    }
}

fn limit(value: &str) -> Result<usize, BadRequest> {
    value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        let message = format!("limit must be a whole number from 1 to {MAX_LIMIT}; it is \"{value:.64}\"");
        BadRequest::field("limit", message)
    })
}

fn before(value: &str) -> Result<Uuid, BadRequest> {
    value.parse().map_err(|_| {
        let message = format!(
            "before must be a trace id, such as the `next` of the page before this one; it is \"{value:.64}\", which is no UUID"
        );
        BadRequest::field("before", message)
    })
}

/// A page of traces, newest first, without request and reply text.
#[derive(Serialize)]
struct Listing {
    traces: Vec<View>,
    /// Give it as `before` for the next page; null where this is the last.
    next: Option<Uuid>,
    /// Files of the data folder that cannot be read, and whose traces of this time are missing here.
    unreadable: Vec<String>,
    /// The models whose quality was found to have changed, whether they are in this page or not.
    alarms: Vec<AlarmView>,
}

/// A model of a route that drifted.
#[derive(Serialize)]
struct AlarmView {
    route: String,
    model: String,
    /// How often, by now; at least 1.
    drift_alarms: u64,
}

#[derive(Serialize)]
struct View {
    id: Uuid,
    /// Arrival.
    at: Option<jiff::Timestamp>,
    route: Option<String>,
    /// As the client gave it in `x-satisfice-metadata`.
    metadata: Metadata,
    /// The request whose answer this one is compared with; null where this one is a client's own.
    shadows: Option<Uuid>,
    /// `provider/model` that answered.
    model: Option<String>,
    /// Times by now that the quality of the model that answered was found to have changed on this route; null where no
    /// route's model answered.
    drift_alarms: Option<u64>,
    outcome: &'static str,
    stream: bool,
    /// Null where nothing was decided.
    decision: Option<DecisionView>,
    attempts: Vec<AttemptView>,
    usage: Option<UsageView>,
    cost_usd: Option<f64>,
    first_byte_us: Option<u64>,
    total_us: u64,
    #[serde(flatten)]
    content: Option<Content>,
}

#[derive(Serialize)]
struct AttemptView {
    model: String,
    status: Option<u16>,
    error: Option<String>,
    duration_us: u64,
}

/// What is only in the view of one trace.
#[derive(Serialize)]
struct Content {
    /// As the client sent it; null where it was too long to keep.
    request: Value,
    reply: ReplyView,
    scores: Vec<ScoreView>,
}

/// A request whose body was dropped, is past retention or was lost in a crash: its scores are in the ledger.
#[derive(Serialize)]
struct ScoresOnly {
    id: Uuid,
    scores: Vec<ScoreView>,
}

#[derive(Serialize)]
struct ScoreView {
    id: Uuid,
    at: Option<jiff::Timestamp>,
    name: String,
    source: String,
    value: f64,
    comment: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(side): Extension<Side>,
    headers: HeaderMap,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let page = Page::read(parameters)?;
    let owner = auth::confined_to(&app, side, &headers);
    let (TracePage { traces, unreadable }, next) = read(&app, move |reader| page.of(reader, owner)).await?;
    let snapshot = app.learning.snapshot.load();
    let traces = traces.into_iter().map(|trace| view(trace, &snapshot, None)).collect();
    let unreadable = unreadable.into_iter().map(told).collect();
    Ok(json(&Listing { traces, next, unreadable, alarms: alarms(&snapshot) }))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(side): Extension<Side>,
    headers: HeaderMap,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| {
        let message = "the trace id is no UUID; give the x-satisfice-trace-id of an answer, or one of GET /v1/traces";
        ApiError::invalid(StatusCode::BAD_REQUEST, message).param("id")
    })?;
    let owner = auth::confined_to(&app, side, &headers);
    let known = read(&app, move |reader| known(reader, id, owner)).await?;
    let (trace, scores) = known.ok_or_else(|| unknown(id))?;
    let scores: Vec<_> = scores.into_iter().map(score).collect();
    match trace {
        Some(mut trace) => {
            let request = serde_json::from_slice(&trace.request).unwrap_or(Value::Null);
            let content = Content { request, reply: std::mem::take(&mut trace.reply).into(), scores };
            Ok(json(&view(trace, &app.learning.snapshot.load(), Some(content))))
        }
        None if scores.is_empty() => Err(unknown(id)),
        None => Ok(json(&ScoresOnly { id, scores })),
    }
}

/// A trace, where its body is kept, and its scores; `None` where it is not `owner`'s.
type Known = Option<(Option<Trace>, Vec<Scored>)>;

fn known(reader: &dyn TraceReader, id: Uuid, owner: Option<Owner>) -> Result<Known, StoreError> {
    let trace = reader.trace(id)?;
    let is_theirs = match (&trace, owner) {
        (_, None) => true,
        (Some(trace), owner) => trace.owner == owner,
        (None, owner) => reader.owner(id)? == owner,
    };
    if is_theirs { Ok(Some((trace, reader.scores(id)?))) } else { Ok(None) }
}

/// Reads off the threads that serve requests: a read may wait for the disk.
async fn read<T: Send + 'static>(
    app: &App,
    query: impl FnOnce(&dyn TraceReader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = app.traces.clone();
    match tokio::task::spawn_blocking(move || query(&*reader)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ApiError::panicked()),
    }
}

/// The file's name; what is the matter with it is for the log.
fn told(Unreadable { file, error }: Unreadable) -> String {
    tracing::error!(%error, "the traces of a time segment cannot be read");
    file
}

fn unknown(id: Uuid) -> ApiError {
    let message = format!("no trace {id} is kept; it is too old, was never recorded, or is not written yet");
    ApiError::invalid(StatusCode::NOT_FOUND, message).param("id").code("trace_not_found")
}

fn alarms(snapshot: &Snapshot) -> Vec<AlarmView> {
    snapshot.routes.iter().flat_map(|(route, state)| alarms_of(route, state)).collect()
}

fn alarms_of<'a>(route: &'a str, state: &'a RouteState) -> impl Iterator<Item = AlarmView> + use<'a> {
    let arms = state.spec.arms.iter().zip(&state.arms).map(|(spec, arm)| (&spec.arm, arm.drift.alarms));
    let drifted = arms.filter(|(_, drift_alarms)| *drift_alarms > 0);
    drifted.map(|(model, drift_alarms)| AlarmView { route: route.to_owned(), model: model.clone(), drift_alarms })
}

/// Those of the model that answered.
fn drift_alarms(trace: &Trace, snapshot: &Snapshot) -> Option<u64> {
    snapshot.routes.get(trace.route.as_deref()?)?.drift_alarms(&trace.model.as_ref()?.model)
}

fn view(trace: Trace, snapshot: &Snapshot, content: Option<Content>) -> View {
    let (shadows, drift_alarms) = (trace.shadows(), drift_alarms(&trace, snapshot));
    let usage = UsageView::of(&trace);
    let attempts = trace.attempts.into_iter().map(|attempt| AttemptView {
        model: attempt.model.to_string(),
        status: attempt.status,
        error: attempt.error,
        duration_us: attempt.duration_us,
    });
    View {
        id: trace.id,
        at: timestamp(trace.at_ms),
        metadata: trace.metadata,
        shadows,
        route: trace.route.map(String::from),
        model: trace.model.map(|model| model.to_string()),
        drift_alarms,
        outcome: trace.outcome.name(),
        stream: trace.stream,
        decision: trace.decision.as_deref().map(DecisionView::from),
        attempts: attempts.collect(),
        usage,
        cost_usd: trace.cost_usd,
        first_byte_us: trace.first_byte_us,
        total_us: trace.total_us,
        content,
    }
}

fn score(scored: Scored) -> ScoreView {
    ScoreView {
        id: scored.id(),
        at: timestamp(scored.at_ms),
        name: scored.metric,
        source: scored.source,
        value: scored.value,
        comment: scored.comment,
    }
}

fn timestamp(ms: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::api::chat::Needs;
    use crate::catalog::{ModelId, Usage};
    use crate::difficulty::{Population, Prior};
    use crate::policy::{Audited, Candidate, Consult, Decision, Kind, Knob, Panel, Verdict};
    use crate::server::view::KnobView;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::trace::{Attempt, Outcome, ReplyText};

    const ID: Uuid = Uuid::from_u128(0x0193_5a7b_0000_7000_8000_0000_0000_0001);

    fn decision(kind: Kind, knob: Knob) -> Decision {
        let candidate = |arm: &str, propensity| Candidate { arm: arm.into(), quality: 0.5, cost_usd: 1e-7, propensity };
        Decision {
            kind,
            policy: "thompson".into(),
            snapshot_version: 7,
            segment: Some("strict".into()),
            knob,
            phi: vec![1.0, -0.1 - 0.2],
            widening: 1.5,
            verbosity: f64::NAN,
            input_tokens: 200,
            difficulty: 0.1,
            candidates: vec![candidate("small", 0.75), candidate("large", 0.25)],
            preferred: 0,
            chosen: 1,
            draw: 0.875,
            audit: Some(Audited { share: 0.25, best: 1 }),
            consult: Some(Consult {
                panel: Some(Panel { members: [1, 0], same_errors: 0.5, verdict: Verdict::Differed([true, false]) }),
                foreseen_usd: 1e-7,
            }),
        }
    }

    fn usage() -> Usage {
        Usage {
            input_tokens: 300,
            output_tokens: 5,
            cached_input_tokens: 1,
            cache_write_tokens: 4,
            cache_write_1h_tokens: 3,
            reasoning_tokens: 2,
        }
    }

    fn trace() -> Trace {
        let attempt = Attempt { model: ModelId::of("p", "small"), status: Some(503), error: None, duration_us: 60 };
        Trace {
            id: ID,
            at_ms: 1_732_406_400_000,
            owner: None,
            route: Some("auto".into()),
            metadata: Metadata::default(),
            decision: Some(decision(Kind::Shadow, Knob::BudgetPer1k(2.0)).into()),
            bundle: None,
            attempts: vec![attempt],
            model: Some(ModelId::of("p", "large")),
            outcome: Outcome::ClientGone,
            needs: Needs::default(),
            stream: true,
            usage: Some(usage()),
            cost_usd: Some(0.125),
            first_byte_us: Some(70),
            total_us: 80,
            request: Bytes::new(),
            reply: ReplyText { content: "hi".into(), refusal: true, ..ReplyText::default() },
        }
    }

    #[test]
    fn a_page_has_ones_own_and_goes_on_where_too_many_others_lie_between() {
        let (own, other) = (Some(Owner([1; 8])), Some(Owner([2; 8])));
        let mut store = MemoryStore::default();
        for n in 1..=2500 {
            let owner = if n % 1250 == 0 { own } else { other };
            store.stage(&Trace { id: Uuid::from_u128(n), owner, ..trace() }).unwrap();
        }
        store.keep().unwrap();
        let page = |before: Option<Uuid>, limit, owner| {
            let (page, next) = Page { limit: Some(limit), before }.of(&*store.reader(), owner).unwrap();
            let ids: Vec<u128> = page.traces.iter().map(|trace| trace.id.as_u128()).collect();
            (ids, next.map(|id| id.as_u128()))
        };
        let after = |id: u128| Some(Uuid::from_u128(id));
        assert_eq!(page(None, 2, own), (vec![2500], Some(1501)));
        assert_eq!(page(after(1501), 2, own), (vec![1250], Some(501)));
        assert_eq!(page(after(501), 2, own), (vec![], None));
        assert_eq!(page(None, 1, own), (vec![2500], Some(2301)));
        assert_eq!(page(None, 2, other), (vec![2499, 2498], Some(2498)));
        assert_eq!(page(None, 2, None), (vec![2500, 2499], Some(2499)));
        assert_eq!(page(after(3), 5, None), (vec![2, 1], None));
    }

    fn unlearned() -> Snapshot {
        let one = || vec![1.0];
        let population = Population {
            mean: one(),
            price_slope: 0.5,
            within: one(),
            between: one(),
            token_mean: one(),
            token_variance: one(),
        };
        Snapshot::new(Arc::new(Prior { dimension: 1, population, heads: Vec::new() }))
    }

    fn shown(view: &impl Serialize) -> String {
        serde_json::to_string(view).unwrap()
    }

    #[test]
    fn the_json_of_a_trace_stays_as_it_is() {
        let mut trace = trace();
        let reply = std::mem::take(&mut trace.reply).into();
        let scored = Scored {
            trace: ID,
            at_ms: 1_732_406_400_000,
            metric: "quality".into(),
            source: "client".into(),
            value: 0.5,
            weight: 1.0,
            comment: None,
        };
        let content = Content { request: serde_json::json!({"n": 1.5}), reply, scores: vec![score(scored)] };
        insta::assert_snapshot!(shown(&view(trace, &unlearned(), Some(content))), @r#"{"id":"01935a7b-0000-7000-8000-000000000001","at":"2024-11-24T00:00:00Z","route":"auto","metadata":{},"shadows":"01935a7b-0000-7000-8000-000000000000","model":"p/large","drift_alarms":null,"outcome":"client_gone","stream":true,"decision":{"kind":"shadow","policy":"thompson","snapshot_version":7,"segment":"strict","knob":{"budget_per_1k":2.0},"phi":[1.0,-0.30000000000000004],"widening":1.5,"verbosity":null,"input_tokens":200,"difficulty":0.10000000149011612,"candidates":[{"arm":"small","quality":0.5,"cost_usd":1e-7,"propensity":0.75},{"arm":"large","quality":0.5,"cost_usd":1e-7,"propensity":0.25}],"preferred":0,"chosen":1,"draw":0.875,"audit":{"share":0.25,"best":1},"panel":{"members":[1,0],"verdict":"differed","like":[true,false]}},"attempts":[{"model":"p/small","status":503,"error":null,"duration_us":60}],"usage":{"input_tokens":300,"output_tokens":5,"cached_input_tokens":1,"cache_write_tokens":4,"cache_write_1h_tokens":3,"reasoning_tokens":2},"cost_usd":0.125,"first_byte_us":70,"total_us":80,"request":{"n":1.5},"reply":{"content":"hi","finish_reason":null,"refusal":true,"tool_calls":false,"truncated":false},"scores":[{"id":"05af42a5-c859-8e05-b585-33c69b37fa60","at":"2024-11-24T00:00:00Z","name":"quality","source":"client","value":0.5,"comment":null}]}"#);
    }

    #[test]
    fn what_was_not_decided_or_counted_is_null() {
        let bare = Trace {
            route: None,
            decision: None,
            model: None,
            usage: None,
            cost_usd: None,
            attempts: vec![],
            ..trace()
        };
        insta::assert_snapshot!(shown(&view(bare, &unlearned(), None)), @r#"{"id":"01935a7b-0000-7000-8000-000000000001","at":"2024-11-24T00:00:00Z","route":null,"metadata":{},"shadows":null,"model":null,"drift_alarms":null,"outcome":"client_gone","stream":true,"decision":null,"attempts":[],"usage":null,"cost_usd":null,"first_byte_us":70,"total_us":80}"#);
    }

    #[test]
    fn the_words_for_kinds_knobs_and_outcomes_stay_as_they_are() {
        let kinds = [Kind::Exploit, Kind::Explore, Kind::Pinned, Kind::Fallback, Kind::Cache, Kind::Shadow];
        let kinds = kinds.map(|kind| DecisionView::from(&decision(kind, Knob::Quality(1.0))));
        let kinds = kinds.map(|view| serde_json::to_value(view).unwrap()["kind"].clone());
        assert_eq!(kinds, ["exploit", "explore", "pinned", "fallback", "cache", "shadow"]);
        let knobs = [Knob::Quality(0.95), Knob::BudgetPer1k(2.0), Knob::Value(0.5)].map(KnobView::from);
        assert_eq!(shown(&knobs), r#"[{"quality":0.95},{"budget_per_1k":2.0},{"value":0.5}]"#);
        let outcomes = [Outcome::Answered, Outcome::ClientGone, Outcome::Cut, Outcome::Failed].map(Outcome::name);
        assert_eq!(outcomes, ["answered", "client_gone", "cut", "failed"]);
    }
}
