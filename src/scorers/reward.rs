//! Scores of one answer → what is believed about its quality. Pure.

use crate::policy::Reward;
pub use crate::trace::JUDGE;

/// The metric that clients and reviewers write, in [0, 1].
pub const QUALITY: &str = "quality";
/// The metric of the built-in scorer, 0 or 1.
pub const FORMAT: &str = "format";

/// The part of a score that a reward is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    pub metric: &'a str,
    /// 0 to 1.
    pub value: f64,
    /// Above 0.
    pub weight: f64,
}

/// The reward of an answer from its scores, the newest of each source.
///
/// The weighted mean of `quality` and `judge` over their sources, if there is any, with the greatest of their weights;
/// else what `format` says. Other metrics are kept, and do not count.
pub fn resolve<'a>(scores: impl IntoIterator<Item = Part<'a>>) -> Reward {
    let (mut sum, mut weights, mut greatest, mut well_formed) = (0.0, 0.0, 0.0_f64, None);
    for Part { metric, value, weight } in scores {
        match metric {
            QUALITY | JUDGE => {
                (sum, weights, greatest) = (sum + weight * value, weights + weight, greatest.max(weight));
            }
            FORMAT => well_formed = Some(value > 0.0),
            _ => {}
        }
    }
    match well_formed {
        _ if weights > 0.0 => Reward::Scored { value: sum / weights, weight: greatest },
        None => Reward::Unknown,
        Some(true) => Reward::WellFormed,
        Some(false) => Reward::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve<'a>(scores: impl IntoIterator<Item = (&'a str, f64)>) -> Reward {
        super::resolve(scores.into_iter().map(|(metric, value)| Part { metric, value, weight: 1.0 }))
    }

    #[test]
    fn a_client_s_judgement_wins_over_the_form() {
        assert_eq!(resolve([(FORMAT, 0.0), (QUALITY, 0.8)]), Reward::Scored { value: 0.8, weight: 1.0 });
    }

    #[test]
    fn sources_are_averaged() {
        assert_eq!(resolve([(QUALITY, 1.0), (QUALITY, 0.5)]), Reward::Scored { value: 0.75, weight: 1.0 });
    }

    #[test]
    fn the_form_alone_only_ever_blames() {
        assert_eq!(resolve([(FORMAT, 1.0)]), Reward::WellFormed);
        assert_eq!(resolve([(FORMAT, 0.0)]), Reward::Malformed);
    }

    #[test]
    fn a_judge_counts_as_much_as_its_weight_and_beside_a_client_as_its_share() {
        let judge = Part { metric: JUDGE, value: 0.2, weight: 0.5 };
        let client = Part { metric: QUALITY, value: 0.8, weight: 1.0 };
        let malformed = Part { metric: FORMAT, value: 0.0, weight: 1.0 };
        assert_eq!(super::resolve([malformed, judge]), Reward::Scored { value: 0.2, weight: 0.5 });
        assert_eq!(super::resolve([judge, client]), Reward::Scored { value: 0.9 / 1.5, weight: 1.0 });
    }

    #[test]
    fn what_nobody_judged_is_unknown() {
        assert_eq!(resolve([]), Reward::Unknown);
        assert_eq!(resolve([("latency", 0.0)]), Reward::Unknown);
    }
}
