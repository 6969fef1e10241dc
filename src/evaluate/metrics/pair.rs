//! RouteLLM's figures of a router between two models: APGR and CPT. They count calls, not money.

/// How much of the strong model's lead over the weak one a router recovers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Average performance gap recovered: 0 as good as the weak model, ½ as chance, 1 the strong model.
    pub apgr: f64,
    /// CPT(50 %): the least share of strong calls that recovers half of the gap; 0 to 1.
    pub cpt_50: f64,
    /// CPT(80 %).
    pub cpt_80: f64,
}

/// Deciles of the scores: calls of 100, 90, … 0 % to the strong model.
const BINS: usize = 10;

/// The figures of a router that asks the strong model where `score` is at least a threshold. `strong` and `weak`: the
/// models' qualities, one per prompt. `None` if the strong model does not lead.
///
/// With PGR = (quality − weak) / (strong − weak), as in Ong et al., *RouteLLM* (arXiv 2406.18665, §3.2): APGR is its
/// mean over the share of strong calls, and CPT(x) the least share of strong calls with PGR ≥ x. Thresholds are the
/// deciles of the score, the mean is the trapezoidal rule over the eleven of them and CPT is interpolated linearly, as
/// lm-sys/RouteLLM's `evals/benchmarks.py` and `evals/evaluate.py` compute both.
pub fn pair(score: &[f64], strong: &[f64], weak: &[f64]) -> Option<Pair> {
    let n = score.len() as f64;
    let gain: Vec<f64> = strong.iter().zip(weak).map(|(strong, weak)| strong - weak).collect();
    let gap: f64 = gain.iter().sum();
    if gap <= 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
    let sorted: Vec<f64> = order.iter().map(|&i| score[i]).collect();
    // The gain of asking the strong model from this place of the order on.
    let mut above: Vec<f64> = vec![0.0; order.len() + 1];
    order.iter().enumerate().rev().for_each(|(place, &i)| above[place] = above[place + 1] + gain[i]);
    let curve: Vec<(f64, f64)> = (0..=BINS)
        .rev()
        .map(|bin| first_asked(&sorted, bin))
        .map(|place| ((order.len() - place) as f64 / n, above[place] / gap))
        .collect();
    Some(Pair { apgr: area(&curve), cpt_50: share_for(0.5, &curve), cpt_80: share_for(0.8, &curve) })
}

/// Where the scores reach the threshold of a decile; beyond the last one, where they exceed it.
fn first_asked(sorted: &[f64], bin: usize) -> usize {
    let threshold = quantile(sorted, bin as f64 / BINS as f64);
    sorted.partition_point(|&score| if bin == BINS { score <= threshold } else { score < threshold })
}

/// Linear between the neighbouring ranks.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

/// Mean height of (share of calls, PGR) points, by rising share from 0 to 1.
fn area(curve: &[(f64, f64)]) -> f64 {
    curve.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
}

/// The first share at which the line through the points reaches this PGR.
fn share_for(target: f64, curve: &[(f64, f64)]) -> f64 {
    let crosses = |pair: &&[(f64, f64)]| pair[1].1 >= target;
    let between = |pair: &[(f64, f64)]| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        x0 + (x1 - x0) * (target - y0) / (y1 - y0)
    };
    curve.windows(2).find(crosses).map_or(1.0, between)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten prompts; the strong model is right on all, the weak one on the last six.
    fn example(score: impl Fn(usize) -> f64) -> Pair {
        let weak: Vec<f64> = (0..10).map(|i| if i < 4 { 0.0 } else { 1.0 }).collect();
        let score: Vec<f64> = (0..10).map(score).collect();
        pair(&score, &[1.0; 10], &weak).expect("the strong model leads")
    }

    #[test]
    fn a_perfect_order_recovers_the_gap_with_the_first_calls() {
        // PGR at 0, 10, … 100 %: 0, ¼, ½, ¾, 1, 1, …: the area is (0 + 1)/2·0.1 + (¼ + ½ + ¾ + 6)·0.1 = 0.8.
        let Pair { apgr, cpt_50, cpt_80 } = example(|i| -(i as f64));
        assert!((apgr - 0.8).abs() < 1e-12, "{apgr}");
        assert!((cpt_50 - 0.2).abs() < 1e-12 && (cpt_80 - 0.32).abs() < 1e-12, "{cpt_50} {cpt_80}");
    }

    #[test]
    fn the_worst_order_asks_for_nothing_until_the_end() {
        // PGR is 0 up to 60 %, then ¼, ½, ¾, 1.
        let Pair { apgr, cpt_50, cpt_80 } = example(|i| i as f64);
        assert!((apgr - 0.2).abs() < 1e-12, "{apgr}");
        assert!((cpt_50 - 0.8).abs() < 1e-12 && (cpt_80 - 0.92).abs() < 1e-12, "{cpt_50} {cpt_80}");
    }

    #[test]
    fn equal_scores_are_asked_all_or_none_which_is_chance() {
        let Pair { apgr, cpt_50, cpt_80 } = example(|_| 0.5);
        assert!((apgr - 0.5).abs() < 1e-12 && (cpt_50 - 0.5).abs() < 1e-12 && (cpt_80 - 0.8).abs() < 1e-12);
    }

    #[test]
    fn a_strong_model_that_does_not_lead_has_no_gap() {
        assert_eq!(pair(&[0.1, 0.2], &[1.0, 0.0], &[0.0, 1.0]), None);
        assert_eq!(pair(&[], &[], &[]), None);
    }
}
