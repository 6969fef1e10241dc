//! `x-satisfice-*`: what the gateway says of an answer, and what a request may ask of it.

use std::fmt::{Display, Write};

use bytes::BytesMut;
use http::header::AGE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::auth;
use super::error::ApiError;
use crate::api::error::BadRequest;
use crate::api::metadata::Metadata;
use crate::gateway::{CacheWish, Facts, How, Wishes};

/// What the names of ours begin with.
const OURS: &str = "x-satisfice-";
const TRACE_ID: HeaderName = HeaderName::from_static("x-satisfice-trace-id");
const MODEL: HeaderName = HeaderName::from_static("x-satisfice-model");
const ROUTE: HeaderName = HeaderName::from_static("x-satisfice-route");
const DECISION: HeaderName = HeaderName::from_static("x-satisfice-decision");
const PROPENSITY: HeaderName = HeaderName::from_static("x-satisfice-propensity");
const DIFFICULTY: HeaderName = HeaderName::from_static("x-satisfice-difficulty");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-satisfice-attempts");
const COST_USD: HeaderName = HeaderName::from_static("x-satisfice-cost-usd");
/// Where OpenAI's SDKs, and what is built on them, look for the id of a request; and Anthropic's.
const OPENAI_ID: HeaderName = HeaderName::from_static("x-request-id");
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");
static CACHE: HeaderName = HeaderName::from_static("x-satisfice-cache");
static QUALITY: HeaderName = HeaderName::from_static("x-satisfice-quality");
static METADATA: HeaderName = HeaderName::from_static("x-satisfice-metadata");
static DROP_UNSUPPORTED: HeaderName = HeaderName::from_static("x-satisfice-drop-unsupported");
static SESSION: HeaderName = HeaderName::from_static("x-satisfice-session");
const LONGEST_SESSION: usize = 256;

/// Writes what is known of an answer; what is not known is left out.
pub(super) fn write(facts: &Facts, headers: &mut HeaderMap) {
    headers.reserve(13);
    headers.insert(DECISION, HeaderValue::from_static(facts.decision()));
    let text = &mut BytesMut::with_capacity(256);
    put(headers, text, MODEL, facts.model.as_deref());
    put(headers, text, ROUTE, facts.route.as_deref());
    put(headers, text, ATTEMPTS, Some(facts.attempts));
    put(headers, text, TRACE_ID, Some(facts.trace.as_hyphenated()).filter(|_| !facts.trace.is_nil()));
    copy(headers, TRACE_ID, OPENAI_ID);
    put(headers, text, PROPENSITY, facts.propensity);
    put(headers, text, DIFFICULTY, facts.difficulty);
    // Without the last bits of a product of prices and tokens, which say nothing.
    put(headers, text, COST_USD, facts.cost_usd.map(|usd| (usd * 1e12).round() / 1e12));
    put(headers, text, CACHE.clone(), facts.cache.map(How::name));
    put(headers, text, AGE, facts.age_s);
}

/// The value is written to `text`, which all values share: one allocation. A name with control characters, which no header
/// can carry, is left out.
fn put(headers: &mut HeaderMap, text: &mut BytesMut, name: HeaderName, value: Option<impl Display>) {
    let Some(value) = value else { return };
    if write!(text, "{value}").is_ok()
        && let Ok(value) = HeaderValue::from_maybe_shared(text.split().freeze())
    {
        headers.insert(name, value);
    }
}

/// The trace by the name that Anthropic's SDKs read, too.
pub(super) fn name_for_anthropic(headers: &mut HeaderMap) {
    copy(headers, TRACE_ID, ANTHROPIC_ID);
}

fn copy(headers: &mut HeaderMap, from: HeaderName, to: HeaderName) {
    if let Some(value) = headers.get(from).cloned() {
        headers.insert(to, value);
    }
}

/// The features that a client of Anthropic's tries: `anthropic-beta`, which may be there more than once.
pub(super) fn betas(headers: &HeaderMap) -> Vec<String> {
    let given = headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    given
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// What a request asks for in headers of ours.
pub(super) fn wishes(headers: &HeaderMap) -> Result<Wishes, ApiError> {
    let wishes = Wishes { tenant: auth::tenant(headers), ..Wishes::default() };
    // Most requests have none, and to see that costs less than to look up each.
    if !headers.keys().any(|name| name.as_str().starts_with(OURS)) {
        return Ok(wishes);
    }
    let (quality, metadata, session, cache) =
        (quality(headers)?, metadata(headers)?, session(headers)?, cache(headers)?);
    Ok(Wishes { quality, metadata, session, cache, drop_unsupported: drop_unsupported(headers)?, ..wishes })
}

/// Whether what a provider cannot express is to be left out.
fn drop_unsupported(headers: &HeaderMap) -> Result<Option<bool>, ApiError> {
    match once(headers, &DROP_UNSUPPORTED)?.map(|value| value.as_bytes().trim_ascii()) {
        None => Ok(None),
        Some(b"true") => Ok(Some(true)),
        Some(b"false") => Ok(Some(false)),
        Some(other) => {
            let given = String::from_utf8_lossy(other);
            let message = format!("the header {DROP_UNSUPPORTED} must be true or false; it is \"{given}\"");
            Err(BadRequest::field(DROP_UNSUPPORTED.as_str(), message).into())
        }
    }
}

/// A header that is there once at most: of two nobody knows which is meant.
fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => {
            let message = format!("the header {name} is there more than once; send it once");
            Err(BadRequest::field(name.as_str().to_owned(), message).into())
        }
    }
}

/// The conversation that a request belongs to, in the client's own words.
fn session(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = once(headers, &SESSION)? else { return Ok(None) };
    match value.to_str().ok().filter(|session| (1..=LONGEST_SESSION).contains(&session.len())) {
        Some(session) => Ok(Some(session.to_owned())),
        None => {
            let message = format!("the header {SESSION} must be 1 to {LONGEST_SESSION} visible ASCII characters");
            Err(BadRequest::field(SESSION.as_str(), message).into())
        }
    }
}

/// Whether the request may be given a kept answer, and whether its own may be kept.
fn cache(headers: &HeaderMap) -> Result<CacheWish, ApiError> {
    match once(headers, &CACHE)?.map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase()).as_deref() {
        None => Ok(CacheWish::Usual),
        Some(b"no-store") => Ok(CacheWish::NoStore),
        Some(b"refresh") => Ok(CacheWish::Refresh),
        Some(b"only-if-cached") => Ok(CacheWish::OnlyIfCached),
        Some(other) => {
            let given = String::from_utf8_lossy(other);
            let message = format!(
                "the header {CACHE} must be no-store, refresh or only-if-cached; it is \"{given}\": leave it out for what \
                 the route does by itself"
            );
            Err(BadRequest::field(CACHE.as_str(), message).into())
        }
    }
}

/// Several headers of the name are one list (RFC 9110, section 5.3).
fn metadata(headers: &HeaderMap) -> Result<Metadata, ApiError> {
    let wrong = |problem: String| BadRequest::field(METADATA.as_str(), format!("the header {METADATA} {problem}"));
    let mut lines = Vec::new();
    for line in headers.get_all(&METADATA) {
        lines.push(
            line.to_str()
                .map_err(|_| wrong("holds bytes that are not ASCII; give pairs such as team=search".into()))?,
        );
    }
    match lines.is_empty() {
        true => Ok(Metadata::default()),
        false => Ok(lines.join(",").parse().map_err(wrong)?),
    }
}

/// This request's own `--quality`, 0 to 1.
fn quality(headers: &HeaderMap) -> Result<Option<f64>, ApiError> {
    let Some(value) = once(headers, &QUALITY)? else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    match number.filter(|quality| (0.0..=1.0).contains(quality)) {
        Some(quality) => Ok(Some(quality)),
        None => {
            let given = String::from_utf8_lossy(value.as_bytes());
            let message = format!("the header {QUALITY} must be a number from 0 to 1, such as 0.95; it is \"{given}\"");
            Err(BadRequest::field(QUALITY.as_str(), message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Kind;

    fn asked(value: &'static str) -> Result<Option<f64>, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(&QUALITY, HeaderValue::from_static(value));
        quality(&headers)
    }

    #[test]
    fn a_cost_is_told_without_the_noise_of_its_last_bits() {
        let facts = Facts {
            trace: uuid::Uuid::nil(),
            route: None,
            model: None,
            kind: Kind::Pinned,
            propensity: None,
            difficulty: None,
            attempts: 1,
            cost_usd: Some(0.000_003_900_000_000_000_001),
            cache: None,
            age_s: None,
        };
        let mut headers = HeaderMap::new();
        write(&facts, &mut headers);
        assert_eq!(headers[COST_USD], "0.0000039");
        assert!(!headers.contains_key(TRACE_ID));
    }

    #[test]
    fn metadata_may_come_in_several_headers() {
        let mut headers = HeaderMap::new();
        assert!(metadata(&headers).unwrap().is_empty());
        for line in ["team=search", "env=prod, tier=1"] {
            headers.append(&METADATA, HeaderValue::from_static(line));
        }
        assert_eq!(metadata(&headers).unwrap().to_string(), "env=prod, team=search, tier=1");
        headers.append(&METADATA, HeaderValue::from_static("team=ads"));
        assert!(metadata(&headers).is_err());
    }

    #[test]
    fn quality_is_a_number_from_0_to_1() {
        assert_eq!(asked("0.95").ok(), Some(Some(0.95)));
        assert_eq!(asked(" 1 ").ok(), Some(Some(1.0)));
        for wrong in ["1.7", "-0.1", "NaN", "inf", "high", ""] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
