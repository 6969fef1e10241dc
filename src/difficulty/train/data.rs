//! What training learns from: prompts with what each of several models made of them.

use crate::catalog::Price;
use crate::features::Features;

/// Prompts and outcomes of one or more workloads.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// Names of the workloads (files).
    pub workloads: Vec<String>,
    /// Every (workload, model) that has outcomes.
    pub arms: Vec<Arm>,
    pub prompts: Vec<Prompt>,
}

/// A model in one workload. The same model in another workload is another arm: its quality was measured in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// Index into [`Dataset::workloads`].
    pub workload: usize,
    pub model: String,
}

/// One prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub id: String,
    /// What kind of prompt it is, as its workload says; may be empty. Reports are made by it, nothing is learned from it.
    pub task: String,
    /// Index into [`Dataset::workloads`].
    pub workload: usize,
    /// When it came, Unix milliseconds: of a trace.
    pub at_ms: Option<u64>,
    /// Prompts that are near-duplicates of one another have the same group: never one in training, another in test.
    pub group: u64,
    pub features: Features,
    pub outcomes: Vec<Outcome>,
}

/// What one model made of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Index into [`Dataset::arms`].
    pub arm: usize,
    /// 0 to 1.
    pub quality: f64,
    pub cost_usd: f64,
    pub input_tokens: f64,
    pub output_tokens: f64,
    /// Answers to the prompt whose final answers are the same have the same number; `None` where there is none to compare.
    pub said: Option<u32>,
    /// How much it counts: 1 where every model was asked; 1/π, about 1 on average over an arm, where a policy chose whom to
    /// ask. Above 0.
    pub weight: f64,
}

impl Dataset {
    /// Prompts and outcomes of an arm.
    pub fn of_arm(&self, arm: usize) -> impl Iterator<Item = (&Prompt, &Outcome)> {
        let outcome = move |prompt: &'_ Prompt| prompt.outcomes.iter().position(|outcome| outcome.arm == arm);
        self.prompts.iter().filter_map(move |prompt| Some((prompt, &prompt.outcomes[outcome(prompt)?])))
    }

    /// USD per million input and output tokens of an arm, by least squares on what its calls cost.
    pub fn price(&self, arm: usize) -> Price {
        let outcomes: Vec<Outcome> = self.of_arm(arm).map(|(_, outcome)| *outcome).collect();
        let (input, output) = super::heads::prices(&outcomes);
        Price::of(input, output)
    }

    /// Those prompts for which `keep` holds, with all arms and workloads.
    pub fn filter(&self, keep: impl Fn(&Prompt) -> bool) -> Self {
        let prompts = self.prompts.iter().filter(|prompt| keep(prompt)).cloned().collect();
        Self { workloads: self.workloads.clone(), arms: self.arms.clone(), prompts }
    }

    /// The workloads for which `keep`, one per workload, holds, with their arms and prompts, and nothing else.
    pub fn of_workloads(&self, keep: &[bool]) -> Self {
        let kept = |workload: usize| keep[..workload].iter().filter(|keep| **keep).count();
        let arm = |arm: usize| self.arms[..arm].iter().filter(|arm| keep[arm.workload]).count();
        let arms = self.arms.iter().filter(|arm| keep[arm.workload]);
        let mut prompts = self.filter(|prompt| keep[prompt.workload]).prompts;
        for prompt in &mut prompts {
            prompt.workload = kept(prompt.workload);
            prompt.outcomes.iter_mut().for_each(|outcome| outcome.arm = arm(outcome.arm));
        }
        Self {
            workloads: self
                .workloads
                .iter()
                .zip(keep)
                .filter(|(_, keep)| **keep)
                .map(|(name, _)| name.clone())
                .collect(),
            arms: arms.map(|arm| Arm { workload: kept(arm.workload), model: arm.model.clone() }).collect(),
            prompts,
        }
    }

    /// How much each prompt counts: a large workload and one with many models count more, but less than in proportion.
    /// Over all outcomes the weights come to 4 a prompt.
    pub fn weights(&self) -> Vec<f64> {
        let mut sizes = vec![0.0; self.workloads.len()];
        self.prompts.iter().for_each(|prompt| sizes[prompt.workload] += 1.0);
        let raw = |prompt: &Prompt| {
            f64::powf(sizes[prompt.workload], -0.3) * (prompt.outcomes.len().max(1) as f64).powf(-0.5)
        };
        let total: f64 = self.prompts.iter().map(|prompt| raw(prompt) * prompt.outcomes.len() as f64).sum();
        let scale = 4.0 * self.prompts.len() as f64 / total;
        self.prompts.iter().map(|prompt| raw(prompt) * scale).collect()
    }
}
