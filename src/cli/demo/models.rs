//! The simulated models: what they cost, how able they are, and what they say.
//!
//! Model k answers puzzle i rightly with probability σ(a_k(θ_k + s_k − b_i)): the two-parameter logistic curve of
//! item response theory (Birnbaum 1968), with θ_k the ability, s_k a speciality in the puzzle's kind, a_k the slope
//! and b_i the puzzle's difficulty.

use sha2::{Digest, Sha256};

use crate::catalog::{Price, Usage};
use crate::policy::sigmoid;

use super::puzzles::{Kind, Puzzle};

/// A simulated model.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedModel {
    pub name: &'static str,
    pub price: Price,
    /// θ: the difficulty at which half of the answers are right.
    ability: f64,
    /// a: how sharply the chance falls around θ.
    slope: f64,
    /// A kind at which its ability is another by so much.
    speciality: (Kind, f64),
    /// Sentences of working for a puzzle of difficulty 0.
    wordiness: f64,
    /// Milliseconds until it answers.
    pub latency_ms: u64,
}

/// The models, cheapest first, on a ladder of prices as hosted models have it.
pub const LADDER: [SimulatedModel; 5] = [
    SimulatedModel {
        name: "sim-nano",
        price: usd_per_mtok(0.05, 0.20),
        ability: -0.1,
        slope: 1.5,
        speciality: (Kind::Strings, -0.4),
        wordiness: 3.0,
        latency_ms: 15,
    },
    SimulatedModel {
        name: "sim-mini",
        price: usd_per_mtok(0.15, 0.60),
        ability: 0.8,
        slope: 1.6,
        speciality: (Kind::Arithmetic, 0.4),
        wordiness: 4.0,
        latency_ms: 20,
    },
    SimulatedModel {
        name: "sim-coder",
        price: usd_per_mtok(0.60, 2.40),
        ability: 0.9,
        slope: 1.6,
        speciality: (Kind::Code, 1.7),
        wordiness: 4.0,
        latency_ms: 30,
    },
    SimulatedModel {
        name: "sim-large",
        price: usd_per_mtok(2.50, 10.0),
        ability: 2.2,
        slope: 1.7,
        speciality: (Kind::Arithmetic, 0.2),
        wordiness: 5.0,
        latency_ms: 45,
    },
    SimulatedModel {
        name: "sim-frontier",
        price: usd_per_mtok(10.0, 30.0),
        ability: 3.6,
        slope: 1.8,
        speciality: (Kind::Code, 0.2),
        wordiness: 6.0,
        latency_ms: 60,
    },
];

const fn usd_per_mtok(input: f64, output: f64) -> Price {
    Price::of(input, output)
}

/// The prompt of every request beside the puzzle itself.
pub const INSTRUCTION: &str = "Solve the puzzle. Finish with a line of the form \"Answer: …\" and nothing after it.";

impl SimulatedModel {
    /// The chance of a right answer.
    pub fn chance(&self, puzzle: &Puzzle) -> f64 {
        let special = if puzzle.kind == self.speciality.0 { self.speciality.1 } else { 0.0 };
        sigmoid(self.slope * (self.ability + special - puzzle.difficulty))
    }

    /// What it says. The same seed, model and prompt: the same answer, as at temperature 0, whoever asks when.
    pub fn answer(&self, puzzle: &Puzzle, seed: u64) -> String {
        let [coin, slip] = draws(seed, self.name, &puzzle.prompt);
        let right = coin < self.chance(puzzle);
        let said = if right { puzzle.answer.clone() } else { puzzle.answer.wrong(slip) };
        format!("{}Answer: {said}", self.working(puzzle.difficulty))
    }

    /// Sentences of working, more of them for what is harder.
    fn working(&self, difficulty: f64) -> String {
        let sentences = (self.wordiness * (0.45 * difficulty).exp()).round() as usize;
        WORKING.iter().cycle().take(sentences).flat_map(|sentence| [*sentence, "\n"]).collect()
    }

    /// What a call is expected to cost, in USD, over the coin: the answer's own letters are all that differs.
    pub fn expected_cost(&self, puzzle: &Puzzle) -> f64 {
        let text = format!("{}Answer: {}", self.working(puzzle.difficulty), puzzle.answer);
        self.price.cost(&usage(&[INSTRUCTION, &puzzle.prompt], &text))
    }
}

/// The dearest model of the ladder, which is also the best.
pub fn strongest() -> &'static SimulatedModel {
    &LADDER[LADDER.len() - 1]
}

/// Tokens of a call, at four characters each.
pub fn usage(prompts: &[&str], answer: &str) -> Usage {
    let tokens = |text: &str| u32::try_from(text.chars().count().div_ceil(4)).unwrap_or(u32::MAX);
    let input = prompts.iter().map(|prompt| tokens(prompt) + 4).sum();
    Usage { input_tokens: input, output_tokens: tokens(answer), ..Usage::default() }
}

/// Two uniform draws in [0, 1) that belong to this seed, model and prompt.
fn draws(seed: u64, model: &str, prompt: &str) -> [f64; 2] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(model.as_bytes());
    hash.update([0]);
    hash.update(prompt.as_bytes());
    let digest = hash.finalize();
    [0, 8].map(|at| {
        let bits = digest[at..at + 8].iter().fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
        // The upper 53 bits, as many as a double holds.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    })
}

const WORKING: [&str; 6] = [
    "Let me read the task closely and note what is given.",
    "I take it one step at a time and keep every intermediate result.",
    "Next I apply the rule to what is left and write down the outcome.",
    "This follows from the previous line, so I carry it over.",
    "Checking the step against the statement: it is consistent.",
    "Now I combine the parts and look for a slip.",
];

#[cfg(test)]
mod tests {
    use super::super::puzzles::generate;
    use super::super::scorer;
    use super::*;

    #[test]
    fn answers_are_as_often_right_as_the_curve_says() {
        let puzzles = generate(11, 4_000);
        for model in &LADDER {
            let expected: f64 = puzzles.iter().map(|p| model.chance(p)).sum();
            let variance: f64 = puzzles.iter().map(|p| model.chance(p) * (1.0 - model.chance(p))).sum();
            let right = puzzles.iter().filter(|p| scorer::is_right(&p.answer, &model.answer(p, 5))).count();
            let z = (right as f64 - expected) / variance.sqrt();
            // Repeated prompts share a coin, so a little beyond the normal's 99.9%.
            assert!(z.abs() < 4.0, "{}: {right} right where {expected:.0} were expected (z = {z:.1})", model.name);
        }
    }

    #[test]
    fn the_chance_falls_with_difficulty_and_is_a_half_at_the_ability() {
        let mut puzzle = generate(1, 1).remove(0);
        let model = &LADDER[1];
        puzzle.kind = Kind::Code;
        puzzle.difficulty = model.ability;
        assert!((model.chance(&puzzle) - 0.5).abs() < 1e-12);
        puzzle.difficulty += 1.0;
        let logit = -model.slope;
        assert!((model.chance(&puzzle) - 1.0 / (1.0 + f64::exp(-logit))).abs() < 1e-12);
        puzzle.kind = model.speciality.0;
        assert!(model.chance(&puzzle) > 1.0 / (1.0 + f64::exp(-logit)));
    }

    #[test]
    fn an_answer_belongs_to_its_seed_model_and_prompt() {
        let puzzles = generate(3, 400);
        let said = |model: &SimulatedModel, seed| puzzles.iter().map(|p| model.answer(p, seed)).collect::<Vec<_>>();
        assert_eq!(said(&LADDER[0], 1), said(&LADDER[0], 1));
        assert_ne!(said(&LADDER[0], 1), said(&LADDER[0], 2));
        assert_ne!(draws(1, "a", "p"), draws(1, "b", "p"));
    }

    #[test]
    fn the_dearer_model_is_the_better_one_and_costs_more_for_each_puzzle() {
        let puzzles = generate(2, 500);
        let quality = |m: &SimulatedModel| puzzles.iter().map(|p| m.chance(p)).sum::<f64>();
        for pair in LADDER.windows(2) {
            assert!(quality(&pair[0]) < quality(&pair[1]), "{} ≥ {}", pair[0].name, pair[1].name);
            assert!(puzzles.iter().all(|p| pair[0].expected_cost(p) < pair[1].expected_cost(p)));
        }
    }

    #[test]
    fn the_expected_cost_is_what_is_billed() {
        for puzzle in generate(4, 200) {
            let billed = LADDER[2].price.cost(&usage(&[INSTRUCTION, &puzzle.prompt], &LADDER[2].answer(&puzzle, 9)));
            let apart = (billed - LADDER[2].expected_cost(&puzzle)).abs() / billed;
            assert!(apart < 0.08, "{}: {apart}", puzzle.prompt);
        }
    }
}
