//! One demo from beginning to end: provider, gateway, traffic, report.

use anyhow::Context;

use super::folder::Folder;
use super::live::Live;
use super::models::LADDER;
use super::provider::Provider;
use super::puzzles::{self, Puzzle};
use super::report::{Example, Report};
use super::{Options, play, settings};
use crate::catalog::providers::Catalogue;
use crate::cli::assemble::{Running, assemble};
use crate::cli::stdout::say;
use crate::config::{self, Environment, Flags};

/// Everything up and nothing asked yet.
pub struct Demo {
    options: Options,
    puzzles: Vec<Puzzle>,
    provider: Provider,
    gateway: Running,
    /// The configuration that the gateway runs with.
    pub config: String,
    // Dropped last: the gateway's files lie in it.
    folder: Folder,
}

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// It cannot start: the user's to mend.
    #[error("{0:#}")]
    Start(anyhow::Error),
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<std::io::Error> for DemoError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Demo {
    /// Starts the simulated models and, in front of them, the gateway as `serve` would.
    ///
    /// # Errors
    /// The loopback or the data folder cannot be used, or the folder is another gateway's.
    pub async fn start(options: &Options) -> anyhow::Result<Self> {
        let folder = Folder::new(options.data_dir.as_ref())?;
        let puzzles = puzzles::generate(options.seed, options.requests as usize);
        let provider = Provider::start(&puzzles, options.seed, options.pace).await;
        let provider = provider.context("the simulated models need a port of 127.0.0.1")?;
        let config = settings::toml(&provider.base_url(), folder.path(), options.quality);
        let flags = Flags::default();
        let setup =
            config::parse(&config, "the demo's file", &Environment::default(), &flags, &Catalogue::embedded()?)?;
        let gateway = assemble(setup, None).await?;
        Ok(Self { options: options.clone(), puzzles, provider, gateway, config, folder })
    }

    /// `http://` and the address of the gateway.
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// Sends all puzzles.
    ///
    /// # Errors
    /// The first request that the gateway does not serve as its contract says.
    pub async fn play(&self, live: &Live) -> anyhow::Result<Report> {
        let tally = play(&self.gateway_url(), &self.puzzles, live).await?;
        Ok(Report::new(&tally, &self.puzzles, self.provider.bill(), self.options.quality, self.options.seed))
    }

    /// Stops the gateway in order; a temporary data folder is removed.
    ///
    /// # Errors
    /// What was learned could not be kept.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.gateway.stop(std::future::pending()).await
    }
}

/// Runs `satisfice demo`.
///
/// # Errors
/// The demo cannot start, or the gateway failed a request.
pub async fn run(options: &Options) -> Result<(), DemoError> {
    let demo = Demo::start(options).await.map_err(DemoError::Start)?;
    say(opening(&demo));
    if options.show_config {
        say(&demo.config);
    }
    let report = demo.play(&Live::new(demo.puzzles.len())).await?;
    say(format_args!("\n{report}"));
    if let Some(example) = &report.example {
        say(format_args!("{example}\n{}", look(&demo, example)));
    }
    if options.keep_running {
        say(format_args!("\nThe gateway is up at {}; Ctrl-C stops it.", demo.gateway_url()));
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    Ok(demo.stop().await?)
}

fn opening(demo: &Demo) -> String {
    format!(
        "This is a simulation: {} simulated models ({} to {}), {} generated puzzles, no network beyond this machine.\n\
         Real are the gateway at {}, every HTTP request, the scores and the learning. Data: {}",
        LADDER.len(),
        LADDER[0].name,
        LADDER[LADDER.len() - 1].name,
        demo.puzzles.len(),
        demo.gateway_url(),
        demo.folder.path().display()
    )
}

/// How to look at the example.
fn look(demo: &Demo, example: &Example) -> String {
    let curl = format!("curl -s {}/v1/traces/{}", demo.gateway_url(), example.trace_id);
    match demo.options.keep_running {
        true => format!("Look at it:  {curl}"),
        false => format!("It ends with the demo. With --keep-running the gateway stays up, and this shows it:  {curl}"),
    }
}
