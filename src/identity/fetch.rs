//! Fetches key sets over HTTPS. Blocking, on a thread of its own for each URL; no check ever waits in here.
//!
//! One request, one answer: no redirects (who may move the keys could move them to himself), no cookies,
//! no compression, a bounded body, one time limit for all of it.

use std::io::Read as _;
use std::time::Duration;

use crate::config::KeyUrl;
use crate::identity::jwk::MAX_KEY_SET_BYTES;
use crate::telemetry::outbound;

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
            config = config.tls_config(outbound::tls(settings.ca_file.as_deref())?);
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

/// The longest that a fetch may take, for callers that wait for one.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
