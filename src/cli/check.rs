//! `satisfice check`: is this configuration valid, and what does it mean?

use std::path::PathBuf;

use super::serve::DEFAULT_FILE;
use super::table;
use crate::catalog::providers::{Catalogue, CatalogueError};
use crate::catalog::{Model, Price};
use crate::config::{self, Environment, Flags, Mistakes, PriceOrigin, Setup};
use crate::difficulty::{Bundle, DifficultyError};
use crate::gateway::{RouteSettings, SegmentSettings};
use crate::policy::Knob;
use crate::scorers::judge::Judging;
use crate::upstream::settings::ProviderSettings;

/// `satisfice check`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The file to check.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
}

/// A configuration that `serve` would not take.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// All of them, one per line, as `FILE:LINE: message`.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error("{file}: the classifier cannot be loaded: {reason}; check `path` in [classifier]")]
    Classifier { file: String, reason: DifficultyError },
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Checks a file and describes what it means. The environment must hold what its `env:NAME`s name.
///
/// # Errors
/// Every mistake of the file, or a classifier that cannot be loaded.
pub fn run(options: &Options, environment: &Environment) -> Result<String, CheckError> {
    let setup = config::load(&options.config, environment, &Flags::default(), &Catalogue::embedded()?)?;
    let file = options.config.display().to_string();
    match setup.classifier.as_deref().map(Bundle::load) {
        Some(Err(reason)) => Err(CheckError::Classifier { file, reason }),
        Some(Ok(_)) | None => Ok(describe(&setup, &file)),
    }
}

/// What a valid configuration means, for people: providers, models with their prices and where these are from, routes
/// with their knobs, and what is worth a look. `source_name`: what messages call the file.
pub fn describe(setup: &Setup, source_name: &str) -> String {
    let models = setup.gateway.models.iter().chain(&setup.gateway.embeddings);
    let mut out = format!("{source_name}: valid\n");
    section(&mut out, "providers", setup.providers.iter().map(provider));
    let with_origins = models.zip(&setup.origins);
    section(&mut out, "models (USD per million tokens, input / output)", with_origins.map(|(m, o)| model(m, o)));
    section(&mut out, "routes", setup.gateway.routes.iter().flat_map(with_segments));
    section(&mut out, "scorers", judges(&setup.judging));
    section(&mut out, "remarks", setup.remarks.iter().map(|remark| [remark.located(source_name)]));
    out
}

/// A title and its rows, columns aligned; nothing where there are no rows.
fn section<const N: usize>(out: &mut String, title: &str, rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        *out += &format!("{title}\n{}", table::words("  ", &rows));
    }
}

fn provider(provider: &ProviderSettings) -> [String; 3] {
    let keys = match provider.api_keys.len() {
        0 if provider.has_credentials() => "with a key".to_owned(),
        0 => "without a key".to_owned(),
        1 => "with a key".to_owned(),
        n => format!("with {n} keys"),
    };
    [provider.name.clone(), provider.base_url.to_string(), keys]
}

fn model(model: &std::sync::Arc<Model>, origin: &PriceOrigin) -> [String; 4] {
    let origin = match origin {
        PriceOrigin::File => "from the file".to_owned(),
        PriceOrigin::Catalogue(fact) => format!("from the catalogue: {fact}"),
        PriceOrigin::Unknown => String::new(),
    };
    let window = model.context_window.map_or("context unknown".to_owned(), |tokens| format!("{tokens} tokens"));
    [model.id.to_string(), model.price.as_ref().map_or("price unknown".to_owned(), price), window, origin]
}

fn price(price: &Price) -> String {
    format!("{} / {}", price.input, price.output)
}

/// A route, and below it its segments in their order.
fn with_segments(one: &RouteSettings) -> impl Iterator<Item = [String; 3]> {
    std::iter::once(route(one)).chain(one.segments.iter().map(segment))
}

fn route(route: &RouteSettings) -> [String; 3] {
    let mut steered = steering(route.knob, route.explore);
    if route.shadow > 0.0 {
        steered += &format!(", shadow {}", route.shadow);
    }
    let models: Vec<_> = route.models.iter().map(|m| m.id.to_string()).collect();
    [route.name.clone(), steered, models.join(", ")]
}

fn segment(segment: &SegmentSettings) -> [String; 3] {
    [format!("- {}", segment.name), steering(segment.knob, segment.explore), segment.metadata.to_string()]
}

fn steering(knob: Knob, explore: bool) -> String {
    if explore { knob.to_string() } else { format!("{knob}, no exploration") }
}

/// One row for each judge of each route.
fn judges(judging: &Judging) -> impl Iterator<Item = [String; 4]> {
    let all = judging.iter().flat_map(|(route, judges)| judges.iter().map(move |judge| (route, judge)));
    all.map(|(route, judge)| {
        let (share, weight) = (format!("share {}", judge.share), format!("weight {}", judge.weight));
        [judge.name.clone(), format!("{} judges {route}", judge.model.id), share, weight]
    })
}
