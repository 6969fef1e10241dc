//! How likely models are to be right together, given how good each is.

use super::super::logistic::sigmoid;

/// Deviation of what models share of a prompt's difficulty beyond φ, in logits: with it, the quality of answers that follow
/// a disagreement is foreseen rightly on recorded reasoning prompts (.76 for .77; without, .88).
pub(super) const SPREAD: f64 = 2.0;
/// Gauss–Hermite: E f(u) ≈ Σ wᵢ f(uᵢ) for u ~ N(0, 1), exact for polynomials of degree 9.
const NODES: [f64; N] =
    [-2.856_970_013_872_806, -1.355_626_179_974_266, 0.0, 1.355_626_179_974_266, 2.856_970_013_872_806];
pub(super) const WEIGHTS: [f64; N] = [
    0.011_257_411_327_720_69,
    0.222_075_922_005_612_64,
    0.533_333_333_333_333_3,
    0.222_075_922_005_612_64,
    0.011_257_411_327_720_69,
];
pub(super) const N: usize = 5;

/// The probability that member `i` is right where it differs from the other and from the last one, which is wrong.
pub(super) fn right_though(members: &[Odds; 2], i: usize, last: &Odds, e: f64) -> f64 {
    let (this, other) = (&members[i], &members[1 - i]);
    let right = mean(|n| this.0[n] * (1.0 - other.0[n]) * (1.0 - last.0[n]));
    let wrong = mean(|n| {
        let apart = other.0[n] + (1.0 - other.0[n]) * (1.0 - e);
        (1.0 - this.0[n]) * apart * (1.0 - last.0[n]) * (1.0 - e)
    });
    right / (right + wrong).max(1e-12)
}

/// The chance of a model to be right at each node of u.
pub(super) struct Odds(pub(super) [f64; N]);

impl Odds {
    /// Of a model whose chance is `quality` on average.
    pub(super) fn of(quality: f64) -> Self {
        let quality = quality.clamp(1e-3, 1.0 - 1e-3);
        let logit = (quality / (1.0 - quality)).ln() * (1.0 + std::f64::consts::PI * SPREAD * SPREAD / 8.0).sqrt();
        Self(NODES.map(|node| sigmoid(logit + SPREAD * node)))
    }
}

/// How two models agree.
pub(super) struct Pair {
    /// The probability that they give the same answer, at each node.
    same: [f64; N],
    /// On average over u: that they do, that both are right, and that both are wrong.
    pub(super) agree: f64,
    both_right: f64,
    pub(super) both_wrong: f64,
}

impl Pair {
    pub(super) fn new(one: &Odds, other: &Odds, e: f64) -> Self {
        let (mut same, mut agree, mut both_right, mut both_wrong) = ([0.0; N], 0.0, 0.0, 0.0);
        for n in 0..N {
            let (right, wrong) = (one.0[n] * other.0[n], (1.0 - one.0[n]) * (1.0 - other.0[n]));
            same[n] = right + e * wrong;
            agree += WEIGHTS[n] * same[n];
            both_right += WEIGHTS[n] * right;
            both_wrong += WEIGHTS[n] * wrong;
        }
        Self { same, agree, both_right, both_wrong }
    }

    /// The quality of an answer on which they agree.
    pub(super) fn quality(&self) -> f64 {
        self.both_right / self.agree.max(1e-12)
    }

    /// The quality of a third model's answers where they agree.
    pub(super) fn quality_of(&self, third: &Odds) -> f64 {
        mean(|n| third.0[n] * self.same[n]) / self.agree.max(1e-12)
    }

    /// By how much a third model's logit is lower where they differ than on average.
    pub(super) fn offset_where_they_differ(&self, third: &Odds) -> f64 {
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let (there, usual) = (mean(|n| third.0[n] * (1.0 - self.same[n])), mean(|n| third.0[n]));
        let there = there / (1.0 - self.agree).max(1e-12);
        logit(there.clamp(1e-6, 1.0 - 1e-6)) - logit(usual.clamp(1e-6, 1.0 - 1e-6))
    }
}

/// The mean over u of what is there at each node.
pub(super) fn mean(at: impl Fn(usize) -> f64) -> f64 {
    (0..N).map(|n| WEIGHTS[n] * at(n)).sum()
}
