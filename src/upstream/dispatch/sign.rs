//! Signatures of requests to Amazon Web Services: Signature Version 4.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request};
use http_body_util::Full;
use secrecy::ExposeSecret;

use super::super::settings::AwsKeys;

/// The service that signatures are for, as Amazon calls it.
const SERVICE: &str = "bedrock";

/// Signs for one account in one region.
pub struct Signer {
    credentials: Credentials,
    region: String,
}

impl Signer {
    pub fn new(keys: &AwsKeys) -> Self {
        let token = keys.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let (id, secret) = (keys.access_key_id.expose_secret(), keys.secret_access_key.expose_secret());
        Self { credentials: Credentials::new(id, secret, token, None, "satisfice"), region: keys.region.clone() }
    }

    /// Adds the signature of `request` with this `body` at the time `now`. Signed are method, path, query, body, and of
    /// the headers `host` and `content-type`: proxies may add to the others.
    ///
    /// # Errors
    /// The request cannot be signed, such as one whose headers are not ASCII.
    pub fn sign(&self, request: &mut Request<Full<Bytes>>, body: &[u8], now: SystemTime) -> Result<(), String> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let uri = request.uri().to_string();
        let signable = SignableRequest::new(
            request.method().as_str(),
            uri,
            signed(request.headers()).into_iter(),
            SignableBody::Bytes(body),
        );
        let signable = signable.map_err(|error| error.to_string())?;
        let signed = sign(signable, &params.into()).map_err(|error| error.to_string())?;
        signed.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }
}

fn signed(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let text = |name: http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    [("host", text(HOST)), ("content-type", text(CONTENT_TYPE))]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The signature that botocore's `SigV4Auth` gives the same request at the same time.
    #[test]
    fn a_signature_is_the_one_that_amazons_own_library_makes() {
        let keys = AwsKeys {
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: Some("a-token".into()),
        };
        let body = br#"{"messages":[]}"#;
        let mut request = Request::new(Full::new(Bytes::from_static(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = "/model/anthropic.claude-opus-4-6-v1%3A0/converse".parse().unwrap();
        request.headers_mut().insert(HOST, "bedrock-runtime.us-east-1.amazonaws.com".parse().unwrap());
        request.headers_mut().insert(CONTENT_TYPE, "application/json".parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Signer::new(&keys).sign(&mut request, body, now).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!((header("x-amz-date"), header("x-amz-security-token")), ("20260921T141320Z", "a-token"));
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/us-east-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=24fe4e43b70f30516d06cef6c21b4738b4b461e62e38f0a00945e09b7cd87f2e"
        );
        assert!(request.headers()["x-amz-security-token"].is_sensitive());
    }
}
