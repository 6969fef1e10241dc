//! TLS towards providers.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::SetupError;

/// Client TLS with the certificates that this machine trusts, or with none at all where `needed` is false: model
/// servers over plain http then also work where there are no certificates, and nothing is read at start-up.
///
/// # Errors
/// TLS is needed and this machine trusts nobody.
pub fn client_config(needed: bool) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    if needed {
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(SetupError::NoCertificates);
        }
    }
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".into()];
    Ok(config)
}
