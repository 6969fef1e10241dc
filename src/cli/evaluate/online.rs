//! `satisfice evaluate --online`: the whole loop, simulated over many seeds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};

use crate::catalog::Price;
use crate::cli::workload;
use crate::difficulty::Bundle;
use crate::evaluate::online::{Conditions, Scenario, Step, Stream, Summary, play};
use crate::policy::{ArmSpec, Knob, Policy, RouteSpec, Satisficing, Snapshot};

/// Simulate the whole loop on recorded workloads.
#[derive(Debug, Clone, clap::Args)]
pub struct OnlineArgs {
    #[arg(long, required = true)]
    pub workload: PathBuf,
    #[arg(long)]
    pub model: Option<PathBuf>,
    #[arg(long, value_delimiter = ',')]
    pub models: Option<Vec<String>>,
    #[arg(long)]
    pub anonymous: bool,
    #[arg(long)]
    pub quality: Option<f64>,
    #[arg(long)]
    pub budget_per_1k: Option<f64>,
    #[arg(long, default_value_t = 0.0)]
    pub delay: f64,
    #[arg(long, default_value_t = 0.0)]
    pub missing: f64,
    #[arg(long, default_value_t = 20)]
    pub seeds: usize,
    #[arg(long)]
    pub requests: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the arguments or a file.
pub fn run(args: &OnlineArgs) -> anyhow::Result<()> {
    let bundle = match &args.model {
        Some(folder) => Bundle::load(folder)?,
        None => Bundle::embedded()?,
    };
    let (data, _) = workload::read(std::slice::from_ref(&args.workload), &bundle.extractor)?;
    let models = match &args.models {
        Some(models) => models.clone(),
        None => data.arms.iter().map(|arm| arm.model.clone()).collect(),
    };
    let prices: Vec<Price> = models
        .iter()
        .map(|model| {
            let arm = data.arms.iter().position(|arm| arm.model == *model).context("no such model")?;
            Ok(data.price(arm))
        })
        .collect::<anyhow::Result<_>>()?;
    let mut stream = Stream::new(&data, 0, &models, prices, &bundle.classifier)?;
    ensure!(!stream.requests.is_empty(), "no prompt was answered by all the models");
    if args.anonymous {
        stream.arms = (0..models.len()).map(|i| format!("model-{i:02}")).collect();
    }
    let knob = match (args.quality, args.budget_per_1k) {
        (Some(quality), _) => Knob::Quality(quality),
        (None, Some(usd)) => Knob::BudgetPer1k(usd),
        _ => Knob::Quality(0.95),
    };
    let arms = stream.arms.iter().zip(&stream.prices);
    let arms = arms.map(|(arm, price)| ArmSpec { arm: arm.clone(), price: Some(*price), context_window: None });
    let spec = RouteSpec { name: "auto".into(), knob, explore: true, arms: arms.collect() };
    let prior = Snapshot::new(bundle.prior.clone());
    let make = |spec: &RouteSpec| Box::new(Satisficing::new(prior.clone(), spec)) as Box<dyn Policy>;
    let began = std::time::Instant::now();
    let runs = seeds(args.seeds, |seed| {
        let conditions =
            Conditions { seed: seed as u64, delay: args.delay, missing: args.missing, requests: args.requests };
        play(&stream, &spec, &make, &Scenario::default(), &conditions)
    })?;
    let summaries: Vec<Summary> = runs.iter().map(|run| Summary::new(&stream, run)).collect();
    let mean = |f: &dyn Fn(&Summary) -> f64| {
        let values: Vec<f64> = summaries.iter().map(f).collect();
        let m = values.iter().sum::<f64>() / values.len() as f64;
        let sd = (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        format!("{m:.4}±{sd:.4}")
    };
    println!(
        "whole {} at {} | half {} at {} | usd/1k {} half {} q {}  ({:.1}s)",
        mean(&|s| s.of_best.quality),
        mean(&|s| s.of_best.cost_usd),
        mean(&|s| s.second_half_of_best.quality),
        mean(&|s| s.second_half_of_best.cost_usd),
        mean(&|s| 1000.0 * s.whole.cost_usd),
        mean(&|s| 1000.0 * s.second_half.cost_usd),
        mean(&|s| s.whole.quality),
        began.elapsed().as_secs_f64(),
    );
    let mut share = vec![0usize; stream.arms.len()];
    runs.iter().for_each(|run| run[run.len() / 2..].iter().for_each(|step| share[step.arm] += 1));
    let total: usize = share.iter().sum();
    let mut by: Vec<(String, f64)> =
        models.iter().zip(&share).map(|(m, s)| (m.clone(), *s as f64 / total as f64)).collect();
    by.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("{}", by.iter().take(8).map(|(m, s)| format!("{m} {s:.3}")).collect::<Vec<_>>().join(", "));
    Ok(())
}

fn seeds<E: Send>(n: usize, play: impl Fn(usize) -> Result<Vec<Step>, E> + Sync) -> Result<Vec<Vec<Step>>, E> {
    let next = Arc::new(AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runs: Vec<(usize, Result<Vec<Step>, E>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= n {
                    return done;
                }
                done.push((seed, play(seed)));
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_default()).collect()
    });
    runs.sort_by_key(|(seed, _)| *seed);
    runs.into_iter().map(|(_, run)| run).collect()
}
