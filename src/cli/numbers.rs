//! Numbers as the command line has them.

/// A share, in [0, 1].
///
/// # Errors
/// What to give in place of `typed`; likewise of the others.
pub(super) fn share(typed: &str) -> Result<f64, String> {
    within(typed, 1.0, "give a number from 0 to 1, such as 0.95")
}

/// An amount of USD, finite and above 0.
pub(super) fn usd(typed: &str) -> Result<f64, String> {
    let usd = typed.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd > 0.0);
    usd.ok_or_else(|| "give a positive number of USD, such as 0.66".into())
}

/// A number in [0, `most`]; `remedy` says so.
pub(super) fn within(typed: &str, most: f64, remedy: &str) -> Result<f64, String> {
    let number = typed.parse().ok().filter(|number| (0.0..=most).contains(number));
    number.ok_or_else(|| remedy.to_owned())
}
