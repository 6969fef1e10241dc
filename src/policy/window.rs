//! A route's newest requests, as a sample of those to come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Decision;
use crate::catalog::Name;

/// Requests kept. A solution costs time in proportion; the error of a mean over them is about 2%.
pub(super) const CAPACITY: usize = 512;
/// With fewer requests than this, points around the training's mean are added.
const FEW: usize = 32;
/// With fewer requests of its own than this, a controller borrows the missing ones from the others: the error of a mean
/// over them is about 4%.
const POOLED: usize = 128;
/// The assumed length of a request before any came, tokens.
const USUAL_INPUT: f64 = 150.0;

/// A ring of the newest decided requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    rows: VecDeque<Row>,
}

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub phi: Vec<f64>,
    pub verbosity: f64,
    pub input_tokens: f64,
    /// Two models might be asked before a dear one.
    pub consults: bool,
    /// The chosen arm's name.
    pub arm: Name,
    /// Its π.
    pub propensity: f64,
    pub score: Option<f64>,
    /// Tells it apart from the others.
    key: (u64, u64),
}

impl Window {
    /// Adds a request, in place of the oldest where the window is full.
    pub fn push(&mut self, decision: &Decision) {
        if self.rows.len() == CAPACITY {
            self.rows.pop_front();
        }
        let chosen = &decision.candidates[decision.chosen];
        self.rows.push_back(Row {
            phi: decision.phi.clone(),
            verbosity: decision.verbosity,
            input_tokens: f64::from(decision.input_tokens),
            consults: decision.consult.is_some(),
            arm: chosen.arm.clone(),
            propensity: chosen.propensity,
            score: None,
            key: key(decision),
        });
    }

    /// The request's answer is scored; ignored if the request has left the window.
    pub fn score(&mut self, decision: &Decision, value: f64) {
        let key = key(decision);
        if let Some(row) = self.rows.iter_mut().rev().find(|row| row.key == key) {
            row.score = Some(value);
        }
    }

    /// Whether there are so few requests that others' have to make up for them.
    pub fn is_few(&self) -> bool {
        self.rows.len() < POOLED
    }

    /// The requests and, while they are few, an even sample of the `others`'.
    pub fn pooled<'a>(&'a self, others: impl Iterator<Item = &'a Self>) -> Vec<&'a Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        if self.is_few() {
            let others: Vec<&Row> = others.flat_map(Self::rows).collect();
            let lacking = (POOLED - rows.len()).min(others.len());
            rows.extend((0..lacking).map(|i| others[i * others.len() / lacking]));
        }
        rows
    }

    /// The requests, oldest first.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }
}

/// A request to solve for.
pub struct Ahead {
    pub phi: Vec<f64>,
    pub verbosity: f64,
    pub input_tokens: f64,
    pub consults: bool,
}

/// The requests and, while they are few, points one deviation from the training's mean along each axis.
pub fn contexts(rows: &[&Row], d: usize) -> Vec<Ahead> {
    let ahead = |row: &&Row| Ahead {
        phi: row.phi.clone(),
        verbosity: row.verbosity,
        input_tokens: row.input_tokens,
        consults: row.consults,
    };
    let mut all: Vec<Ahead> = rows.iter().map(ahead).collect();
    if all.len() < FEW {
        let n = all.len() as f64;
        let usual = if n > 0.0 { all.iter().map(|ahead| ahead.input_tokens).sum::<f64>() / n } else { USUAL_INPUT };
        let consults = rows.last().is_some_and(|row| row.consults);
        all.extend(sigma_points(d).map(|phi| Ahead { phi, verbosity: 0.0, input_tokens: usual, consults }));
    }
    all
}

/// The draw is as good as unique; the snapshot's version sets requests apart where a test repeats a draw.
fn key(decision: &Decision) -> (u64, u64) {
    (decision.draw.to_bits(), decision.snapshot_version)
}

/// e₀ and e₀ ± eⱼ: z has mean 0 and variance 1 in training.
fn sigma_points(d: usize) -> impl Iterator<Item = Vec<f64>> {
    let point = move |axis: usize, z: f64| {
        let mut phi = vec![0.0; d];
        phi[axis] = z;
        phi[0] = 1.0;
        phi
    };
    std::iter::once(point(0, 1.0)).chain((1..d).flat_map(move |axis| [point(axis, 1.0), point(axis, -1.0)]))
}
