//! Scores of one answer → what is believed of its quality. Pure.

use crate::policy::Reward;

/// The metric that clients and reviewers write, in [0, 1].
pub const QUALITY: &str = "quality";
/// The metric of the built-in scorer, 0 or 1.
pub const FORMAT: &str = "format";

/// How much an answer of broken form counts beside a client's own judgement (1): a refusal or a cut-off answer may
/// still be of use, and nobody has read it.
pub const FORMAT_WEIGHT: f64 = 0.5;

/// The reward of an answer from its scores as (metric, value), the newest of each source.
///
/// The mean of `quality` over its sources, if there is any; else what `format` says; other metrics are only kept.
pub fn resolve<'a>(scores: impl IntoIterator<Item = (&'a str, f64)>) -> Reward {
    let (mut sum, mut count, mut well_formed) = (0.0, 0_u32, None);
    for (metric, value) in scores {
        match metric {
            QUALITY => (sum, count) = (sum + value, count + 1),
            FORMAT => well_formed = Some(value > 0.0),
            _ => {}
        }
    }
    match (count, well_formed) {
        (0, None) => Reward::Unknown,
        (0, Some(true)) => Reward::WellFormed,
        (0, Some(false)) => Reward::Scored { value: 0.0, weight: FORMAT_WEIGHT },
        _ => Reward::Scored { value: sum / f64::from(count), weight: 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(resolve([(FORMAT, 0.0)]), Reward::Scored { value: 0.0, weight: FORMAT_WEIGHT });
    }

    #[test]
    fn what_nobody_judged_is_unknown() {
        assert_eq!(resolve([]), Reward::Unknown);
        assert_eq!(resolve([("latency", 0.0)]), Reward::Unknown);
    }
}
