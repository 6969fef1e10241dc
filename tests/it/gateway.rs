//! A whole gateway on its own port before a [`Scripted`] upstream; the test is its learner.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::{Client, RequestBuilder, Response};
use satisfice::catalog::{Capabilities, Model, ModelId, Price};
use satisfice::difficulty::Bundle;
use satisfice::gateway::{
    CacheSettings, DEFAULT_DEADLINES, Gateway, RouteSettings, SegmentSettings, Settings, Setup, Sources,
};
use satisfice::policy::{Knob, Snapshot};
use satisfice::server::{self, Admission, ApiKeys, App, Learning, Phase, Site, Workers};
use satisfice::store::{Scored, StoreError, TracePage, TraceReader};
use satisfice::telemetry::Metrics;
use satisfice::trace::{Event, Owner, Trace, TraceId};
use satisfice::upstream::Upstreams;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::scripted::Scripted;

/// The body limit of a gateway under test, bytes: more than a trace keeps.
pub const BODY_LIMIT: usize = 512 * 1024;
/// Generous: only a test that fails takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway, serving `small` and `large` behind the route `auto` with the segments `strict` and `thrifty`, and `plain` (no tools, 1,000 tokens) beside it
/// behind the route `narrow`.
pub struct Running {
    pub upstream: Scripted,
    pub gateway: Arc<Gateway>,
    client: Client,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    events: mpsc::Receiver<Event>,
    phase: watch::Sender<Phase>,
    app: Arc<App>,
    served: JoinHandle<()>,
}

/// What can differ between gateways under test.
pub struct Options {
    pub keys: ApiKeys,
    /// Events that the channel holds.
    pub room: usize,
    /// The learner has published the routes.
    pub published: bool,
    pub settings: Settings,
    /// What the upstream speaks.
    pub wire: Wire,
    /// Of `settings`; all of them are the scripted upstream. `None`: those that the models name, with nothing special.
    pub providers: Option<fn(&Scripted) -> Vec<ProviderSettings>>,
    pub bundle: Arc<Bundle>,
    /// Unix milliseconds, in place of the system's.
    pub clock: Option<Arc<AtomicU64>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: ApiKeys::default(),
            room: 64,
            published: true,
            settings: settings(),
            wire: Wire::OpenAi,
            providers: None,
            bundle: Arc::new(Bundle::embedded().unwrap()),
            clock: None,
        }
    }
}

impl Running {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let upstream = Scripted::start().await;
        let settings = options.settings;
        let specs = settings.route_specs();
        let bundle = options.bundle;
        let prior = Snapshot::new(bundle.prior.clone()).learned_on(&bundle.fingerprint);
        let snapshot = if options.published { prior.configure(&specs) } else { prior };
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let learning = Learning { snapshot: snapshot.clone(), counters: Arc::default() };
        let metrics = Arc::new(Metrics::default());
        let names: BTreeSet<_> =
            settings.models.iter().chain(&settings.embeddings).map(|model| model.id.provider.as_str()).collect();
        let plain = || {
            names.into_iter().map(|name| ProviderSettings { wire: options.wire, ..upstream.provider(name) }).collect()
        };
        let providers = options.providers.map_or_else(plain, |providers| providers(&upstream));
        let upstreams = Upstreams::new(providers, settings.deadlines.connect).unwrap();
        let (sender, events) = mpsc::channel(options.room);
        let gateway = Arc::new(Gateway::new(
            Setup::new(settings, upstreams, &metrics),
            snapshot,
            bundle,
            sender,
            metrics,
            sources(options.clock),
        ));
        let admission = Admission { clients: options.keys, operators: None, reserved: vec!["own".into()] };
        let app = App::new(gateway.clone(), Arc::new(NoTraces), learning, admission, BODY_LIMIT);
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (phase, told) = watch::channel(Phase::Serving);
        let site = Site::of_clients(app.clone());
        let served = tokio::spawn(async move {
            server::serve(listener, site, Workers::here(), told).await;
        });
        Self { upstream, gateway, client: client(), url, events, phase, app, served }
    }

    /// Listens for operators too; `http://127.0.0.1:PORT`.
    pub async fn operators(&self) -> String {
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (site, told) = (Site::of_admins(self.app.clone(), true), self.phase.subscribe());
        tokio::spawn(async move { server::serve(listener, site, Workers::here(), told).await });
        url
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).body(body)
    }

    /// A connection without a client behind it: the test writes and reads its bytes.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    /// Sends one chat completion.
    pub async fn chat(&self, body: Value) -> Response {
        self.post("/v1/chat/completions", body.to_string()).send().await.unwrap()
    }

    /// The next thing that the learner hears.
    pub async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a gateway")
    }

    /// The next record of a finished request.
    pub async fn finished(&mut self) -> Trace {
        loop {
            if let Event::Finished(trace) = self.event().await {
                return *trace;
            }
        }
    }

    /// As when the learner panicked.
    pub fn lose_learner(&mut self) {
        self.events.close();
    }

    /// As when it is told twice to stop.
    pub fn tell_to_end_at_once(&self) {
        self.phase.send_replace(Phase::Over);
    }

    /// Stops the gateway; what the learner had not heard by then.
    pub async fn stop(mut self) -> Vec<Event> {
        drop(self.client);
        self.phase.send_replace(Phase::Ending);
        timeout(PATIENCE, self.served).await.expect("an end in time").unwrap();
        drop((self.gateway, self.app));
        let mut rest = vec![];
        while let Some(event) = timeout(PATIENCE, self.events.recv()).await.expect("the gateway to be gone") {
            rest.push(event);
        }
        rest
    }
}

fn sources(clock: Option<Arc<AtomicU64>>) -> Sources {
    let sources = Sources { draw: Box::new(|| 0.5), ..Sources::system() };
    match clock {
        Some(clock) => Sources { now_ms: Box::new(move || clock.load(Ordering::Relaxed)), ..sources },
        None => sources,
    }
}

/// One user message for `model`.
pub fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "What is 2 + 2?"}]})
}

/// The same, streamed.
pub fn ask_stream(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = true.into();
    body
}

pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// The body of any answer.
pub async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// The `error` object of a response, with its status.
pub async fn error(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).expect("OpenAI's error shape");
    assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    (status, body["error"].clone())
}

pub fn client() -> Client {
    // It may be installed already, by a test that came first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

pub fn settings() -> Settings {
    let (small, large) = (model("small", 0.1), model("large", 1.0));
    let plain = Arc::new(Model {
        context_window: Some(1000),
        capabilities: Capabilities { tools: Some(false), vision: Some(false), json_schema: Some(false) },
        ..(*model("plain", 0.1)).clone()
    });
    Settings {
        models: vec![small.clone(), large.clone(), plain.clone()],
        embeddings: vec![],
        routes: vec![
            RouteSettings {
                segments: vec![
                    segment("strict", "team=search, env=prod", Knob::Quality(0.99)),
                    segment("thrifty", "team=search", Knob::BudgetPer1k(0.5)),
                ],
                ..route("auto", vec![small, large])
            },
            route("narrow", vec![plain]),
        ],
        deadlines: DEFAULT_DEADLINES,
        attempts: 3,
        weights: HashMap::new(),
        cache: CacheSettings::default(),
    }
}

/// `usd` for a million tokens in, twice that for a million out.
pub fn model(name: &str, usd: f64) -> Arc<Model> {
    model_of("test", name, &format!("{name}-upstream"), usd)
}

/// As [`model`], at another provider.
pub fn model_of(provider: &str, name: &str, upstream_name: &str, usd: f64) -> Arc<Model> {
    Arc::new(Model {
        id: ModelId { provider: provider.into(), model: name.into() },
        upstream_name: upstream_name.into(),
        price: Some(Price::of(usd, 2.0 * usd)),
        context_window: None,
        max_output_tokens: None,
        capabilities: Capabilities::default(),
    })
}

pub fn route(name: &str, models: Vec<Arc<Model>>) -> RouteSettings {
    RouteSettings { explore: false, ..RouteSettings::new(name, models, Knob::Quality(0.95)) }
}

fn segment(name: &str, metadata: &str, knob: Knob) -> SegmentSettings {
    SegmentSettings { name: name.into(), metadata: metadata.parse().unwrap(), knob, explore: false }
}

/// The learner is the test, and it keeps nothing.
struct NoTraces;

impl TraceReader for NoTraces {
    fn trace(&self, _: TraceId) -> Result<Option<Trace>, StoreError> {
        Ok(None)
    }
    fn newest(&self, _: Option<TraceId>, _: usize) -> Result<TracePage, StoreError> {
        Ok(TracePage::default())
    }
    fn scores(&self, _: TraceId) -> Result<Vec<Scored>, StoreError> {
        Ok(vec![])
    }
    fn owner(&self, _: TraceId) -> Result<Option<Owner>, StoreError> {
        Ok(None)
    }
    fn was_decided_in(&self, _: TraceId, _: u64) -> Result<bool, StoreError> {
        Ok(false)
    }
}
