//! How to train; the defaults made the shipped weights.

/// Hyperparameters. They were chosen by cross-validation over near-duplicate groups and over whole unseen tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub seed: u64,
    /// At most; training stops where prompts left out are predicted best.
    pub epochs: usize,
    /// Networks that are fitted with different seeds and averaged.
    pub members: usize,
    /// Hidden units of each.
    pub hidden: usize,
    /// Rank of the network while it is fitted.
    pub rank: usize,
    /// Axes of z that are kept: those on which models differ most.
    pub axes: usize,
    pub batch: usize,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Share of inputs and hidden units that are dropped, 0 to less than 1.
    pub dropout: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 7,
            epochs: 15,
            members: 3,
            hidden: 64,
            rank: 16,
            axes: 11,
            batch: 256,
            learning_rate: 2e-3,
            weight_decay: 0.3,
            dropout: 0.3,
        }
    }
}
