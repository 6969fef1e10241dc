//! Where a report goes: a table or JSON on standard output, and files, each written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{EvaluateArgs, svg};
use crate::cli::output::{Readers, beside, write_whole};
use crate::cli::workload;

/// A file's place and what is to be in it.
pub type File = (PathBuf, String);

/// Whether all that is asked for can be written where it is to be: heard of before the work, not after it.
///
/// # Errors
/// A file is there and may not be replaced, or its folder cannot be written.
pub fn check(args: &EvaluateArgs) -> anyhow::Result<()> {
    if let Some(path) = json_file(args) {
        check_file(path, args.force)?;
    }
    match args.svg.as_deref() {
        Some(file) if args.online.online => check_file(file, args.force),
        Some(folder) => check_folder(folder, args),
        None => Ok(()),
    }
}

/// Writes the files and prints the report, also where a file cannot be written: its text is what the work was for.
///
/// # Errors
/// What could not be written, or drawn.
pub fn write(
    report: &impl serde::Serialize,
    text: &str,
    plots: anyhow::Result<Vec<File>>,
    args: &EvaluateArgs,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let json = format!("{}\n", serde_json::to_string_pretty(report)?);
    let (plots, mut failures) = plots.map_or_else(|error| (vec![], vec![error]), |plots| (plots, vec![]));
    let of_json = json_file(args).map(|path| (path, json.as_str()));
    let files = of_json.into_iter().chain(plots.iter().map(|(path, plot)| (path.as_path(), plot.as_str())));
    failures.extend(files.filter_map(|(path, content)| file(path, content, args.force).err()));
    let in_place_of_text = args.json.is_some() && of_json.is_none();
    out.write_all(if in_place_of_text { &json } else { text }.as_bytes())?;
    let said: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    ensure!(said.is_empty(), "{}", said.join("; "));
    Ok(())
}

/// `None` also where JSON goes to standard output.
fn json_file(args: &EvaluateArgs) -> Option<&Path> {
    args.json.as_deref().filter(|path| *path != Path::new("-"))
}

fn check_file(path: &Path, force: bool) -> anyhow::Result<()> {
    ensure!(!path.is_dir(), "{} is a folder; give the name of a file", path.display());
    // It goes away again as soon as it is there.
    beside(path, Readers::Everyone, force).map(drop)
}

fn check_folder(folder: &Path, args: &EvaluateArgs) -> anyhow::Result<()> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    ensure!(there.is_dir(), "--svg {}: {} is no folder; give the name of one", folder.display(), there.display());
    tempfile::tempfile_in(there).with_context(|| format!("--svg {} cannot be written", folder.display()))?;
    let names = args.workload.iter().flat_map(|path| svg::names(&workload::name(path)));
    let mut files = names.map(|name| folder.join(name)).filter(|file| file.exists());
    files.try_for_each(|file| check_file(&file, args.force))
}

fn file(path: &Path, content: &str, force: bool) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    write_whole(path, Readers::Everyone, force, content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    fn args(words: &[&str]) -> EvaluateArgs {
        let matches = EvaluateArgs::augment_args(Command::new("evaluate")).get_matches_from(words);
        EvaluateArgs::from_arg_matches(&matches).expect("right arguments")
    }

    #[test]
    fn what_was_found_is_printed_also_where_a_file_cannot_be_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("taken");
        std::fs::write(&taken, "").expect("written");
        let (json, plot) = (taken.join("x.json"), folder.path().join("plot.svg"));
        let args = args(&["evaluate", "--workload", "w", "--json", json.to_str().expect("UTF-8")]);
        let mut out = Vec::new();
        let plots = Ok(vec![(plot.clone(), "<svg/>".to_owned())]);
        let failed = write(&"report", "the table\n", plots, &args, &mut out).expect_err("no folder");
        assert_eq!(out, b"the table\n");
        assert!(failed.to_string().contains("taken") && plot.exists(), "{failed}");
    }
}
