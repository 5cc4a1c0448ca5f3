//! HTTPS for what the sidecar asks of others: issuers' keys and collectors of traces. One crypto library for all of it.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// TLS that trusts the certificates of `ca_file`, or else those of the system.
///
/// # Errors
/// If there is no certificate to trust.
pub fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots(ca_file)?).build())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCerts, String> {
    let (found, whose) = match ca_file {
        Some(file) => (rustls_native_certs::load_certs_from_paths(Some(file), None), file.display().to_string()),
        None => (rustls_native_certs::load_native_certs(), "the system's certificate store".to_owned()),
    };
    if found.certs.is_empty() {
        let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("no certificate to trust in {whose}{reason}"));
    }
    Ok(RootCerts::from(found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned())))
}
