//! What the file says: each value read and checked on its own. What the entries mean together is `resolve`'s.

mod cache;
mod model;
mod provider;
mod route;
mod rule;
mod scorer;
mod segment;
mod server;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use self::cache::{Cache, RouteCache};
pub(super) use self::model::{Model, ModelKind};
pub(super) use self::provider::{Provider, what};
pub(super) use self::route::{Route, knob};
pub(super) use self::rule::Rule;
pub(super) use self::scorer::Scorer;
pub(super) use self::segment::Segment;
pub(super) use self::server::{Deadlines, Server};
use super::environment::Environment;
use super::section::{Located, Section};

/// Longest name of a provider, model or route, in bytes.
const LONGEST_NAME: usize = 128;

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
    pub(super) classifier: Option<Located<PathBuf>>,
    /// `None`: the file has no `[cache]`.
    pub(super) cache: Option<Cache>,
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

fn classifier(section: &mut Section<'_, '_>) -> Option<Located<PathBuf>> {
    path(section, "path", "a folder that `satisfice train` wrote")
}

fn path(section: &mut Section<'_, '_>, key: &'static str, expected: &str) -> Option<Located<PathBuf>> {
    let path = section.string(key, expected)?;
    if path.value.is_empty() {
        section.findings.mistake(path.line, format!("`{key}` is empty; give {expected}"));
    }
    Some(Located { value: path.value.into(), line: path.line })
}

fn seconds(section: &mut Section<'_, '_>, key: &'static str) -> Option<Duration> {
    let typed = section.number(key, f64::MIN_POSITIVE..86_400.0, true, "seconds above 0 and up to 86400");
    typed.map(|typed| Duration::from_secs_f64(typed.value))
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
