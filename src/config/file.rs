//! What the file says: each value read and checked on its own. What the entries mean together is `resolve`'s.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::aws;
use super::cache::{Cache, RouteCache};
use super::environment::{Environment, secret};
use super::rule::Rule;
use super::section::{Located, Section};
use super::segment::Segment;
use super::vertex;
use crate::catalog::quirks::Quirks;
use crate::catalog::{Capabilities, Price};
use crate::gateway::Balance;
use crate::policy::Knob;
use crate::upstream::Fallbacks;
use crate::upstream::settings::{AwsKeys, OwnDeadlines, Wire};
use crate::upstream::vertex::ServiceAccount;

/// Headers that the gateway sets itself, or that belong to the connection.
const OWN_HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "content-length",
    "content-type",
    "accept",
    "accept-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Longest name of a provider, model or route, in bytes.
const LONGEST_NAME: usize = 128;

/// Longest rubric of a judge, in bytes: it is paid for with each grade.
const LONGEST_RUBRIC: usize = 16 << 10;
const WEIGHT: &str = "a number above 0 and up to 1, what a client's own score counts";

/// A whole file. `None`: not there, or wrong (and noted).
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) providers: Vec<Provider>,
    pub(super) models: Vec<Model>,
    /// `None`: the file has no `[[routes]]`.
    pub(super) routes: Option<Vec<Route>>,
    pub(super) deadlines: Deadlines,
    pub(super) scorers: Vec<Scorer>,
    pub(super) classifier: Option<PathBuf>,
    /// `None`: the file has no `[cache]`.
    pub(super) cache: Option<Cache>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) listen: Option<Located<SocketAddr>>,
    pub(super) admin_listen: Option<Located<SocketAddr>>,
    pub(super) data_dir: Option<Located<PathBuf>>,
    pub(super) api_keys: Vec<SecretString>,
    /// The file lists keys, be they valid or not.
    pub(super) has_api_keys: bool,
    pub(super) max_body_mib: Option<u32>,
    pub(super) attempts: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) total: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Provider {
    pub(super) line: usize,
    pub(super) name: Option<Located<String>>,
    pub(super) wire: Option<Wire>,
    /// The file gives a kind, be it valid or not; likewise the next ones.
    pub(super) has_kind: bool,
    pub(super) base_url: Option<Located<Url>>,
    pub(super) has_base_url: bool,
    pub(super) api_keys: Vec<SecretString>,
    pub(super) deadlines: OwnDeadlines,
    pub(super) service_account: Option<Arc<ServiceAccount>>,
    /// A key of some kind.
    pub(super) has_api_key: bool,
    pub(super) aws: Option<AwsKeys>,
    pub(super) headers: HeaderMap,
    pub(super) quirks: Quirks,
    pub(super) api_version: Option<Located<String>>,
    /// `data_collection` is not `deny`.
    pub(super) collects_data: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) line: usize,
    pub(super) name: Option<Located<String>>,
    pub(super) provider: Option<Located<String>>,
    pub(super) upstream_name: Option<String>,
    /// `None`: as the catalogue has it.
    pub(super) kind: Option<ModelKind>,
    pub(super) price: Option<Price>,
    pub(super) context_window: Option<u32>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) capabilities: Capabilities,
    /// Its share of the load where the model is at several providers.
    pub(super) weight: Option<f64>,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelKind {
    Chat,
    Embedding,
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: Option<Located<String>>,
    pub(super) models: Option<Located<Vec<Located<String>>>>,
    pub(super) knob: Option<Knob>,
    pub(super) explore: bool,
    pub(super) shadow: Option<Located<f64>>,
    /// `None`: all that there are.
    pub(super) scorers: Option<Vec<Located<String>>>,
    pub(super) segments: Vec<Segment>,
    pub(super) rules: Vec<Rule>,
    pub(super) balance: Balance,
    pub(super) attempts: Option<u32>,
    pub(super) hedge: Option<Duration>,
    pub(super) deadlines: Deadlines,
    /// Names of models.
    pub(super) fallbacks: Fallbacks<Vec<Located<String>>>,
    pub(super) cache: Option<RouteCache>,
}

#[derive(Debug)]
pub(super) struct Scorer {
    pub(super) name: Option<Located<String>>,
    pub(super) model: Option<Located<String>>,
    pub(super) rubric: Option<String>,
    pub(super) share: Option<f64>,
    pub(super) weight: Option<f64>,
}

impl File {
    pub(super) fn read(root: &mut Section<'_, '_>, environment: &Environment) -> Self {
        Self {
            server: root.section("server", |s| Server::read(s, environment)).unwrap_or_default(),
            providers: root.sections("providers", |s| Provider::read(s, environment)).unwrap_or_default(),
            models: root.sections("models", Model::read).unwrap_or_default(),
            routes: root.sections("routes", Route::read),
            scorers: root.sections("scorers", Scorer::read).unwrap_or_default(),
            deadlines: root.section("deadlines", Deadlines::read).unwrap_or_default(),
            classifier: root.section("classifier", classifier).flatten(),
            cache: root.section("cache", Cache::read),
        }
    }
}

impl Server {
    fn read(section: &mut Section<'_, '_>, environment: &Environment) -> Self {
        let keys = section.strings("api_keys", "a list such as [\"env:SATISFICE_KEY\"]");
        let none = keys.as_ref().is_some_and(|keys| keys.value.is_empty());
        let keys = keys.map_or(vec![], |keys| keys.value);
        let valid = keys.iter().filter_map(|key| secret(key, "a key of `api_keys`", environment, section.findings));
        let api_keys = valid.collect();
        Self {
            has_api_keys: section.had("api_keys") && !none,
            api_keys,
            listen: address(section, "listen"),
            admin_listen: address(section, "admin_listen"),
            data_dir: path(section, "data_dir", "a folder such as \"data\""),
            max_body_mib: section.whole("max_body_mib", 1, 1024).map(|n| n.value),
            attempts: section.whole("attempts", 1, 10).map(|n| n.value),
        }
    }
}

impl Deadlines {
    fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            connect: seconds(section, "connect_s"),
            first_byte: seconds(section, "first_byte_s"),
            idle: seconds(section, "idle_s"),
            total: seconds(section, "total_s"),
        }
    }
}

impl Provider {
    fn read(section: &mut Section<'_, '_>, environment: &Environment) -> Self {
        let name = name(section, "a name such as \"openai\"");
        let keys = keys(section);
        let wire = wire(section);
        let account = aws::Account::read(section, &name, environment);
        let vertex = vertex::read(section, wire, environment);
        let home = vertex.home.as_deref().map(|home| Located { value: home.to_owned(), line: section.line });
        let base_url = base_url(section, account.base_url(wire).or(home)).map(|url| vertex.below(url));
        let aws = account.keys(section, wire, base_url.as_ref());
        Self {
            line: section.line,
            wire,
            has_kind: section.had("kind"),
            aws,
            has_base_url: section.had("base_url") || base_url.is_some(),
            base_url,
            has_api_key: !keys.is_empty() || vertex.has_credentials,
            service_account: vertex.service_account,
            api_keys: keys
                .iter()
                .filter_map(|key| secret(key, &what("api_key", &name), environment, section.findings))
                .collect(),
            deadlines: OwnDeadlines { first_byte: seconds(section, "first_byte_s"), idle: seconds(section, "idle_s") },
            headers: headers(section, &name, environment),
            quirks: quirks(section),
            api_version: section.string("api_version", "a version such as \"2024-10-21\""),
            collects_data: collects_data(section),
            name,
        }
    }
}

impl Model {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let kind = model_kind(section);
        Self {
            line: section.line,
            kind,
            name: name(section, "the name that clients ask for, such as \"gpt-4o-mini\""),
            provider: section.required("provider", "the name of one of the [[providers]]"),
            upstream_name: section.string("upstream_name", "the provider's name of the model").map(|n| n.value),
            price: price(section, kind),
            context_window: section.whole("context_window", 1, u32::MAX).map(|n| n.value),
            max_output_tokens: section.whole("max_output_tokens", 1, u32::MAX).map(|n| n.value),
            capabilities: Capabilities {
                tools: section.boolean("tools"),
                vision: section.boolean("vision"),
                json_schema: section.boolean("json_schema"),
            },
            weight: section.number("weight", f64::MIN_POSITIVE..1e6, true, "a number above 0").map(|n| n.value),
        }
    }
}

impl Route {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let models = "a list of names of [[models]], such as [\"small\", \"large\"]";
        let route = Self {
            name: name(section, "the name that clients ask for, such as \"auto\""),
            models: section.strings("models", models),
            knob: knob(section),
            explore: section.boolean("explore").unwrap_or(true),
            shadow: section.number("shadow", 0.0..1.0, true, "a share of requests from 0 to 1, such as 0.01"),
            scorers: section.strings("scorers", "a list of names of [[scorers]]").map(|names| names.value),
            balance: balance(section),
            attempts: section.whole("attempts", 1, 10).map(|n| n.value),
            hedge: seconds(section, "hedge_after_s"),
            deadlines: Deadlines {
                connect: None,
                first_byte: seconds(section, "first_byte_s"),
                idle: seconds(section, "idle_s"),
                total: seconds(section, "total_s"),
            },
            fallbacks: section.section("fallbacks", fallbacks).unwrap_or_default(),
            segments: section.sections("segments", Segment::read).unwrap_or_default(),
            rules: section.sections("rules", Rule::read).unwrap_or_default(),
            cache: section.section("cache", RouteCache::read),
        };
        if !section.had("models") {
            section.missing("models", models);
        }
        route
    }
}

fn fallbacks(section: &mut Section<'_, '_>) -> Fallbacks<Vec<Located<String>>> {
    let mut models = |cause| {
        let expected = "a list of names of [[models]]; an empty one: nobody else is asked";
        section.strings(cause, expected).map(|models| models.value)
    };
    Fallbacks {
        error: models("error"),
        rate_limit: models("rate_limit"),
        context_length: models("context_length"),
        content_filter: models("content_filter"),
    }
}

fn balance(section: &mut Section<'_, '_>) -> Balance {
    let names = Balance::NAMES.map(|(name, _)| format!("\"{name}\"")).join(", ");
    let Some(typed) = section.string("balance", &format!("one of {names}")) else { return Balance::default() };
    let known = Balance::NAMES.iter().find(|(name, _)| *name == typed.value);
    if known.is_none() {
        section.findings.mistake(typed.line, format!("unknown `balance` \"{}\"; there are: {names}", typed.value));
    }
    known.map_or(Balance::default(), |(_, balance)| *balance)
}

impl Scorer {
    fn read(section: &mut Section<'_, '_>) -> Self {
        kind(section, "the kind of scorer: \"judge\"", &[("judge", ())]);
        Self {
            name: name(section, "a name for its scores, such as \"judge\""),
            model: section.required("model", "the name of one of the [[models]], which grades the answers"),
            rubric: rubric(section),
            share: section.number("share", 0.0..1.0, true, "a share of answers from 0 to 1").map(|n| n.value),
            weight: section.number("weight", f64::MIN_POSITIVE..1.0, true, WEIGHT).map(|n| n.value),
        }
    }
}

fn rubric(section: &mut Section<'_, '_>) -> Option<String> {
    let expected = "what the judge is to grade by, in plain words";
    let rubric = section.string("rubric", expected)?;
    let problem = match rubric.value.len() {
        _ if rubric.value.trim().is_empty() => "is empty".to_owned(),
        length if length > LONGEST_RUBRIC => format!("is longer than {LONGEST_RUBRIC} bytes"),
        _ => return Some(rubric.value),
    };
    section.findings.mistake(rubric.line, format!("`rubric` {problem}; give {expected}, or leave it out"));
    None
}

fn classifier(section: &mut Section<'_, '_>) -> Option<PathBuf> {
    path(section, "path", "a folder that `satisfice train` wrote").map(|folder| folder.value)
}

fn path(section: &mut Section<'_, '_>, key: &'static str, expected: &str) -> Option<Located<PathBuf>> {
    let path = section.string(key, expected)?;
    if path.value.is_empty() {
        section.findings.mistake(path.line, format!("`{key}` is empty; give {expected}"));
    }
    Some(Located { value: path.value.into(), line: path.line })
}

/// `api_key`, or `api_keys` where there are several.
fn keys(section: &mut Section<'_, '_>) -> Vec<Located<String>> {
    let one = section.string("api_key", "a string such as \"env:OPENAI_API_KEY\"");
    let several = section.strings("api_keys", "a list such as [\"env:OPENAI_KEY_1\", \"env:OPENAI_KEY_2\"]");
    if let (Some(one), Some(_)) = (&one, &several) {
        section.findings.mistake(one.line, "both `api_key` and `api_keys` are given; keep one of them");
    }
    one.into_iter().chain(several.map_or(vec![], |several| several.value)).collect()
}

fn seconds(section: &mut Section<'_, '_>, key: &'static str) -> Option<Duration> {
    let typed = section.number(key, f64::MIN_POSITIVE..86_400.0, true, "seconds above 0 and up to 86400");
    typed.map(|typed| Duration::from_secs_f64(typed.value))
}

/// `api_key of provider "openai"`.
pub(super) fn what(key: &str, name: &Option<Located<String>>) -> String {
    let name = name.as_ref().map_or(String::new(), |name| format!(" \"{}\"", name.value));
    format!("`{key}` of provider{name}")
}

/// Names stand in URLs, headers and `provider/model`: no slash, no white space, nothing unprintable.
pub(super) fn name(section: &mut Section<'_, '_>, expected: &str) -> Option<Located<String>> {
    let name = section.required("name", expected)?;
    let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    let problem = match () {
        () if name.value.is_empty() => "is empty".to_owned(),
        () if name.value.len() > LONGEST_NAME => format!("is longer than {LONGEST_NAME} bytes"),
        () if name.value.contains(bad) => "holds a slash, white space or a control character".to_owned(),
        () => return Some(name),
    };
    let remedy = "give a plain name; how a provider calls its model goes to `upstream_name`";
    section.findings.mistake(name.line, format!("the name {:?} {problem}; {remedy}", name.value));
    None
}

fn wire(section: &mut Section<'_, '_>) -> Option<Wire> {
    kind(section, "the wire that it speaks, such as \"openai\"", &Wire::KINDS)
}

/// One of the kinds that there are.
fn kind<T: Copy>(section: &mut Section<'_, '_>, expected: &str, known: &[(&str, T)]) -> Option<T> {
    let kind = section.string("kind", expected)?;
    let found = known.iter().find(|(name, _)| *name == kind.value);
    if found.is_none() {
        let kinds: Vec<_> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let text = format!("unknown `kind` \"{}\"; the kinds are: {}", kind.value, kinds.join(", "));
        section.findings.mistake(kind.line, text);
    }
    found.map(|(_, kind)| *kind)
}

fn address(section: &mut Section<'_, '_>, key: &'static str) -> Option<Located<SocketAddr>> {
    let typed = section.string(key, "an IP address and a port, such as \"127.0.0.1:8080\"")?;
    match typed.value.parse() {
        Ok(value) => Some(Located { value, line: typed.line }),
        Err(_) => {
            let remedy = "give an IP address and a port, such as \"127.0.0.1:8080\"";
            section.findings.mistake(typed.line, format!("`{key}` \"{}\" is no address; {remedy}", typed.value));
            None
        }
    }
}

/// How a provider differs from OpenAI's wire, as far as the file says so.
fn quirks(section: &mut Section<'_, '_>) -> Quirks {
    let names = "a list of request fields, such as [\"logprobs\"]";
    let renamed = "a table of strings, such as { max_completion_tokens = \"max_tokens\" }";
    let list = |typed: Option<Located<Vec<Located<String>>>>| {
        typed.map(|names| names.value.into_iter().map(|name| name.value).collect())
    };
    let renames = section.string_table("rename", renamed).map_or(vec![], |table| table.value);
    let renamed_fields = renames.into_iter().map(|(ours, its)| (ours, its.value)).collect();
    Quirks {
        chat_path: below_base(section, "chat_path", "a path below base_url, such as \"chat/completions\""),
        embeddings_path: below_base(section, "embeddings_path", "a path below base_url, such as \"embeddings\""),
        key_header: key_header(section),
        rename: renamed_fields,
        unsupported: list(section.strings("unsupported", names)),
        foreign: list(section.strings("foreign", "a list of fields of messages, such as [\"cache_control\"]")),
        functions_only: section.boolean("functions_only"),
        stream_usage: section.boolean("stream_usage"),
        developer_role: section.string("developer_role", "a role such as \"system\"").map(|role| role.value),
        ..Quirks::default()
    }
}

/// A relative path: it must not lead to another server.
fn below_base(section: &mut Section<'_, '_>, key: &'static str, expected: &str) -> Option<String> {
    let path = section.string(key, expected)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '#' | ':' | '\\');
    if path.value.is_empty() || path.value.starts_with('/') || path.value.contains(odd) || path.value.contains("..") {
        section.findings.mistake(path.line, format!("`{key}` {:?} is no such path; give {expected}", path.value));
        return None;
    }
    Some(path.value)
}

fn key_header(section: &mut Section<'_, '_>) -> Option<String> {
    let expected = "the header that the key stands in, such as \"api-key\", or \"authorization\" for a bearer token";
    let name = section.string("key_header", expected)?;
    let fit = HeaderName::from_bytes(name.value.as_bytes()).ok();
    let fit = fit.filter(|name| name == http::header::AUTHORIZATION || !OWN_HEADERS.contains(&name.as_str()));
    if fit.is_none() {
        section.findings.mistake(name.line, format!("`key_header` {:?} will not do; give {expected}", name.value));
    }
    fit.map(|name| name.to_string())
}

fn collects_data(section: &mut Section<'_, '_>) -> bool {
    let expected = "\"deny\" (it keeps nothing and learns from nothing) or \"allow\"";
    let Some(typed) = section.string("data_collection", expected) else { return true };
    if !matches!(&*typed.value, "allow" | "deny") {
        let text = format!("`data_collection` is \"{}\"; give {expected}", typed.value);
        section.findings.mistake(typed.line, text);
    }
    typed.value != "deny"
}

/// `known`: where it is if the file does not say.
fn base_url(section: &mut Section<'_, '_>, known: Option<Located<String>>) -> Option<Located<Url>> {
    let example = "such as \"https://api.openai.com/v1\"";
    let typed = section.string("base_url", &format!("a URL {example}"));
    let typed = typed.or_else(|| known.filter(|_| !section.had("base_url")))?;
    let url = Url::parse(&typed.value).map_err(|e| format!("is no URL ({e}); give one {example}"));
    match url.and_then(fit) {
        Ok(value) => Some(Located { value, line: typed.line }),
        Err(problem) => {
            section.findings.mistake(typed.line, format!("`base_url` {problem}"));
            None
        }
    }
}

fn fit(url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with https:// (or http://) and name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials; put the key into `api_key` as \"env:NAME\"".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query (?…) or a fragment (#…); give scheme, host and path only".into());
    }
    let endpoints = ["/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"];
    if let Some(endpoint) = endpoints.into_iter().find(|endpoint| url.path().trim_end_matches('/').ends_with(endpoint))
    {
        return Err(format!("ends in {endpoint}, which is added to it; leave that out"));
    }
    Ok(url)
}

fn headers(section: &mut Section<'_, '_>, provider: &Option<Located<String>>, environment: &Environment) -> HeaderMap {
    let typed = section.string_table("headers", "a table of strings, such as { \"x-team\" = \"search\" }");
    let mut headers = HeaderMap::new();
    for (name, value) in typed.map_or(vec![], |typed| typed.value) {
        if let Some((name, value)) = header(section, provider, &name, &value, environment) {
            headers.insert(name, value);
        }
    }
    headers
}

fn header(
    section: &mut Section<'_, '_>,
    provider: &Option<Located<String>>,
    typed: &str,
    value: &Located<String>,
    environment: &Environment,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(typed.as_bytes()).ok();
    let Some(name) = name.filter(|name| !OWN_HEADERS.contains(&name.as_str())) else {
        let text = format!("`headers`: {typed:?} is no header name, or one that satisfice sets itself; leave it out");
        section.findings.mistake(value.line, text);
        return None;
    };
    let text = match value.value.starts_with("env:") {
        true => secret(value, &what(typed, provider), environment, section.findings)?.expose_secret().to_owned(),
        false => value.value.clone(),
    };
    match HeaderValue::from_str(&text) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some((name, value))
        }
        Err(_) => {
            let text = format!("`headers`: the value of {typed:?} cannot stand in a header; use visible ASCII");
            section.findings.mistake(value.line, text);
            None
        }
    }
}

/// All of the price, or none of it: half a price cannot be completed from elsewhere.
fn price(section: &mut Section<'_, '_>, kind: Option<ModelKind>) -> Option<Price> {
    let mut usd = |key| section.number(key, 0.0..1e6, true, "USD per million tokens, from 0");
    let input = usd("input_usd_per_mtok");
    let output = usd("output_usd_per_mtok");
    let cached_input = usd("cached_input_usd_per_mtok").map(|usd| usd.value);
    let cache_write = usd("cache_write_usd_per_mtok").map(|usd| usd.value);
    match (input, output) {
        (Some(input), Some(output)) => {
            Some(Price { input: input.value, output: output.value, cached_input, cache_write })
        }
        // Embeddings have no output.
        (Some(input), None) if kind == Some(ModelKind::Embedding) && !section.had("output_usd_per_mtok") => {
            Some(Price { cached_input, ..Price::of(input.value, 0.0) })
        }
        (None, None) if cached_input.or(cache_write).is_none() => None,
        _ => half_a_price(section),
    }
}

/// A key that is there and wrong was noted before.
fn half_a_price(section: &mut Section<'_, '_>) -> Option<Price> {
    for key in ["input_usd_per_mtok", "output_usd_per_mtok"] {
        if !section.had(key) {
            section.missing(key, "both prices, or neither to take them from the catalogue");
        }
    }
    None
}

fn model_kind(section: &mut Section<'_, '_>) -> Option<ModelKind> {
    let expected = "\"chat\" or \"embedding\"";
    let typed = section.string("kind", expected)?;
    let kind = match &*typed.value {
        "chat" => Some(ModelKind::Chat),
        "embedding" => Some(ModelKind::Embedding),
        _ => None,
    };
    if kind.is_none() {
        section.findings.mistake(typed.line, format!("`kind` of [[models]] is \"{}\"; give {expected}", typed.value));
    }
    kind
}

pub(super) fn knob(section: &mut Section<'_, '_>) -> Option<Knob> {
    let quality = section.number("quality", 0.0..1.0, true, "a number from 0 to 1");
    let budget = section.number("budget_per_1k", f64::MIN_POSITIVE..f64::MAX, true, "USD above 0");
    if section.had("quality") && section.had("budget_per_1k") {
        let line = budget.as_ref().map_or(section.line, |budget| budget.line);
        section.findings.mistake(line, "both `quality` and `budget_per_1k` are given; keep one of them");
    }
    let budget = budget.map(|usd| Knob::BudgetPer1k(usd.value));
    quality.map(|share| Knob::Quality(share.value)).or(budget)
}
