//! The `satisfice` program: one match arm per command.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod allocator;

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use satisfice::cli::demo::run::DemoError;
use satisfice::cli::stdout::stdout;
use satisfice::cli::{calibrate, check, demo, evaluate, export, model, serve, train};
use satisfice::config::Environment;
use satisfice::gateway::unix_ms;
use satisfice::telemetry::{LogFormat, init_tracing};

#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

/// A self-hosted LLM gateway that learns, per request, the cheapest model that is good enough.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Options),
    /// Watch the whole loop at work: simulated models, real HTTP, no key and no network.
    Demo(demo::Options),
    /// Write what was decided, and how it was judged, to a file of traces.
    Export(export::Options),
    /// Send each prompt of a file to every model of a route, score all answers by references and by the route's judges,
    /// and learn from all of them.
    Calibrate(calibrate::Options),
    /// Train the classifier and the prior on recorded workloads.
    Train(train::TrainArgs),
    /// Show the classifiers of a data folder, take one into use, or go back to the one before.
    Model(model::Options),
    /// Say what routing is worth: on recorded workloads, in simulation, or from logged traffic.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Validate a configuration: every mistake at once, or what it means.
    Check(check::Options),
}

/// What the user can mend exits with 2, as a wrong flag does; a demo that fails on its way, with 1.
fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        Err(asked) if !asked.use_stderr() || asked.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            asked.exit()
        }
        Err(wrong) => ended(Err(Failure(one_line(&wrong.to_string()), 2))),
    }
}

/// What clap says of wrong arguments, on one line: the problem and its tips, without the usage that `--help` shows, too.
fn one_line(said: &str) -> String {
    let is_advice = |part: &&str| !part.starts_with("Usage:") && !part.starts_with("For more information");
    let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts: Vec<String> = said.trim_start_matches("error:").split("\n\n").take_while(is_advice).map(words).collect();
    format!("{}; --help says what there is", parts.join("; "))
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Serve(options) => ended(runtime(serve::run(options)).map_err(Failure::mendable)),
        Command::Demo(options) => {
            ended(runtime(async move { demo::run::run(&options).await }).map_err(Failure::of_demo))
        }
        Command::Export(options) => ended(export::run(&options, unix_ms()).map(drop).map_err(Failure::mendable)),
        Command::Calibrate(options) => {
            init_tracing(LogFormat::default());
            let run = async move { calibrate::run(&options, &mut stdout()).await };
            ended(runtime(run).map_err(Failure::mendable))
        }
        Command::Train(arguments) => ended(train::run(&arguments).map_err(Failure::mendable)),
        Command::Evaluate(arguments) => ended(evaluate::run(&arguments).map_err(Failure::mendable)),
        Command::Model(options) => ended(printed(model::run(&options, unix_ms()))),
        Command::Check(options) => ended(checked(&options)),
    }
}

fn checked(options: &check::Options) -> Result<(), Failure> {
    printed(check::run(options, &Environment::of_process()))
}

fn printed(text: Result<String, impl Into<anyhow::Error>>) -> Result<(), Failure> {
    let text = text.map_err(Failure::mendable)?;
    let mut out = stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure(format!("standard output cannot be written: {error}"), 2))
}

/// What to say and with which code to exit.
struct Failure(String, u8);

impl Failure {
    fn mendable(error: impl Into<anyhow::Error>) -> Self {
        Self(format!("{:#}", error.into()), 2)
    }

    fn of_demo(error: DemoError) -> Self {
        match error {
            DemoError::Start(error) => Self::mendable(error),
            DemoError::Failed(error) => Self(format!("{error:#}"), 1),
        }
    }
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message, code)) => {
            // Where nobody can be told, the code tells it.
            let _ = writeln!(stderr(), "satisfice: {message}");
            ExitCode::from(code)
        }
    }
}

fn runtime<E: From<std::io::Error>>(work: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        outlive_long_files()?;
        work.await
    })
}

/// A write that would make a file longer than the process may (`ulimit -f`, LimitFSIZE) fails from here on, as on a full
/// disk, in place of ending the process: a signal that is listened to once never does again.
fn outlive_long_files() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}
