//! A confidence sequence: an interval for a mean that may be looked at after every row, and still errs in 5 % of streams
//! at most.

/// Chance, over the whole stream, that the mean is ever outside.
pub(super) const ALPHA: f64 = 0.05;
/// The number of rows at which the sequence is narrowest. Fixed: choosing it by the data would make the sequence
/// invalid.
const TUNED_FOR: f64 = 1_000.0;
/// With fewer rows than this the variance is not believed, and nothing is said.
pub const FIRST_LOOK: usize = 100;
/// Squared distances to the mean, in squares of a unit, that count beside those that were seen: of answers that are nearly
/// always as good, the first hundred may all be, and a variance of 0 would make an interval of no width. With none, the
/// mean of values that are 1 in .99 of all cases is missed in 42 % of streams, with 2 in fewer than 3 %.
pub(super) const UNSEEN: f64 = 2.0;

/// The normal-mixture asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (Time-uniform
/// central limit theory and asymptotic confidence sequences, 2021, arXiv 2103.06476, theorem 2.2):
///
/// μ̂ₜ ± σ̂ₜ √( 2(tρ² + 1)/(t²ρ²) · ln(√(tρ² + 1)/α) ), ρ² = (−2 ln α + ln(−2 ln α + 1)) / [`TUNED_FOR`].
///
/// Asymptotic: it needs finite variance, not bounds, and is valid as rows become many. While they are few, rare values may
/// not have been seen: hence a constant beside the variance that was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequence {
    /// How far one value may plausibly be from another.
    unit: f64,
    rows: usize,
    mean: f64,
    /// Sum of squared distances to the mean.
    squares: f64,
    /// Sum of the variances that were foreseen.
    foreseen: f64,
}

impl Sequence {
    /// Of values that may plausibly differ by `unit`: 1 for qualities.
    pub fn new(unit: f64) -> Self {
        Self { unit, rows: 0, mean: 0.0, squares: 0.0, foreseen: 0.0 }
    }

    /// The next value of the stream, which was known to have a variance of at least `foreseen`: of values that are rarely
    /// far from the others, the first may all be near.
    pub fn push(&mut self, value: f64, foreseen: f64) {
        self.rows += 1;
        self.foreseen += foreseen;
        let distance = value - self.mean;
        self.mean += distance / self.rows as f64;
        self.squares += distance * (value - self.mean);
    }

    /// The mean's interval after the rows so far; `None` before [`FIRST_LOOK`].
    pub fn interval(&self) -> Option<(f64, f64)> {
        if self.rows < FIRST_LOOK {
            return None;
        }
        let squares = self.squares.max(self.foreseen) + UNSEEN * self.unit * self.unit;
        let half = half_width(self.rows, squares / self.rows as f64, ALPHA);
        Some((self.mean - half, self.mean + half))
    }

    /// Whether zero lies outside the interval.
    pub fn excludes_zero(&self) -> bool {
        self.interval().is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// Half of the interval's width after `rows` values of this variance, where the sequence may err in a share `alpha` of
/// streams: see [`Sequence`].
pub(super) fn half_width(rows: usize, variance: f64, alpha: f64) -> f64 {
    let rows = rows as f64;
    let rho2 = (-2.0 * alpha.ln() + (1.0 - 2.0 * alpha.ln()).ln()) / TUNED_FOR;
    let spread = rows * rho2 + 1.0;
    (variance * 2.0 * spread / (rows * rows * rho2) * (spread.sqrt() / alpha).ln()).sqrt()
}
