//! Early stopping: for how many epochs networks are fitted is found on prompts left out.

use candle_core::Result;

use super::data::{Dataset, Prompt};
use super::fit::{Batches, fit};
use super::options::Options;

/// Of so many near-duplicate groups one is left out.
const PARTS: u64 = 8;

/// After how many of `options.epochs` epochs a network does best on groups that it was not fitted to; all of them, if
/// there are too few prompts to leave any out.
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
    let best = losses.iter().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(best.map_or(options.epochs, |(epoch, _)| epoch + 1))
}
