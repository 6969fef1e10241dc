//! Which flags say something about what: one that would change nothing is refused.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// What is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Given weights on recorded workloads.
    Workloads,
    /// The same, with weights trained without the fold that they are measured on.
    Folds,
    Online,
    Traces,
}

/// Flags that say something in some modes only.
struct Particular {
    flags: &'static [&'static str],
    modes: &'static [Mode],
    about: &'static str,
    remedy: &'static str,
}

const PARTICULAR: [Particular; 7] = [
    Particular {
        flags: &["compare", "clip", "route", "segment"],
        modes: &[Mode::Traces],
        about: "logged traffic",
        remedy: "give --traces in place of --workload",
    },
    Particular {
        flags: &["scenario", "delay", "missing", "seeds", "requests", "anonymous", "alone", "calibrate"],
        modes: &[Mode::Online],
        about: "the simulation of recorded workloads",
        remedy: "give --online, with --workload",
    },
    Particular {
        flags: &["policy", "value"],
        modes: &[Mode::Online, Mode::Traces],
        about: "simulations and logged traffic",
        remedy: "give --online, or --traces in place of --workload",
    },
    Particular {
        flags: &["online", "model", "models", "cross-validate", "leave-task-out", "encoder", "svg"],
        modes: &[Mode::Workloads, Mode::Folds, Mode::Online],
        about: "recorded workloads",
        remedy: "give --workload in place of --traces",
    },
    Particular {
        flags: &["bootstrap"],
        modes: &[Mode::Workloads, Mode::Folds],
        about: "figures of recorded workloads, and other intervals need none",
        remedy: "give --workload without --online",
    },
    Particular {
        flags: &["seed"],
        modes: &[Mode::Workloads, Mode::Folds, Mode::Online],
        about: "what is drawn, and nothing is of logged traffic",
        remedy: "give --workload in place of --traces",
    },
    Particular {
        flags: &["epochs", "members"],
        modes: &[Mode::Folds],
        about: "the training of folds",
        remedy: "give --cross-validate",
    },
];

/// The flags that the command line names.
#[derive(Debug, Clone, Default)]
pub struct Given(BTreeSet<String>);

impl Given {
    /// # Errors
    /// Names a flag that says nothing about what is evaluated.
    pub fn check(&self, mode: Mode) -> anyhow::Result<()> {
        for Particular { flags, modes, about, remedy } in PARTICULAR {
            let idle = flags.iter().find(|flag| self.0.contains(**flag) && !modes.contains(&mode));
            if let Some(flag) = idle {
                bail!("--{flag} would change nothing here: it is about {about}; leave it out, or {remedy}");
            }
        }
        Ok(())
    }
}

/// It has no flag of its own, and sees those beside it.
impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let ids = matches.ids().map(clap::Id::as_str).filter(named);
        Ok(Self(ids.map(|id| id.replace('_', "-")).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
