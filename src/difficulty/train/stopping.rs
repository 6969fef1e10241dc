//! Early stopping: for how many epochs networks are fitted is found on prompts left out.

use candle_core::Result;

use super::data::{Dataset, Prompt};
use super::fit::{Batches, fit};
use super::options::Options;

/// Of so many near-duplicate groups one is left out.
const PARTS: u64 = 8;

/// The rate falls to the end, and a network is best when it has come to rest: an earlier epoch
/// is only taken if all later ones are worse by more than this share of its loss.
const TOLERANCE: f32 = 0.01;

/// The last of `options.epochs` epochs after which a network does about as well as ever on groups that it was not fitted
/// to; all of them, if there are too few prompts to leave any out.
///
/// # Errors
/// candle's.
pub fn epochs(data: &Dataset, inputs: &[Vec<f32>], options: &Options) -> Result<usize> {
    // Bits that neither folds (the low ones) nor the report's holdout (the high ones) are chosen by.
    let held_out = |prompt: &Prompt| (prompt.group >> 16).is_multiple_of(PARTS);
    let part = |held: bool| {
        let rows = data.prompts.iter().zip(inputs).filter(|(prompt, _)| held_out(prompt) == held);
        let inputs: Vec<Vec<f32>> = rows.map(|(_, input)| input.clone()).collect();
        (data.filter(|prompt| held_out(prompt) == held), inputs)
    };
    let ((seen, seen_inputs), (unseen, unseen_inputs)) = (part(false), part(true));
    if seen_inputs.is_empty() || unseen_inputs.is_empty() {
        return Ok(options.epochs);
    }
    let unseen = Batches::new(&unseen, &unseen_inputs)?;
    let mut losses = Vec::with_capacity(options.epochs);
    fit(&Batches::new(&seen, &seen_inputs)?, options, options.epochs, &mut |network| {
        losses.push(unseen.loss(network)?);
        Ok(())
    })?;
    let least = losses.iter().copied().fold(f32::INFINITY, f32::min);
    let last = losses.iter().rposition(|&loss| loss <= least * (1.0 + TOLERANCE));
    Ok(last.map_or(options.epochs, |epoch| epoch + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difficulty::train::{Arm, Outcome};
    use crate::features::Features;

    /// Prompts that are answered well or badly by chance: whatever is learned of them does not hold for others.
    fn noise(prompts: u64) -> (Dataset, Vec<Vec<f32>>) {
        let input = |i: u64| (1..=64).map(|j| ((i * j * j) as f32 * 0.37).sin() * 3.0).collect::<Vec<f32>>();
        let outcome = |i: u64| {
            let quality = if (i * i / 3).is_multiple_of(2) { 1.0 } else { 0.0 };
            Outcome { arm: 0, quality, cost_usd: 1.0, input_tokens: 1.0, output_tokens: 1.0, said: None, weight: 1.0 }
        };
        let prompt = |i: u64| Prompt {
            id: i.to_string(),
            task: String::new(),
            workload: 0,
            at_ms: None,
            group: i << 16,
            features: Features { values: Vec::new(), input_tokens: 1 },
            outcomes: vec![outcome(i)],
        };
        let arms = vec![Arm { workload: 0, model: "m".into() }];
        let data = Dataset { workloads: vec!["w".into()], arms, prompts: (0..prompts).map(prompt).collect() };
        (data, (0..prompts).map(input).collect())
    }

    #[test]
    fn fitting_stops_before_it_learns_what_does_not_hold_for_other_prompts() {
        let (data, inputs) = noise(160);
        let options = Options {
            epochs: 30,
            batch: 16,
            learning_rate: 1e-2,
            weight_decay: 0.0,
            dropout: 0.0,
            ..Options::default()
        };
        let stop = epochs(&data, &inputs, &options).expect("fitted");
        assert!((1..15).contains(&stop), "{stop}");
    }

    #[test]
    fn without_prompts_to_leave_out_all_epochs_are_fitted() {
        let (mut data, inputs) = noise(20);
        data.prompts.iter_mut().for_each(|prompt| prompt.group = 1 << 16);
        assert_eq!(epochs(&data, &inputs, &Options::default()).expect("nothing to fit"), Options::default().epochs);
    }
}
