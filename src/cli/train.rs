//! `satisfice train`: workloads and traces → a folder with encoder, network and prior, and a report on prompts left out.

mod folds;
pub mod gate;
pub(super) mod output;
mod traffic;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::workload::{self, Reader};
use crate::difficulty::train::{Dataset, Options, Trained, report, train};
use crate::difficulty::{Bundle, DifficultyError, EncoderFiles, FileEntry, Manifest, Prior, files};
use crate::features::{Extractor, SCHEMA_VERSION};
use folds::Fold;
use gate::Old;

/// Train the classifier and the policy's prior on recorded workloads, on exported traces, or on both.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArgs {
    /// Recorded prompts with the quality and cost of several models' answers (.jsonl or .jsonl.gz); may be repeated.
    #[arg(long, required_unless_present = "traces", num_args = 1.., value_name = "FILE")]
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
    /// The old classifier, which the new one must not fall behind on the holdout [default: the one in the program].
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Train a network with the old classifier's settings on the same prompts, and compare with that: fair where the old
    /// one has seen the holdout.
    #[arg(long)]
    pub retrain_old: bool,
    /// Same seed, same data: same weights, to the bit, on the same machine.
    #[arg(long, default_value_t = Options::default().seed)]
    pub seed: u64,
    /// Share of prompts that the report is made on, 0 for no report; the weights that are written have seen all.
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

/// Runs the command.
///
/// # Errors
/// What is wrong with the arguments, a workload (with its line) or the folder.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    check(args)?;
    let encoder = encoder(args)?;
    let extractor = encoder.extractor()?;
    let (mut data, sources) = read(args, &extractor)?;
    if let Some(fold) = args.exclude_fold {
        if let Some(path) = &args.list_fold {
            folds::list(&data, fold, path)?;
        }
        data = data.filter(|prompt| !fold.holds(prompt.group));
    }
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
    println!("wrote {}, trained on all {} prompts", args.out.display(), data.prompts.len());
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
fn read(args: &TrainArgs, extractor: &Extractor) -> anyhow::Result<(Dataset, Vec<FileEntry>)> {
    let mut reader = Reader::new(extractor);
    args.workload.iter().try_for_each(|path| reader.workload(path))?;
    if !args.traces.is_empty() {
        println!("{}", traffic::read(&args.traces, &mut reader)?);
    }
    reader.finish()
}

fn check(args: &TrainArgs) -> anyhow::Result<()> {
    ensure!((0.0..=0.5).contains(&args.holdout), "--holdout {}: give a share from 0 to 0.5", args.holdout);
    ensure!(args.epochs > 0 && args.members > 0, "--epochs and --members must be at least 1");
    // Both are needed after minutes of training, which a wrong folder should not take.
    output::check(&args.out, args.force).context("--out")?;
    args.against.as_deref().map(Bundle::load).transpose().context("--against")?;
    Ok(())
}

/// Trains without a share of the prompts, and holds the result against the old classifier on them. Prints how both do;
/// gives it for the manifest.
///
/// # Errors
/// The new classifier falls behind, and nobody forces it.
fn hold_out(
    args: &TrainArgs,
    data: &Dataset,
    options: &Options,
    (encoder, sources): (&EncoderFiles, &[FileEntry]),
) -> anyhow::Result<serde_json::Value> {
    if args.holdout == 0.0 {
        println!("no holdout: nobody knows whether the new classifier falls behind the old one");
        return Ok(serde_json::Value::Null);
    }
    let held_out = |group: u64| folds::position(group) < args.holdout;
    let (rest, held) = (data.filter(|prompt| !held_out(prompt.group)), data.filter(|prompt| held_out(prompt.group)));
    let seen = fit("all but the holdout", &rest, options)?;
    let report = report(&seen, &held)?;
    output::print(&report);
    let mut found = serde_json::to_value(&report)?;
    if let Some(old) = old(args, &seen.prior, &rest, (encoder, sources))? {
        let new = gate::adapted(seen.classifier, &seen.prior, &rest, &seen.prior)?;
        let comparison = gate::compare(&new, &old, &held, args.seed)?;
        comparison.print();
        gate::check(&comparison, args.force)?;
        found["against"] = serde_json::to_value(&comparison)?;
    }
    Ok(found)
}

/// The old classifier, having learned from `rest` what its gateway would; `None` where it cannot be compared.
fn old(
    args: &TrainArgs,
    new: &Prior,
    rest: &Dataset,
    (encoder, sources): (&EncoderFiles, &[FileEntry]),
) -> anyhow::Result<Option<Old>> {
    let (bundle, name) = match &args.against {
        Some(folder) => (Bundle::load(folder).context("--against")?, folder.display().to_string()),
        None => (Bundle::embedded()?, "the classifier in the program".to_owned()),
    };
    if args.retrain_old {
        let options = settings(&bundle.manifest.command);
        let Trained { classifier, prior } = fit("the same, with the old settings", rest, &options)?;
        let trained = gate::adapted(classifier, &prior, rest, new)?;
        return Ok(Some(Old { trained, name: format!("the settings of {name}"), saw: Vec::new() }));
    }
    if !encoder.is_among(&bundle.manifest.files) {
        println!("not compared with {name}, which has another encoder; --retrain-old compares its settings");
        return Ok(None);
    }
    let knew = |source: &&FileEntry| bundle.manifest.training_data.iter().any(|entry| entry.sha256 == source.sha256);
    let saw = sources.iter().filter(knew).map(|source| source.name.clone()).collect();
    let trained = gate::adapted(bundle.classifier, &bundle.prior, rest, new)?;
    Ok(Some(Old { trained, name, saw }))
}

/// The options that a bundle's command names.
fn settings(command: &str) -> Options {
    let words: Vec<&str> = command.split_whitespace().collect();
    let value = |flag: &str| words.iter().position(|word| *word == flag).and_then(|i| words.get(i + 1));
    let number = |flag: &str| value(flag).and_then(|text| text.parse().ok());
    let usual = Options::default();
    Options {
        seed: number("--seed").unwrap_or(usual.seed),
        epochs: number("--epochs").map_or(usual.epochs, |n| n as usize),
        members: number("--members").map_or(usual.members, |n| n as usize),
        ..usual
    }
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

/// The command that makes the same weights, with workloads by their names only.
fn command(args: &TrainArgs) -> String {
    let files = |flag: &str, paths: &[PathBuf]| {
        let names = paths.iter().map(|path| format!(" {}", workload::file_name(path))).collect::<String>();
        if paths.is_empty() { names } else { format!(" {flag}{names}") }
    };
    let data = files("--workload", &args.workload) + &files("--traces", &args.traces);
    let folder = |path: &PathBuf| format!(" --encoder {}", workload::file_name(path));
    let encoder = args.encoder.as_ref().map_or_else(String::new, folder);
    let fold = args.exclude_fold.map_or(String::new(), |fold| format!(" --exclude-fold {fold}"));
    format!(
        "satisfice train{encoder}{data} --seed {} --holdout {} --epochs {} --members {}{fold}",
        args.seed, args.holdout, args.epochs, args.members
    )
}
