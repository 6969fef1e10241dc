//! Who may call: keys as digests, compared in constant time.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower_http::validate_request::ValidateRequest;

use super::App;
use super::error::ApiError;
use super::messages::MessagesError;
use crate::catalog::host::is_loopback;
use crate::gateway::Tenant;
use crate::trace::Owner;

/// The gateway's own keys. It keeps digests only; none at all: everybody who reaches the listener may call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Digests of `keys`.
    pub fn new(keys: &[SecretString]) -> Self {
        Self(keys.iter().map(|key| digest(key.expose_secret())).collect())
    }

    /// Compares with every key, also after one fits, so that the time taken tells nothing.
    fn admits(&self, headers: &HeaderMap) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(given) = bearer(headers).or_else(|| own_header(headers)).map(digest) else {
            return false;
        };
        self.0.iter().fold(subtle::Choice::from(0), |fits, key| fits | key.ct_eq(&given)).into()
    }
}

impl ApiKeys {
    /// Whether keys are set, and the request carries one.
    fn is_held(&self, headers: &HeaderMap) -> bool {
        !self.0.is_empty() && self.admits(headers)
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

/// Who is let in, and what nobody may call itself. A reload changes it whole.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// At the clients' address.
    pub clients: ApiKeys,
    /// At the operators' address; `None`: the clients' keys.
    pub operators: Option<ApiKeys>,
    /// Sources of scores that are the gateway's own.
    pub reserved: Vec<String>,
}

/// An address that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Clients,
    Operators,
}

impl Admission {
    fn keys(&self, side: Side) -> &ApiKeys {
        let own = self.operators.as_ref().filter(|_| side == Side::Operators);
        own.unwrap_or(&self.clients)
    }
}

/// Lets a request through that carries a key, where keys are set.
#[derive(Clone)]
pub(super) struct RequireKey(pub(super) Arc<App>, pub(super) Side);

impl<B> ValidateRequest<B> for RequireKey {
    type ResponseBody = Body;

    fn validate(&mut self, request: &mut Request<B>) -> Result<(), Response> {
        refusal(&self.0, self.1, request).map_or(Ok(()), Err)
    }
}

/// Lets a request through that no page from elsewhere made, where one could: what is read here needs no key.
#[derive(Clone)]
pub(super) struct RequireOwnPage {
    pub(super) app: Arc<App>,
    pub(super) is_local: bool,
}

impl<B> ValidateRequest<B> for RequireOwnPage {
    type ResponseBody = Body;

    fn validate(&mut self, request: &mut Request<B>) -> Result<(), Response> {
        let admission = self.app.admission.load();
        if !self.is_local || admission.keys(Side::Operators).is_held(request.headers()) {
            return Ok(());
        }
        foreign(request).map(ApiError::into_response).map_or(Ok(()), Err)
    }
}

/// What to say, in its protocol's words, to a request that may not be answered.
pub(super) fn refusal<B>(app: &App, side: Side, request: &Request<B>) -> Option<Response> {
    let admission = app.admission.load();
    let keys = admission.keys(side);
    let refusal = match keys.admits(request.headers()) {
        true if !keys.0.is_empty() => return None,
        true => foreign(request)?,
        false => ApiError::unauthorized(),
    };
    Some(match request.uri().path().starts_with("/v1/messages") {
        true => MessagesError::from(refusal).into_response(),
        false => refusal.into_response(),
    })
}

/// What to say to a request without a key that a page from elsewhere may have made.
fn foreign<B>(request: &Request<B>) -> Option<ApiError> {
    match is_foreign_page(request.headers()) {
        true => Some(ApiError::foreign_page()),
        false => foreign_host(request).map(ApiError::foreign_host),
    }
}

/// Whether a browser sends this for a page from elsewhere. It sends what any page asks for to this machine too, and what
/// needs no key would spend its owner's money. Programs send no `Origin`, or one that is no page's.
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    match origin.to_str().unwrap_or("null").split_once("://") {
        Some(("http" | "https", host)) => !is_this_machine(host),
        other => other.is_none(),
    }
}

/// The host that a request was sent to, where that is not a name of this machine: a page from elsewhere whose own name leads
/// here since it was loaded (DNS rebinding) reads what it asks for, and a browser sends no `Origin` with that. Programs
/// of old send no host.
fn foreign_host<B>(request: &Request<B>) -> Option<&str> {
    let headers = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    let mut hosts = request.uri().authority().map(Authority::as_str).into_iter().chain(headers);
    hosts.find(|host| !is_this_machine(host))
}

/// `host` may have a port.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    is_loopback(authority.host())
}

/// Whose request it is, by the key that it brings; all requests without a key count as one tenant's.
pub(super) fn tenant(headers: &HeaderMap) -> Tenant {
    bearer(headers).or_else(|| own_header(headers)).map(|key| Tenant(digest(key))).unwrap_or_default()
}

/// To whose requests the caller is confined; `None`: to nobody's, as at the operators' address, and where clients need no
/// key.
pub(super) fn confined_to(app: &App, side: Side, headers: &HeaderMap) -> Option<Owner> {
    let confined = side == Side::Clients && !app.admission.load().clients.0.is_empty();
    // Without a key, as where keys were just set, nothing is the caller's.
    confined.then(|| tenant(headers).owner().unwrap_or_default())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Where Anthropic's clients put the key.
fn own_header(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok().map(str::trim)
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(keys: &ApiKeys, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        keys.admits(&headers)
    }

    #[test]
    fn only_a_key_that_is_set_is_let_in() {
        let keys = ApiKeys::new(&["one".into(), "two".into()]);
        assert!(admits(&keys, "Bearer two") && admits(&keys, "bearer one"));
        for wrong in ["Bearer three", "Bearer ", "Basic one", "one"] {
            assert!(!admits(&keys, wrong), "{wrong}");
        }
        assert!(!keys.admits(&HeaderMap::new()));
        let anthropic = |key: &str| HeaderMap::from_iter([("x-api-key".parse().unwrap(), key.parse().unwrap())]);
        assert!(keys.admits(&anthropic("two")) && !keys.admits(&anthropic("three")));
        assert!(ApiKeys::default().admits(&HeaderMap::new()));
    }

    #[test]
    fn a_page_from_elsewhere_is_told_from_programs_and_pages_of_this_machine() {
        let origin = |value: &str| is_foreign_page(&HeaderMap::from_iter([(ORIGIN, value.parse().unwrap())]));
        for page in ["https://example.com", "http://127.0.0.1.example.com", "http://10.0.0.1:8080", "null", "http://"] {
            assert!(origin(page), "{page}");
        }
        for ours in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080", "vscode-webview://1a", "app://x"]
        {
            assert!(!origin(ours), "{ours}");
        }
        assert!(!is_foreign_page(&HeaderMap::new()));
    }

    #[test]
    fn a_name_that_only_leads_here_is_told_from_this_machines_own() {
        let host = |value: &str| foreign_host(&Request::builder().header(HOST, value).body(()).unwrap()).is_some();
        for foreign in
            ["example.com", "localhost.example.com:8080", "10.0.0.1", "127.0.0.1.nip.io", "0.0.0.0", "", "a b"]
        {
            assert!(host(foreign), "{foreign}");
        }
        for ours in ["localhost", "LocalHost.:8080", "127.0.0.1:1", "127.1.2.3", "[::1]:8080", "[::ffff:127.0.0.1]"] {
            assert!(!host(ours), "{ours}");
        }
        assert!(foreign_host(&Request::new(())).is_none(), "HTTP/1.0 has no Host");
        let absolute = Request::builder().uri("http://example.com/v1/traces").header(HOST, "localhost");
        assert!(foreign_host(&absolute.body(()).unwrap()).is_some());
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", ApiKeys::new(&["secret".into()])), "ApiKeys(1)");
    }
}
