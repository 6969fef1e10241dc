//! What the entries of a file mean together: references resolved, facts completed, defaults filled in.

mod cache;
mod known;
mod models;
mod providers;
mod routes;
mod rules;
mod scorers;
mod segments;
mod server;

use std::collections::BTreeSet;

use self::models::Models;
use super::file::{self, File};
use super::findings::{Findings, did_you_mean};
use super::section::Located;
use super::{Environment, Flags, Setup};
use crate::catalog::providers::Catalogue;
use crate::gateway::{DEFAULT_ATTEMPTS, DEFAULT_DEADLINES, Settings};
use crate::upstream::Deadlines;

/// What the file means under these flags. Only to be used if no mistake was noted: what is wrong is left out.
pub(super) fn resolve(
    mut file: File,
    flags: &Flags,
    environment: &Environment,
    catalogue: &Catalogue,
    findings: &mut Findings,
) -> Setup {
    known::complete(&mut file.providers, catalogue, environment, findings);
    let Models { chat: models, embeddings, origins } = models::models(&file, catalogue, findings);
    let mut routes = match &file.routes {
        Some(routes) => {
            routes::note_embeddings(routes, &embeddings, findings);
            routes::configured_routes(routes, &file, &models, flags, findings)
        }
        None => routes::implicit_route(&models, flags, findings).into_iter().collect(),
    };
    let judging = scorers::judging(&file, &models, &mut routes, findings);
    let cache = cache::cache(&file, findings);
    Setup {
        server: server::server(&file.server, flags, findings),
        data_dir: server::data_dir(file.server.data_dir, flags, findings),
        classifier: server::classifier(file.classifier, flags, findings),
        gateway: Settings {
            models,
            embeddings,
            routes,
            deadlines: deadlines(&file.deadlines),
            attempts: file.server.attempts.map_or(DEFAULT_ATTEMPTS, |n| n as usize),
            weights: models::weights(&file.models),
            cache,
        },
        origins,
        judging,
        providers: providers::providers(file.providers, &file.models, catalogue, findings),
        remarks: vec![],
    }
}

fn deadlines(typed: &file::Deadlines) -> Deadlines {
    Deadlines {
        connect: typed.connect.unwrap_or(DEFAULT_DEADLINES.connect),
        first_byte: typed.first_byte.unwrap_or(DEFAULT_DEADLINES.first_byte),
        idle: typed.idle.unwrap_or(DEFAULT_DEADLINES.idle),
        total: typed.total.unwrap_or(DEFAULT_DEADLINES.total),
    }
}

fn unique<'n>(kind: &str, names: impl Iterator<Item = &'n Located<String>>, findings: &mut Findings) {
    let mut seen: Vec<&Located<String>> = vec![];
    for name in names {
        if let Some(first) = seen.iter().find(|other| other.value == name.value) {
            let text =
                format!("the {kind} \"{}\" is there twice, first on line {}; rename one", name.value, first.line);
            findings.mistake(name.line, text);
        }
        seen.push(name);
    }
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let hint = did_you_mean(name, known.iter().copied());
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("unknown {kind} \"{name}\"{hint} (there are: {known})")
}
