//! What rate-limit headers say: how long nothing more should be asked.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{HeaderName, RETRY_AFTER};
use jiff::Timestamp;

/// Longer pauses than this are not believed: a limit is looked at again after it.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Pairs of "so much is left" and "so it is refilled", of OpenAI and those who follow it, and of Anthropic.
static REMAINING: [(HeaderName, HeaderName); 4] = [
    pair("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    pair("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    pair("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    pair("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
];
static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

const fn pair(remaining: &'static str, reset: &'static str) -> (HeaderName, HeaderName) {
    (HeaderName::from_static(remaining), HeaderName::from_static(reset))
}

/// The pause that an answer's headers ask for because a limit is used up, at most [`LONGEST`]; `None` where there is
/// room, or where nothing is said.
pub fn exhausted(headers: &HeaderMap, now: fn() -> SystemTime) -> Option<Duration> {
    let used_up = |pair: &&(HeaderName, HeaderName)| text(headers, &pair.0).is_some_and(|left| left.trim() == "0");
    let resets = REMAINING.iter().filter(used_up).filter_map(|(_, reset)| until(text(headers, reset)?, now()));
    resets.max().map(|pause| pause.min(LONGEST))
}

/// `retry-after-ms` as OpenAI sends it, else `retry-after` in seconds or as a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let number = |name: &HeaderName| text(headers, name)?.trim().parse::<f64>().ok();
    let seconds = number(&RETRY_AFTER_MS).map(|ms| ms / 1e3).or_else(|| number(&RETRY_AFTER));
    let asked = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    asked.or_else(|| date(text(headers, &RETRY_AFTER)?, now))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// `1s`, `6m0s`, `120ms`, a plain number of seconds, or a moment (RFC 3339).
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(SystemTime::from(moment).duration_since(now).unwrap_or_default());
    }
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

/// An HTTP date; one that has passed asks for no pause.
fn date(text: &str, now: SystemTime) -> Option<Duration> {
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01 00:00:00 UTC.
    const NOW: Duration = Duration::from_secs(1_767_225_600);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn names(of: usize) -> (&'static str, &'static str) {
        (REMAINING[of].0.as_str(), REMAINING[of].1.as_str())
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW
    }

    #[test]
    fn a_retry_is_asked_for_in_seconds_milliseconds_or_as_a_date() {
        let asked = |pairs: &[_]| retry_after(&headers(pairs), now());
        assert_eq!(asked(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(asked(&[("retry-after", "3"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(asked(&[("retry-after", "Thu, 01 Jan 2026 00:00:07 GMT")]), Some(Duration::from_secs(7)));
        assert_eq!(asked(&[("retry-after", "Wed, 31 Dec 2025 00:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(asked(&[("retry-after", "soon")]), None);
        assert_eq!(asked(&[("retry-after", "-1")]), None);
    }

    #[test]
    fn a_limit_that_is_used_up_says_until_when() {
        let pause = |pairs: &[_]| exhausted(&headers(pairs), now);
        let (left, reset) = names(0);
        assert_eq!(pause(&[(left, "1"), (reset, "1s")]), None);
        assert_eq!(pause(&[(left, "0"), (reset, "1s")]), Some(Duration::from_secs(1)));
        assert_eq!(pause(&[(left, "0"), (reset, "120ms")]), Some(Duration::from_millis(120)));
        assert_eq!(pause(&[(left, "0"), (reset, "6m0s")]), Some(LONGEST));
        let (left, reset) = names(2);
        assert_eq!(pause(&[(left, "0"), (reset, "2026-01-01T00:00:05Z")]), Some(Duration::from_secs(5)));
        assert_eq!(pause(&[(left, "0"), (reset, "whenever")]), None);
    }
}
