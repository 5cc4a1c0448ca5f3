//! Where the credential of a route is looked for, and what may be in it.
//!
//! A file of routes names a header and schemes; what a scheme's token is, and which headers must not be
//! there beside it, is the configuration's to say. The rules that result are made once, not for each request.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{CredentialKind, CredentialSettings, IdentitySettings};
use crate::identity::{Accept, Rule};
use palisade_routes::Credential;

/// More than there are files of routes. Beyond it the rules are made again: reloads must not fill the memory.
const MOST: usize = 256;

/// The rules of all routes.
#[derive(Debug)]
pub(super) struct Rules {
    settings: CredentialSettings,
    accept: Accept,
    /// Of routes that name no credential.
    common: Arc<Rule>,
    /// Of those that do.
    made: ArcSwap<Vec<(Arc<Credential>, Arc<Rule>)>>,
}

impl Rules {
    pub(super) fn new(settings: &IdentitySettings) -> Self {
        let accept = if settings.peer.principals.is_empty() { Accept::Credential } else { Accept::Either };
        let common = Arc::new(Rule::new(&settings.credentials).accepting(accept));
        Self { settings: settings.credentials.clone(), accept, common, made: ArcSwap::default() }
    }

    /// The rule of a route.
    pub(super) fn rule(&self, credential: Option<&Arc<Credential>>) -> Arc<Rule> {
        let Some(credential) = credential else { return self.common.clone() };
        // `Arc` compares addresses first, and routes of one file have the same
        if let Some((_, rule)) = self.made.load().iter().find(|(known, _)| known == credential) {
            return rule.clone();
        }
        let rule = Arc::new(self.make(credential));
        self.made.rcu(|made| {
            let mut made = if made.len() < MOST { made.to_vec() } else { Vec::new() };
            made.push((credential.clone(), rule.clone()));
            made
        });
        rule
    }

    fn make(&self, credential: &Credential) -> Rule {
        let kind = |scheme: &str| {
            let configured = self.settings.schemes.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme));
            configured.map_or(CredentialKind::Any, |(_, kind)| *kind)
        };
        let settings = CredentialSettings {
            header: credential.header.clone(),
            schemes: credential.schemes.iter().map(|scheme| (scheme.clone(), kind(scheme))).collect(),
            rivals: self.settings.rivals.clone(),
        };
        Rule::new(&settings).accepting(self.accept)
    }
}
