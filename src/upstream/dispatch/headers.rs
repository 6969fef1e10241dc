//! The headers that requests to a provider carry, its keys among them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

use super::super::settings::ProviderSettings;
use super::super::{KeyHeader, Provider};
use super::SetupError;
use super::connect::Connector;

/// What every request of a provider carries, except its key.
pub fn of_all(settings: &ProviderSettings, provider: &dyn Provider, connector: &Connector) -> HeaderMap {
    let agent = concat!("satisfice/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::with_capacity(8 + settings.headers.len());
    headers.extend(host(&settings.base_url).map(|host| (HOST, host)));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.extend(provider.headers());
    headers.extend(settings.headers.clone());
    headers.extend(connector.proxy_key().map(|key| (PROXY_AUTHORIZATION, key)));
    headers
}

/// Name and value of the header that carries each key.
///
/// # Errors
/// A key that no header can carry.
pub fn keys(
    settings: &ProviderSettings,
    provider: &dyn Provider,
) -> Result<Vec<(HeaderName, HeaderValue)>, SetupError> {
    let name = settings.quirks.key_header.as_deref();
    let place = name.map_or_else(|| Some(own_place(provider.key_header())), |name| name.parse().ok());
    let header = |key| place.clone().and_then(|name| key_header(name, key)).ok_or_else(|| bad_key(settings));
    settings.api_keys.iter().map(header).collect()
}

fn bad_key(settings: &ProviderSettings) -> SetupError {
    SetupError::ApiKey(settings.name.clone())
}

/// `host:port`, without the port where it is the scheme's own.
pub fn host(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()
}

fn own_place(place: KeyHeader) -> HeaderName {
    match place {
        KeyHeader::Bearer => AUTHORIZATION,
        KeyHeader::Named(name) => HeaderName::from_static(name),
    }
}

fn key_header(name: HeaderName, key: &SecretString) -> Option<(HeaderName, HeaderValue)> {
    let value = match name {
        AUTHORIZATION => format!("Bearer {}", key.expose_secret()),
        _ => key.expose_secret().to_owned(),
    };
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// What must not turn up in an error: the keys, the proxy's among them, and the values of configured headers, which may be
/// keys too.
pub fn secrets(settings: &ProviderSettings, connector: &Connector) -> Vec<SecretString> {
    let values = settings.headers.values().filter_map(|value| value.to_str().ok()).map(SecretString::from);
    let aws = settings.aws.iter().flat_map(|aws| {
        [Some(&aws.access_key_id), Some(&aws.secret_access_key), aws.session_token.as_ref()].into_iter().flatten()
    });
    let configured = settings.api_keys.iter().chain(aws).cloned().chain(values);
    configured.chain(connector.proxy_auth().iter().flat_map(credentials)).collect()
}

/// User and password as a header has them, and the password.
fn credentials(basic: &HeaderValue) -> impl Iterator<Item = SecretString> {
    let encoded = basic.to_str().ok().and_then(|basic| basic.strip_prefix("Basic "));
    let decoded = encoded.and_then(|encoded| String::from_utf8(STANDARD.decode(encoded).ok()?).ok());
    let password = decoded.as_ref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password.into());
    encoded.map(SecretString::from).into_iter().chain(password)
}
