//! **satisfice**: a self-hosted LLM gateway that learns, per request, the cheapest model that is good enough.
//!
//! # The map
//!
//! Arrows point one way; `tests/it/architecture.rs` holds the modules to this table.
//!
//! | module | what lives there | may use |
//! |---|---|---|
//! | [`api`] | wire types of the clients' protocols; unknown fields kept | – |
//! | [`catalog`] | model and provider ids, prices, limits, capabilities | – |
//! | [`telemetry`] | tracing set-up and metrics | – |
//! | [`final_answer`] | the final answer of a reply, and whether two are the same; pure | – |
//! | [`features`] | request → [`features::Features`]: tokenizer, static encoder or transformer, hand-made signals | api |
//! | [`difficulty`] | the candle classifier: features → [`difficulty::Context`]; loading, training | catalog, features |
//! | [`policy`] | [`policy::Decision`], immutable [`policy::Snapshot`], pure `decide` and `learn` | catalog, difficulty |
//! | [`trace`] | the record of one request, and its exported line; the closed [`trace::Event`] enum | api, catalog, policy |
//! | [`evaluate`] | what a policy is worth, found offline: frontiers, baselines, simulation, off-policy estimates; pure | catalog, features, difficulty, policy, trace |
//! | [`upstream`] | [`upstream::Provider`]: pure translation, one file each; `dispatch` does the network | api, catalog |
//! | [`store`] | trait [`store::Store`]; redb; versioned on-disk forms | api, catalog, policy, trace |
//! | [`scorers`] | trait [`scorers::Scorer`]: one file each; scores → reward | api, catalog, telemetry, final_answer, policy, trace, upstream |
//! | [`learner`] | the one thread that owns the mutable policy | catalog, policy, store, scorers, trace |
//! | [`gateway`] | the request path, readable on one screen; the end-of-stream guard; answers given again | api, catalog, telemetry, features, final_answer, difficulty, policy, upstream, trace |
//! | [`server`] | axum routes, SSE, the one place where errors become statuses | api, catalog, policy, gateway, store, learner, trace, upstream |
//! | [`config`] | raw TOML → validated settings; only the binary uses it | api, catalog, policy, upstream, scorers, gateway, server |
//! | [`cli`] | commands; wiring; ordered shutdown | everything |
//!
//! ```text
//! server → gateway: features → difficulty → policy.decide → upstream.dispatch → server → client
//!                 └ recording guard ─ bounded channel: Event ┐
//! gateway ◄─ published Arc<Snapshot> ◄─ learner: store → scorers → reward → learn
//! ```
//!
//! # Invariants
//!
//! - `features`, `difficulty` (except loading), `policy` and `evaluate` do no I/O, read no clock and own no
//!   randomness: a draw is an argument.
//! - The request path holds no lock across an await, never waits for disk, learner or scorer, and counts what it
//!   has to drop.
//! - The gateway never fails because the classifier or the store did: it falls back to the route's safest model and
//!   says so.
//! - Shadows and judges, which compare a route with its best model, are bounded and off the request path: no client waits
//!   for them, and what there is no room for is dropped and counted.
//! - Whoever is asked before the drawn model is asked once, of whole answers only, and its calls are in the trace and the
//!   cost like all others.
//! - No fallback once a byte of the answer has reached the client. The end of a stream is recorded exactly once,
//!   also when the client leaves.
//! - φ of one training run says nothing in another's: a request is decided with the classifier that its snapshot is
//!   learned on, and a decision is learned from only in the φ that it was made or assessed again in.
//! - Every decision stores φ, the candidates, the whole propensity vector and the snapshot's version: it can be
//!   replayed to the bit.
//! - Only [`store`]'s versioned types go to disk. What a checkpoint holds is the policy's own state, as it is: one of
//!   another version, classifier or shape is thrown away, and the ledger is learned from anew.
//! - Only [`api`] types and the server's own views go on the wire.
//! - Nothing ends for want of somebody who reads the log or standard output: `println!` and the like panic there.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod api;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod difficulty;
pub mod evaluate;
pub mod features;
pub mod final_answer;
pub mod gateway;
pub mod learner;
pub mod policy;
pub mod scorers;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod upstream;
