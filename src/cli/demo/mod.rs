//! `satisfice demo`: the whole loop with no key and no network.
//!
//! Five [simulated models](models) behind a [real HTTP port](provider) are asked [generated puzzles](puzzles) through
//! the real gateway. A [scorer](scorer) reads the answers' text and reports to `POST /v1/feedback`; the gateway
//! learns. Nothing of a puzzle but its prompt reaches the gateway.

mod folder;
pub mod live;
pub mod models;
pub mod provider;
pub mod puzzles;
pub mod report;
pub mod run;
pub mod scorer;
pub mod settings;
pub mod tally;
pub mod traffic;

use std::path::PathBuf;

use futures_util::TryStreamExt;

use live::Live;
use puzzles::Puzzle;
use tally::Tally;
use traffic::TrafficError;

use super::numbers;

/// `satisfice demo`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Puzzles to send.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub requests: u32,
    /// The share of the best model's quality to keep, 0 to 1.
    #[arg(long, default_value_t = 0.95, value_parser = numbers::share)]
    pub quality: f64,
    /// Chooses the puzzles and the simulated models' luck.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Keep what was learned here, in a folder of its own: another gateway's is refused [default: a temporary folder, removed at the end].
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Leave the gateway up after the run, to look at traces and metrics.
    #[arg(long, visible_alias = "serve")]
    pub keep_running: bool,
    /// Print the configuration that the gateway runs with.
    #[arg(long)]
    pub show_config: bool,
    /// How long the simulated models take to answer: 1 for 15 to 60 ms, 0 for at once.
    #[arg(long, default_value_t = 1.0, value_parser = pace)]
    pub pace: f64,
}

/// Sends the puzzles through the gateway at `gateway` (scheme, host and port), showing the run on `live`.
///
/// # Errors
/// The first request that the gateway does not serve as its contract says.
pub async fn play(gateway: &str, puzzles: &[Puzzle], live: &Live) -> Result<Tally, TrafficError> {
    let client = traffic::client();
    let tally = traffic::drive(&client, gateway, puzzles)
        .try_fold(Tally::default(), async |mut tally, answered| {
            let puzzle = &puzzles[answered.puzzle];
            tally.add(answered, puzzle);
            live.show(&tally);
            Ok(tally)
        })
        .await;
    live.finish();
    tally
}

fn pace(typed: &str) -> Result<f64, String> {
    numbers::within(typed, 100.0, "give a factor from 0 (answer at once) to 100")
}
