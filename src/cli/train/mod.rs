//! `satisfice train`: workloads and traces → a folder with encoder, network and prior, and a report on prompts left out.

mod folds;
pub mod gate;
mod old;
pub(super) mod output;
mod tables;
mod traffic;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::ArgGroup;
use indicatif::{ProgressBar, ProgressStyle};

use super::stdout::say;
use super::workload::{self, Reader};
use crate::difficulty::train::{Dataset, Options, Trained, report, train};
use crate::difficulty::{DifficultyError, EncoderFiles, FileEntry, Manifest, files};
use crate::features::{Extractor, SCHEMA_VERSION};
use folds::Fold;
use traffic::Tally;

/// Train the classifier and the policy's prior on recorded workloads, on exported traces, or on both.
#[derive(Debug, Clone, clap::Args)]
#[command(group = ArgGroup::new("data").required(true).multiple(true).args(["workload", "traces"]))]
pub struct TrainArgs {
    /// Recorded prompts with the quality and cost of several models' answers (.jsonl or .jsonl.gz); may be repeated.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub workload: Vec<PathBuf>,
    /// Traces that `export` wrote (.jsonl or .jsonl.gz), each an answer of one model, weighted by 1/propensity (20 at
    /// most); a route is a workload. May be repeated.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub traces: Vec<PathBuf>,
    /// Folder to write; it must not exist, unless --force is given and it is a classifier or empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the classifier in the folder; and write one that falls behind the old one, or of which that cannot be
    /// known, loudly.
    #[arg(long)]
    pub force: bool,
    /// The old classifier, which the new one must not fall behind on the holdout [default: the one in the program]. It is
    /// compared on files that it was not trained on; where there are none, it is trained anew without the holdout, for
    /// which all of its files must be given.
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Compare with the classifier that the gateway of this data folder uses.
    #[arg(long, conflicts_with = "against", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Compare with a network that has the old classifier's settings and is trained on the same prompts: with how it was
    /// made, not with what it knows.
    #[arg(long)]
    pub retrain_old: bool,
    /// Same seed, same data: same weights, to the bit, on the same machine.
    #[arg(long, default_value_t = Options::default().seed)]
    pub seed: u64,
    /// Share of prompts that the report is made on; 0 makes none, and wants --force. The weights that are written have
    /// seen all.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    pub holdout: f64,
    /// Passes over the data.
    #[arg(long, default_value_t = Options::default().epochs)]
    pub epochs: usize,
    /// Networks with different seeds whose mean is taken.
    #[arg(long, default_value_t = Options::default().members)]
    pub members: usize,
    /// Train without the K-th of N folds (K from 1), so that a gateway can be tried on prompts its weights never saw.
    #[arg(long, value_name = "K/N")]
    pub exclude_fold: Option<Fold>,
    /// Write the ids of the excluded fold's prompts to this file, one `workload<TAB>id` a line.
    #[arg(long, value_name = "FILE", requires = "exclude_fold")]
    pub list_fold: Option<PathBuf>,
    /// Folder with another encoder.safetensors and vocab.txt than those in the program.
    #[arg(long, value_name = "DIR")]
    pub encoder_table: Option<PathBuf>,
    /// Folder with a BERT (config.json, model.safetensors, and vocab.txt or tokenizer.json), whose embeddings stand in
    /// place of the static ones; the folder that is written carries a copy. Takes tens of milliseconds a request.
    #[arg(long, conflicts_with = "encoder_table", value_name = "DIR")]
    pub encoder: Option<PathBuf>,
}

/// What the files hold.
struct Read {
    data: Dataset,
    sources: Vec<FileEntry>,
    /// Of traces, where there are some.
    tally: Option<Tally>,
}

/// Prompts to learn from, and those held out.
struct Parts {
    rest: Dataset,
    held: Dataset,
}

impl Parts {
    /// `share`: of the groups of near-duplicates, that are held out.
    fn new(data: &Dataset, share: f64) -> Self {
        let held_out = |group: u64| folds::position(group) < share;
        Self { rest: data.filter(|prompt| !held_out(prompt.group)), held: data.filter(|prompt| held_out(prompt.group)) }
    }
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the arguments, a workload (with its line) or the folder.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    check(args)?;
    let encoder = encoder(args)?;
    let extractor = encoder.extractor()?;
    let Read { data, sources, tally } = read(args, &extractor)?;
    tally.iter().for_each(say);
    if let (Some(fold), Some(path)) = (args.exclude_fold, &args.list_fold) {
        folds::list(&data, fold, path)?;
    }
    let data = folds::without(data, args.exclude_fold);
    let options = Options { seed: args.seed, epochs: args.epochs, members: args.members, ..Options::default() };
    let holdout = hold_out(args, &data, &options, (&encoder, &sources))?;
    let trained = fit("all prompts", &data, &options)?;
    let manifest = |files: Vec<FileEntry>| Manifest {
        schema_version: SCHEMA_VERSION,
        encoder: encoder.record(&extractor),
        files,
        command: command(args),
        training_data: sources,
        holdout,
    };
    output::write(&args.out, args.force, &files(&trained, &encoder, manifest)?).context("--out")?;
    say(format_args!("wrote {}, trained on all {} prompts", args.out.display(), data.prompts.len()));
    Ok(())
}

fn encoder(args: &TrainArgs) -> Result<EncoderFiles, DifficultyError> {
    match (&args.encoder, &args.encoder_table) {
        (Some(folder), _) => EncoderFiles::transformer(folder),
        (None, Some(folder)) => EncoderFiles::table(folder),
        (None, None) => Ok(EncoderFiles::embedded()),
    }
}

/// Workloads, then traces.
fn read(args: &TrainArgs, extractor: &Extractor) -> anyhow::Result<Read> {
    let mut reader = Reader::new(extractor);
    args.workload.iter().try_for_each(|path| reader.workload(path))?;
    let tally = (!args.traces.is_empty()).then(|| traffic::read(&args.traces, &mut reader)).transpose()?;
    let (data, sources) = reader.finish()?;
    Ok(Read { data, sources, tally })
}

fn check(args: &TrainArgs) -> anyhow::Result<()> {
    ensure!((0.0..=0.5).contains(&args.holdout), "--holdout {}: give a share from 0 to 0.5", args.holdout);
    ensure!(args.epochs > 0 && args.members > 0, "--epochs and --members must be at least 1");
    // Both are needed after minutes of training, which a wrong folder should not take.
    output::check(&args.out, args.force).context("--out")?;
    ensure!(
        args.holdout > 0.0 || args.force,
        "--holdout 0: nobody would know whether the new classifier falls behind the old one; give a share, such as \
         0.1, or take it unseen with --force"
    );
    old::load(args).map(drop)
}

/// Trains without a share of the prompts, and holds the result against the old classifier on them. Prints how both do;
/// gives it for the manifest.
///
/// # Errors
/// The new classifier falls behind, or that cannot be known, and nobody forces it.
fn hold_out(
    args: &TrainArgs,
    data: &Dataset,
    options: &Options,
    files: (&EncoderFiles, &[FileEntry]),
) -> anyhow::Result<serde_json::Value> {
    if args.holdout == 0.0 {
        say("WARNING: no holdout: nobody knows whether the new classifier falls behind the old one; --force writes it");
        return Ok(serde_json::Value::Null);
    }
    let parts = Parts::new(data, args.holdout);
    let new = fit("all but the holdout", &parts.rest, options)?;
    let report = report(&new, &parts.held)?;
    say(tables::of_report(&report).trim_end());
    let (old, judged) = old::find(args, (&new, options), &parts, files)?;
    let new = gate::adapted(new.classifier, &new.prior, &parts.rest, &new.prior)?;
    let comparison = gate::compare(&new, &old, &judged, args.seed)?;
    say(tables::of_comparison(&comparison).trim_end());
    gate::check(&comparison, args.force)?;
    let mut found = serde_json::to_value(&report)?;
    found["against"] = serde_json::to_value(&comparison)?;
    Ok(found)
}

fn fit(what: &str, data: &Dataset, options: &Options) -> anyhow::Result<Trained> {
    let style = ProgressStyle::with_template("training on {msg}: {wide_bar} {pos}/{len} epochs, {elapsed}")?;
    let bar =
        ProgressBar::new((options.members * options.epochs) as u64).with_style(style).with_message(what.to_owned());
    bar.tick();
    let trained = train(data, options, &mut || bar.inc(1)).with_context(|| format!("training on {what}"));
    bar.finish();
    trained
}

/// The command that makes the same weights, with files and folders by their names only.
fn command(args: &TrainArgs) -> String {
    let files = |flag: &str, paths: &[PathBuf]| {
        let names = paths.iter().map(|path| format!(" {}", workload::file_name(path))).collect::<String>();
        if paths.is_empty() { names } else { format!(" {flag}{names}") }
    };
    let data = files("--workload", &args.workload) + &files("--traces", &args.traces);
    let folder = |flag: &str, path: &Option<PathBuf>| {
        path.as_ref().map_or_else(String::new, |path| format!(" {flag} {}", workload::file_name(path)))
    };
    let encoder = folder("--encoder", &args.encoder) + &folder("--encoder-table", &args.encoder_table);
    let fold = args.exclude_fold.map_or(String::new(), |fold| format!(" --exclude-fold {fold}"));
    let force = if args.holdout == 0.0 { " --force" } else { "" };
    format!(
        "satisfice train{encoder}{data} --seed {} --holdout {} --epochs {} --members {}{fold}{force}",
        args.seed, args.holdout, args.epochs, args.members
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        train: TrainArgs,
    }

    #[test]
    fn the_command_of_a_manifest_names_the_encoder_that_the_weights_were_made_with() {
        let of = |given: &[&str]| {
            let words = [&["train", "--workload", "data/a.jsonl", "--out", "new"], given].concat();
            command(&Line::parse_from(words).train)
        };
        let rest = "--workload a.jsonl --seed 7 --holdout 0.1 --epochs 15 --members 3";
        assert_eq!(of(&[]), format!("satisfice train {rest}"));
        assert_eq!(of(&["--encoder", "in/bert"]), format!("satisfice train --encoder bert {rest}"));
        assert_eq!(of(&["--encoder-table", "in/table"]), format!("satisfice train --encoder-table table {rest}"));
    }
}
