//! `satisfice evaluate`: what another setting or another policy would have been worth.

pub mod traces;

/// `satisfice evaluate`'s flags.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub traces: traces::TracesArgs,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the arguments or a file, with its line.
pub fn run(options: &Options) -> anyhow::Result<()> {
    traces::run(&options.traces)
}
