//! A Google service account: what its key file says, and the signed claim that an access token is given for.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// What a token may be used for: all that the account may.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest that Google lets a claim live, seconds.
const CLAIM_S: u64 = 3600;

/// A service account with its private key. `Debug` shows no key.
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    /// Where access tokens are given out.
    pub token_uri: Url,
    /// The project that it belongs to, where its file says so.
    pub project: Option<String>,
}

/// A key file, as Google writes it.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
    project_id: Option<String>,
}

impl ServiceAccount {
    /// Reads the JSON of a key file.
    ///
    /// # Errors
    /// What is missing or of the wrong kind; nothing secret is quoted.
    pub fn parse(json: &str) -> Result<Self, String> {
        let file: KeyFile = serde_json::from_str(json).map_err(|e| {
            format!("not the JSON of a service account's key (line {}, column {})", e.line(), e.column())
        })?;
        if file.kind != "service_account" {
            return Err(format!("of type {:?}; only a key of type \"service_account\" is understood", file.kind));
        }
        let pem = file.private_key.ok_or("without `private_key`")?;
        let token_uri = file.token_uri.unwrap_or_else(|| "https://oauth2.googleapis.com/token".into());
        let token_uri = Url::parse(&token_uri).ok().filter(|url| url.has_host());
        Ok(Self {
            email: file.client_email.ok_or("without `client_email`")?,
            key_id: file.private_key_id,
            key: private_key(&pem)?,
            token_uri: token_uri.ok_or("with a `token_uri` that is no URL")?,
            project: file.project_id,
        })
    }

    /// The claim for an access token (RFC 7523, signed as RFC 7518 has RS256), made at `now_s`, Unix seconds.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn assertion(&self, now_s: u64) -> Result<String, ring::error::Unspecified> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_uri.as_str(), "iat": now_s, "exp": now_s + CLAIM_S,
        });
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn private_key(pem: &str) -> Result<RsaKeyPair, String> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "with a `private_key` that is no PKCS#8 PEM (-----BEGIN PRIVATE KEY-----)")?;
    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|e| format!("with a `private_key` that is no RSA key: {e}"))
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

impl PartialEq for ServiceAccount {
    fn eq(&self, other: &Self) -> bool {
        let Self { email, key_id, key, token_uri, project } = self;
        (email, key_id, token_uri, project) == (&other.email, &other.key_id, &other.token_uri, &other.project)
            && key.public_key().as_ref() == other.key.public_key().as_ref()
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("email", &self.email).finish_non_exhaustive()
    }
}
