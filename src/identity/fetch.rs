//! Fetches key sets over HTTPS. Blocking, on a thread of its own for each URL; no check ever waits in here.
//!
//! One request, one answer: no redirects (who may move the keys could move them to himself), no cookies,
//! no compression, a bounded body, one time limit for all of it.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::KeyUrl;
use crate::identity::jwk::MAX_KEY_SET_BYTES;

/// Asks one URL.
pub(super) struct Fetcher {
    agent: ureq::Agent,
    url: String,
}

impl Fetcher {
    pub(super) fn new(settings: &KeyUrl) -> Result<Self, String> {
        let encrypted = settings.url.starts_with("https:");
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .max_redirects(0)
            .max_redirects_will_error(true)
            .max_idle_connections(0)
            .user_agent(concat!("palisade/", env!("CARGO_PKG_VERSION")))
            .accept("application/jwk-set+json, application/json");
        if encrypted {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots(settings)?);
            config = config.tls_config(tls.build());
        } else {
            // on this machine; a proxy is elsewhere
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().into(), url: settings.url.clone() })
    }

    /// The document. The error says nothing of its content.
    pub(super) fn fetch(&self) -> Result<Vec<u8>, String> {
        let mut answer = self.agent.get(&self.url).call().map_err(|error| error.to_string())?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("it answered with the status {}", answer.status().as_u16()));
        }
        let mut bytes = Vec::new();
        let limit = MAX_KEY_SET_BYTES as u64 + 1;
        answer.body_mut().as_reader().take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

fn roots(settings: &KeyUrl) -> Result<RootCerts, String> {
    let (found, whose) = match &settings.ca_file {
        Some(file) => (rustls_native_certs::load_certs_from_paths(Some(file), None), file.display().to_string()),
        None => (rustls_native_certs::load_native_certs(), "the system's certificate store".to_owned()),
    };
    if found.certs.is_empty() {
        let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("no certificate to trust in {whose}{reason}"));
    }
    Ok(RootCerts::from(found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned())))
}

/// The longest that a fetch may take, for whoever wants to wait for one.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
