//! Why a connection to a provider could not be made: whose fault it is, in words that say what to do.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError};

use super::super::Cause;

/// Whom to blame, and for what.
pub(super) fn blame(error: &(dyn Error + 'static)) -> (Cause, String) {
    let last = root(error);
    if wants_descriptors(last) {
        let remedy = "raise its limit of open files (ulimit -n, LimitNOFILE)";
        return (Cause::Descriptors, format!("not asked, for the gateway has no file descriptor left; {remedy}"));
    }
    let why = causes(error).find_map(|cause| distrust(cause.downcast_ref()?)).unwrap_or_else(|| last.to_string());
    (Cause::Connect, format!("no connection: {why}"))
}

/// The innermost cause: "connection refused" and not "error sending request". It never holds the URL.
pub(super) fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

/// An error, what it wraps, and so on; what an I/O error is made of is not what it calls its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| within(*error))
}

fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => Some(within),
        None => error.source(),
    }
}

/// Whether the process, or the system, has as many files open as it may.
fn wants_descriptors(error: &(dyn Error + 'static)) -> bool {
    use rustix::io::Errno;
    let number = error.downcast_ref().and_then(io::Error::raw_os_error);
    number.is_some_and(|number| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&number))
}

/// Why the server's certificate is not trusted though it may be the right one, and what to do about it.
fn distrust(error: &TlsError) -> Option<String> {
    const TRUST: &str = "add the issuer's certificate (its own, if it is self-signed) to the system's trust store, or put \
                         all that are to be trusted into one PEM file that SSL_CERT_FILE names, and restart";
    let TlsError::InvalidCertificate(problem) = error else { return None };
    match problem {
        // The second: one of that name is trusted, and did not sign it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Some(format!("this machine does not trust who issued the server's certificate; {TRUST}"))
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => Some(format!(
            "the server's certificate is one of an authority (CA:TRUE), as self-signed ones often are, and stands for no \
             server; give the server one with CA:FALSE, and {TRUST}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    /// As the layers between TLS and a request wrap an error.
    fn wrapped(error: impl Error + Send + Sync + 'static) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn want_of_file_descriptors_is_no_providers_fault() {
        for number in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            let (cause, told) = blame(&wrapped(io::Error::from(number)));
            assert!(cause == Cause::Descriptors && told.contains("ulimit -n"), "{told}");
        }
        let (cause, told) = blame(&wrapped(io::Error::from(rustix::io::Errno::CONNREFUSED)));
        assert!(cause == Cause::Connect && told.starts_with("no connection: Connection refused"), "{told}");
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_in_words_with_what_to_do() {
        let told = |problem| blame(&wrapped(TlsError::InvalidCertificate(problem))).1;
        #[derive(Debug, thiserror::Error)]
        #[error("CaUsedAsEndEntity")]
        struct CaUsedAsEndEntity;
        let of_authority = CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity)));
        let (unknown, forged) = (CertificateError::UnknownIssuer, CertificateError::BadSignature);
        for (problem, what) in [(unknown, "does not trust"), (forged, "does not trust"), (of_authority, "CA:FALSE")] {
            let told = told(problem);
            assert!(told.contains(what) && told.contains("SSL_CERT_FILE") && !told.contains("Other("), "{told}");
        }
        assert!(told(CertificateError::Expired).contains("no connection: invalid peer certificate"));
    }
}
