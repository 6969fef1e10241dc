//! The old classifier: which one it is, what it has seen of the prompts at hand, and how it is compared fairly.
//!
//! Prompts that it was trained on flatter it. So it is asked about files, and traces of times, that it has not seen; where
//! these are few, and all of its own files are here, it is trained anew without the holdout; and else it is asked all the
//! same, and the new classifier is taken up only if it holds even so.

use std::collections::HashSet;

use anyhow::Context as _;

use super::gate::{self, Change, Old};
use super::{Parts, TrainArgs, fit, folds, read, traffic};
use crate::cli::registry;
use crate::cli::stdout::say;
use crate::difficulty::train::{Dataset, Options, Prompt, Trained};
use crate::difficulty::{Bundle, Classifier, EncoderFiles, FileEntry, Manifest, Span};

/// The classifier that the new one must not fall behind, and what reports call it.
///
/// # Errors
/// It does not load.
pub fn load(args: &TrainArgs) -> anyhow::Result<(Bundle, String)> {
    Ok(match (&args.against, &args.data_dir) {
        (Some(folder), _) => (Bundle::load(folder).context("--against")?, folder.display().to_string()),
        (None, Some(data)) => {
            registry::check_there(data).context("--data-dir")?;
            (registry::in_use(data).context("--data-dir")?, format!("the classifier in use in {}", data.display()))
        }
        (None, None) => (Bundle::embedded()?, "the classifier in the program".to_owned()),
    })
}

/// How the old classifier stands in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// As it is, on prompts that it has not seen.
    Unseen,
    /// By its settings, on the same prompts as the new one: somebody asked for that.
    Settings,
    /// As it would be if it had not seen the holdout.
    Anew,
    /// As it is, on prompts that it may have seen.
    Flattered,
}

impl Basis {
    /// `fair`: how many groups of near-duplicates are held out of which it has seen none.
    fn of(retrain_old: bool, seen: &Seen, fair: usize) -> Self {
        match seen.files.is_empty() || fair >= Change::ENOUGH {
            _ if retrain_old => Self::Settings,
            true => Self::Unseen,
            false if seen.missing.is_empty() => Self::Anew,
            false => Self::Flattered,
        }
    }

    /// What stands in the comparison for the classifier of this name.
    fn name(self, name: String) -> String {
        match self {
            Self::Settings => format!("the settings of {name}"),
            Self::Anew => format!("{name}, trained anew without the holdout"),
            Self::Unseen | Self::Flattered => name,
        }
    }
}

/// The old classifier, having learned from all but the holdout what its gateway would; and the held-out prompts to
/// compare `new` with it on.
///
/// # Errors
/// It does not load, or it cannot be trained anew.
pub fn find(
    args: &TrainArgs,
    (new, options): (&Trained, &Options),
    parts: &Parts,
    (encoder, sources): (&EncoderFiles, &[FileEntry]),
) -> anyhow::Result<(Old, Dataset)> {
    let (bundle, name) = load(args)?;
    let own = (!encoder.is_among(&bundle.manifest.files)).then(|| own_parts(args, &bundle, &name)).transpose()?;
    let seen = Seen::new(&bundle.manifest, (sources, args.workload.len()));
    let fair = seen.fair(&parts.held);
    let basis = Basis::of(args.retrain_old, &seen, fair.len());
    let is_judged = |prompt: &Prompt| basis != Basis::Unseen || fair.contains(&prompt.group);
    let Parts { rest, held } = own.as_ref().unwrap_or(parts);
    let made = settings(&bundle.manifest.command);
    let twin = (own.is_none() && made == *options).then_some(new);
    let trained = match basis {
        Basis::Settings => anew(rest, &made, twin)?,
        Basis::Anew => {
            let own = seen.of(rest);
            anew(&own, &made, twin.filter(|_| own.prompts.len() == rest.prompts.len()))?
        }
        Basis::Unseen | Basis::Flattered => {
            Trained { classifier: bundle.classifier, prior: bundle.prior.as_ref().clone() }
        }
    };
    let old = Old {
        trained: gate::adapted(trained.classifier, &trained.prior, rest, &new.prior)?,
        held: held.filter(is_judged),
        name: basis.name(name),
        left_out: if basis == Basis::Unseen { seen.files.clone() } else { Vec::new() },
        saw: if basis == Basis::Flattered { seen.files } else { Vec::new() },
        missing: seen.missing,
    };
    Ok((old, parts.held.filter(is_judged)))
}

/// The same prompts in the old classifier's features.
fn own_parts(args: &TrainArgs, bundle: &Bundle, name: &str) -> anyhow::Result<Parts> {
    say(format_args!("{name} has another encoder, which reads the prompts as well"));
    let read = read(args, &bundle.extractor)?;
    Ok(Parts::new(&folds::without(read.data, args.exclude_fold), args.holdout))
}

/// A network with the old classifier's settings. `twin`: one that was made of the same with the same settings, and would
/// come out the same.
fn anew(own: &Dataset, settings: &Options, twin: Option<&Trained>) -> anyhow::Result<Trained> {
    match twin {
        Some(Trained { classifier, prior }) => {
            Ok(Trained { classifier: Classifier::new(classifier.weights().clone()), prior: prior.clone() })
        }
        None => fit("the same, with the old settings", own, settings),
    }
}

/// What an old classifier may have seen of the files at hand.
struct Seen {
    /// Names of the files.
    files: Vec<String>,
    /// Whether it may have seen each of the recorded workloads.
    recorded: Vec<bool>,
    /// When the traces came that it was trained on, by file; `None`: nobody knows.
    traffic: Vec<Option<Span>>,
    /// Files that it was trained on, and that are not at hand.
    missing: Vec<String>,
}

impl Seen {
    /// `sources`: the files, and how many of them are recorded workloads; those come first, in the order of the dataset's
    /// workloads.
    fn new(manifest: &Manifest, (sources, recorded): (&[FileEntry], usize)) -> Self {
        let is_among = |entries: &[FileEntry], one: &FileEntry| entries.iter().any(|entry| entry.sha256 == one.sha256);
        let traces = manifest.training_data.iter().filter(|entry| entry.source == traffic::SOURCE);
        let traffic: Vec<Option<Span>> = traces.map(|entry| entry.span).collect();
        // An export holds what an earlier one of the same time held, and has another hash.
        let knows = |i: usize| match sources[i].span {
            Some(span) => traffic.iter().any(|seen| seen.is_none_or(|seen| seen.meets(span))),
            None => is_among(&manifest.training_data, &sources[i]),
        };
        let names = |entry: &FileEntry| entry.name.clone();
        Self {
            files: (0..sources.len()).filter(|&i| knows(i)).map(|i| sources[i].name.clone()).collect(),
            recorded: (0..recorded).map(knows).collect(),
            missing: manifest.training_data.iter().filter(|entry| !is_among(sources, entry)).map(names).collect(),
            traffic,
        }
    }

    /// Whether it may have seen a prompt.
    fn holds(&self, prompt: &Prompt) -> bool {
        match prompt.at_ms.map(Span::at) {
            Some(moment) => self.traffic.iter().any(|seen| seen.is_none_or(|seen| seen.meets(moment))),
            None => self.recorded[prompt.workload],
        }
    }

    /// What it may have seen, without workloads of which that is nothing.
    fn of(&self, data: &Dataset) -> Dataset {
        let held = data.filter(|prompt| self.holds(prompt));
        let is_held = |workload: usize| held.prompts.iter().any(|prompt| prompt.workload == workload);
        held.of_workloads(&(0..data.workloads.len()).map(is_held).collect::<Vec<_>>())
    }

    /// Groups of near-duplicates of which it has seen none.
    fn fair(&self, held: &Dataset) -> HashSet<u64> {
        let groups = |seen: bool| {
            let of = held.prompts.iter().filter(move |prompt| self.holds(prompt) == seen);
            of.map(|prompt| prompt.group).collect::<HashSet<u64>>()
        };
        &groups(false) - &groups(true)
    }
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
