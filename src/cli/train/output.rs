//! The folder that `train` writes, and the table that it prints.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::difficulty::train::Report;

/// Writes a folder whole or not at all: into a temporary one beside it, which then takes its name.
///
/// # Errors
/// The folder exists and `force` is false, or it cannot be written; the old one is then still there.
pub fn write(folder: &Path, force: bool, files: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
    let failed = |what: &Path| format!("{} cannot be written", what.display());
    let (new, old) = (beside(folder, "new")?, beside(folder, "old")?);
    for leftover in [&new, &old].into_iter().filter(|path| path.exists()) {
        std::fs::remove_dir_all(leftover).with_context(|| failed(leftover))?;
    }
    std::fs::create_dir_all(&new).with_context(|| failed(&new))?;
    for (name, bytes) in files {
        let path = new.join(name);
        std::fs::write(&path, bytes).with_context(|| failed(&path))?;
    }
    if folder.exists() {
        ensure!(force, "{} exists; choose another folder, or replace it with --force", folder.display());
        std::fs::rename(folder, &old).with_context(|| failed(folder))?;
    }
    std::fs::rename(&new, folder).with_context(|| failed(folder))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).with_context(|| format!("{} cannot be removed", old.display()))?;
    }
    Ok(())
}

fn beside(folder: &Path, suffix: &str) -> anyhow::Result<PathBuf> {
    let name = folder.file_name().with_context(|| format!("{} is not the name of a folder", folder.display()))?;
    Ok(folder.with_file_name(format!(".{}.{suffix}", name.to_string_lossy())))
}

/// Prints how a network did on prompts that it did not see.
pub fn print(report: &Report) {
    println!(
        "On {} prompts that were held out, with near-duplicates (the weights written are trained on all):",
        report.prompts
    );
    println!("{:<14} {:<28} {:>7} {:>8} {:>6} {:>6}", "workload", "model", "prompts", "quality", "AUC", "ECE");
    for workload in &report.workloads {
        for arm in &workload.arms {
            let auc = arm.auc.map_or_else(|| "–".into(), |auc| format!("{auc:.3}"));
            let (name, model, n) = (&workload.workload, &arm.model, arm.prompts);
            println!("{name:<14} {model:<28} {n:>7} {:>8.3} {auc:>6} {:>6.3}", arm.quality, arm.ece);
        }
    }
    println!("Cost of keeping 95 % of the best model's quality, as a share of that model's cost:");
    for workload in &report.workloads {
        let cost = workload.cost_at_95.map_or_else(|| "cannot".into(), |cost| format!("{cost:.2}"));
        println!("{:<14} {:<28} {:>7} {cost:>8}", workload.workload, workload.best, workload.prompts);
    }
}
