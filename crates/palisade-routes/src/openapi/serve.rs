//! What of a file holds for an operation: the hosts and the prefix come from the servers, unless the file says them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::openapi::servers::{Base, Said, Servers, read};
use crate::openapi::{Operation, Outcome};
use crate::raw::RawFile;
use crate::read::{Findings, Head, head};
use palisade_text::Place;

/// The heads of an operation: one for each set of hosts.
pub(super) type Heads = Arc<[Arc<Head>]>;

/// Where the operations of a document are served.
pub(super) struct Serve<'d> {
    document: &'d Value,
    /// What the file says itself.
    file: Arc<Head>,
    said: Said,
    root: Result<Heads, String>,
    /// The hosts that the servers of the document name.
    hosts: BTreeSet<String>,
    /// Whether nothing names a host.
    open: bool,
    remarks: Vec<String>,
    /// What was read for a list of servers, by where it is.
    known: HashMap<usize, Result<Heads, String>>,
    asked: bool,
}

impl<'d> Serve<'d> {
    pub(super) fn new(document: &'d Value, file: RawFile, place: &Place, findings: &mut Findings) -> Self {
        let said = Said { hosts: !file.hosts.0.is_empty(), prefix: !file.prefix.0.is_empty() };
        let file = head(file, place, findings);
        let mut serve = Self {
            document,
            file,
            said,
            root: Ok(Arc::from([])),
            hosts: BTreeSet::new(),
            open: false,
            remarks: Vec::new(),
            known: HashMap::new(),
            asked: false,
        };
        let list = document.get("servers").filter(|list| !list.is_null() && list.as_array() != Some(&Vec::new()));
        let none = || Servers { bases: vec![Base { host: None, prefix: String::new() }], remarks: Vec::new() };
        let read = list.map_or_else(|| Ok(none()), |list| read(list, said));
        serve.root = match read {
            Ok(servers) => {
                serve.hosts = servers.bases.iter().filter_map(|base| base.host.clone()).collect();
                if !(said.hosts && said.prefix) {
                    serve.remarks = servers.remarks;
                }
                serve.open = !said.hosts && serve.hosts.is_empty();
                Ok(serve.heads(servers.bases, &[], said))
            }
            // the file says all that is asked for
            Err(_) if said.hosts && said.prefix => Ok(Arc::from([serve.file.clone()])),
            Err(error) => Err(error),
        };
        serve
    }

    /// The heads of what stands in no other place.
    pub(super) fn of_root(&mut self) -> Heads {
        self.asked = true;
        self.root.clone().unwrap_or_else(|_| Arc::from([]))
    }

    /// The heads of an operation: its own servers before those of its path, and these before the document's.
    ///
    /// # Errors
    /// If its own servers cannot be read.
    pub(super) fn of(&mut self, item: &'d Value, operation: &'d Value) -> Result<Heads, String> {
        let own = |of: &'d Value| of.get("servers").filter(|list| !list.is_null());
        let Some(list) = own(operation).or_else(|| own(item)) else { return Ok(self.of_root()) };
        let key = std::ptr::from_ref(list).addr();
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let heads = read(list, Said::default()).and_then(|servers| {
            self.remarks.extend(servers.remarks);
            let root: Vec<Arc<Head>> = self.root.clone()?.to_vec();
            Ok(self.heads(servers.bases, &root, Said { hosts: false, prefix: false }))
        });
        self.known.insert(key, heads.clone());
        heads
    }

    /// One head for each set of hosts with the same prefixes. A server that names no host is where `root` is.
    fn heads(&self, bases: Vec<Base>, root: &[Arc<Head>], said: Said) -> Heads {
        let mut prefixes: BTreeMap<Option<String>, BTreeSet<String>> = BTreeMap::new();
        for Base { host, prefix } in bases {
            // what the file says of hosts, it says of those that the document's servers name
            let ours = host.as_ref().is_none_or(|host| self.said.hosts && self.hosts.contains(host));
            prefixes.entry(if ours { None } else { host }).or_default().insert(prefix);
        }
        let mut hosts: BTreeMap<BTreeSet<String>, Vec<Option<String>>> = BTreeMap::new();
        for (host, prefixes) in prefixes {
            hosts.entry(prefixes).or_default().push(host);
        }
        let mut heads = Vec::new();
        for (prefixes, hosts) in hosts {
            let prefixes: Vec<String> =
                if said.prefix { self.file.prefixes.clone() } else { prefixes.into_iter().collect() };
            let mut named: BTreeSet<String> = hosts.iter().flatten().cloned().collect();
            if hosts.contains(&None) {
                let of_root: BTreeSet<&String> = match root {
                    [] => self.file.hosts.iter().collect(),
                    root => root.iter().flat_map(|head| head.hosts.iter()).collect(),
                };
                // no hosts mean all of them
                if of_root.is_empty() { named.clear() } else { named.extend(of_root.into_iter().cloned()) }
            }
            let hosts: Vec<String> = named.into_iter().collect();
            heads.push(Arc::new(Head { hosts: hosts.into(), prefixes, ..(*self.file).clone() }));
        }
        heads.into()
    }

    /// The findings about the servers, once it is known which operations need them.
    pub(super) fn finish(self, operations: &[Operation], place: &Place, findings: &mut Findings) -> Vec<String> {
        let wanted = operations.iter().any(|operation| !matches!(operation.outcome, Outcome::Unmapped));
        let at = if self.document.get("servers").is_some() { place.at(&["servers"]) } else { place.clone() };
        match &self.root {
            Err(error) if wanted && self.asked => {
                let help = "name `hosts` and `prefix` under `x-palisade`, and the document's servers are not needed";
                findings.errors.push(at.error(error.as_str()).help(help));
            }
            _ if wanted && self.asked && self.open => {
                let message = "no server names a host, so these routes are for all hosts";
                let help = "name them under `x-palisade`: `hosts: [api.example.com]`, or `hosts: \"*\"` for all";
                findings.warnings.push(at.error(message).help(help).warning());
            }
            _ => {}
        }
        self.remarks
    }
}
