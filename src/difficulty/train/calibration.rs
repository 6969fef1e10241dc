//! How well predicted quality fits what was found: ranking, and level.

use serde::Serialize;

/// One answer: what was predicted of its quality and what was found, both 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    pub predicted: f64,
    pub found: f64,
}

/// Answers of about the same predicted quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    pub answers: usize,
    /// Mean predicted quality.
    pub predicted: f64,
    /// Mean quality.
    pub found: f64,
}

/// Chance that of a better and a worse answer the better was ranked higher, by quality above or not above the median;
/// equal predictions count half. `None` if all are equal.
///
/// The area under the ROC curve, by ranks.
pub fn auc(answers: &[Judged]) -> Option<f64> {
    let mut qualities: Vec<f64> = answers.iter().map(|answer| answer.found).collect();
    qualities.sort_by(f64::total_cmp);
    let (&least, &most) = (qualities.first()?, qualities.last()?);
    // Of answers that are right or wrong the median is one of both: then right is what counts as good.
    let median = qualities[(qualities.len() - 1) / 2].min(most - 1e-9);
    let mut ranked: Vec<(f64, bool)> = answers.iter().map(|answer| (answer.predicted, answer.found > median)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let good = ranked.iter().filter(|(_, good)| *good).count() as f64;
    let bad = ranked.len() as f64 - good;
    let (mut below, mut area) = (0.0, 0.0);
    for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
        let good = equal.iter().filter(|(_, good)| *good).count() as f64;
        let bad = equal.len() as f64 - good;
        area += good * (below + bad / 2.0);
        below += bad;
    }
    (least < most && good > 0.0 && bad > 0.0).then(|| area / (good * bad))
}

/// Ten bins of equally many answers, by rising prediction; fewer where there are few answers.
pub fn reliability(answers: &[Judged]) -> Vec<Bin> {
    let mut answers = answers.to_vec();
    answers.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
    answers.chunks(answers.len().div_ceil(10).max(1)).map(Bin::of).collect()
}

/// Mean distance of predicted and found quality over the bins of [`reliability`]: the expected calibration error.
pub fn calibration_error(answers: &[Judged]) -> f64 {
    let gap = |bin: &Bin| bin.answers as f64 * (bin.predicted - bin.found).abs();
    reliability(answers).iter().map(gap).sum::<f64>() / answers.len().max(1) as f64
}

impl Bin {
    fn of(answers: &[Judged]) -> Self {
        let mean = |value: fn(&Judged) -> f64| answers.iter().map(value).sum::<f64>() / answers.len() as f64;
        Self { answers: answers.len(), predicted: mean(|answer| answer.predicted), found: mean(|answer| answer.found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_and_calibration_of_known_answers() {
        let answers =
            [(1.0, 0.9), (0.0, 0.8), (1.0, 0.8), (0.0, 0.1)].map(|(found, predicted)| Judged { predicted, found });
        assert_eq!(auc(&answers), Some(0.875));
        assert_eq!((auc(&answers[..1]), auc(&[])), (None, None));
        assert!((calibration_error(&answers) - (0.1 + 0.8 + 0.2 + 0.1) / 4.0).abs() < 1e-9);
    }

    #[test]
    fn bins_hold_equally_many_answers_by_rising_prediction() {
        let answers: Vec<Judged> =
            (0..100).rev().map(|i| Judged { predicted: f64::from(i) / 100.0, found: 1.0 }).collect();
        let bins = reliability(&answers);
        assert!(bins.len() == 10 && bins.iter().all(|bin| bin.answers == 10 && bin.found == 1.0));
        assert!((bins[0].predicted - 0.045).abs() < 1e-12 && (bins[9].predicted - 0.945).abs() < 1e-12);
    }
}
