//! Checks of others beside the sidecar's: sites behind another `forward_auth` alone, and those of its program.

use std::collections::HashSet;

use crate::answers::normal;
use crate::caddy::check;
use crate::caddy::sites::Sites;
use crate::directive::Directive;
use crate::report::{At, Report};
use crate::{GUARDS_NO_OTHER, NOT_CHECKED};

/// Where a request goes on without the sidecar's check.
struct Open {
    at: At,
    to: Vec<String>,
    /// The other check that it went through.
    behind: Option<(At, String)>,
}

/// What is known of them, and what was found on the way.
#[derive(Default)]
pub(super) struct Beside {
    /// Where their programs are.
    programs: HashSet<String>,
    /// Services whose requests the sidecar is asked about.
    services: HashSet<String>,
    open: Vec<Open>,
}

// === impl Beside ===

impl Beside {
    /// Where nothing says which check is the sidecar's, there are no others.
    pub(super) fn read(sites: &Sites, ours: bool) -> Self {
        let others = sites.all("forward_auth").into_iter().filter(|check| ours && !check::is_ours(check));
        Self { programs: others.flat_map(check::upstreams).map(normal).collect(), ..Self::default() }
    }

    /// A request goes to a service behind the sidecar's check.
    pub(super) fn checked(&mut self, proxy: &Directive) {
        self.services.extend(check::upstreams(proxy).into_iter().map(normal));
    }

    /// A request goes to a service without it, maybe behind another one.
    pub(super) fn open(&mut self, proxy: &Directive, behind: Option<&Directive>) {
        let to = check::upstreams(proxy).into_iter().map(normal).collect();
        let behind = behind.map(|other| (other.at, check::upstreams(other).first().map_or("", |to| to).to_owned()));
        self.open.push(Open { at: proxy.at, to, behind });
    }

    /// Reports what reaches a service unchecked, and once each other check.
    pub(super) fn lint(self, help: &str, report: &mut Report<'_>) {
        let mut named = HashSet::new();
        for Open { at, to, behind } in self.open {
            // a service that a placeholder or a name server says may be any
            let shared = to.is_empty() || to.iter().any(|to| to.contains('{') || self.services.contains(to));
            if !shared && to.iter().all(|to| self.programs.contains(to)) {
                continue;
            }
            match behind.filter(|_| !shared) {
                Some((at, name)) => {
                    if named.insert(name.clone()) {
                        report.warn(
                            NOT_CHECKED,
                            at,
                            &format!("`{name}` is another check than the sidecar's: what is behind it alone is not looked at"),
                            GUARDS_NO_OTHER,
                        );
                    }
                }
                None => report.missing(
                    "caddy-unchecked",
                    at,
                    "requests reach the service here without `forward_auth` to the sidecar in front: they are not checked",
                    help,
                ),
            }
        }
    }
}
