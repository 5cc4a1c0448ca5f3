//! What Traefik knows after it has read everything: entry points, middlewares, routers, services.

use crate::is_of_this_machine;
use crate::node::Node;
use crate::traefik::compose::Compose;

/// An entry point.
#[derive(Debug)]
pub(super) struct EntryPoint<'d> {
    pub(super) node: Node<'d>,
    pub(super) middlewares: Vec<Name<'d>>,
    /// Whether everything that comes in is sent to another entry point.
    pub(super) redirects: bool,
    pub(super) default: bool,
}

/// A name in a list, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Name<'d> {
    pub(super) name: String,
    pub(super) node: Node<'d>,
}

impl Name<'_> {
    /// The name as it is written: it counts whatever its case.
    pub(super) fn written(&self) -> &str {
        let text = self.node.value.as_str().unwrap_or_default();
        text.split(',').map(str::trim).find(|name| name.eq_ignore_ascii_case(&self.name)).unwrap_or(&self.name)
    }
}

/// A router of HTTP.
#[derive(Debug)]
pub(super) struct Router<'d> {
    pub(super) name: String,
    pub(super) node: Node<'d>,
    pub(super) middlewares: Vec<Name<'d>>,
    pub(super) entry_points: Vec<String>,
    pub(super) service: String,
    /// The container whose label it is.
    pub(super) container: String,
    pub(super) tls: bool,
    /// Where its middlewares are looked for first.
    pub(super) provider: Provider,
}

/// A router of TCP or UDP.
#[derive(Debug)]
pub(super) struct Tcp<'d> {
    pub(super) node: Node<'d>,
    /// The container whose label it is.
    pub(super) container: String,
    /// Services by their names; there may be none in a label.
    pub(super) services: Vec<String>,
}

/// The provider that something comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    File,
    Labels,
    Kubernetes,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model<'d> {
    pub(super) entry_points: Vec<(String, EntryPoint<'d>)>,
    pub(super) middlewares: Vec<(String, Node<'d>)>,
    pub(super) routers: Vec<Router<'d>>,
    /// Hosts with ports that HTTP goes to.
    pub(super) servers: Vec<String>,
    /// The same, each with the name of its service.
    pub(super) addresses: Vec<(String, String)>,
    /// Services that are made of others, each with one of them.
    pub(super) parts: Vec<(String, String)>,
    /// What HTTP leads to besides: containers, with a port where a label says it.
    pub(super) containers: Vec<String>,
    /// Routers of TCP and UDP.
    pub(super) tcp: Vec<Tcp<'d>>,
    /// Services of TCP and UDP, each with the container whose label it is and the addresses that it has.
    pub(super) tcp_services: Vec<(String, String, Vec<String>)>,
    /// Other names of containers, and ports that they open themselves.
    pub(super) compose: Compose<'d>,
    /// Services that get another host, each with its name.
    pub(super) rehosted: Vec<(&'d str, Node<'d>)>,
    /// Servers whose URL has a path that is put before that of a request.
    pub(super) rebased: Vec<Node<'d>>,
    /// Where the API is open on a port of its own, with that port.
    pub(super) open_api: Vec<(&'d str, Node<'d>)>,
    /// Services of Kubernetes that clients reach themselves, each with its name.
    pub(super) published: Vec<(String, Node<'d>)>,
    /// Objects of which is not known what they do.
    pub(super) unknown: Vec<Node<'d>>,
    /// Providers that make a router for each container that does not forbid it.
    pub(super) exposed: Vec<Node<'d>>,
    /// Providers by their names, but the one of files.
    pub(super) providers: Vec<(&'d str, Node<'d>)>,
    /// Whether labels of containers, or what one is started with, were read.
    pub(super) labelled: bool,
    /// Whether objects of Kubernetes were read.
    pub(super) cluster: bool,
}

/// The list of names below a key, which may be one text with commas.
pub(super) fn names<'d>(node: &Node<'d>, key: &str) -> Vec<Name<'d>> {
    let Some(list) = node.get(key) else { return Vec::new() };
    let split = |node: &Node<'d>| {
        let text = node.value.as_str().unwrap_or_default();
        text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let one =
        |node: &Node<'d>| split(node).into_iter().map(|name| Name { name, node: node.clone() }).collect::<Vec<_>>();
    if list.value.is_string() {
        return one(&list);
    }
    list.items()
        .iter()
        .flat_map(|item| match item.get("name") {
            // as Kubernetes names them
            Some(name) => one(&name)
                .into_iter()
                .map(|Name { name, node }| {
                    let space = item.text("namespace");
                    Name {
                        name: if space.is_empty() { name } else { format!("{}/{name}", space.to_ascii_lowercase()) },
                        node,
                    }
                })
                .collect(),
            None => one(item),
        })
        .collect()
}

/// The port of the service that a label names.
fn port(service: &Node<'_>) -> Option<String> {
    let port = service.way(&["loadbalancer", "server", "port"])?;
    Some(port.value.as_str().map_or_else(|| port.value.to_string(), str::to_owned))
}

// === impl Router ===

impl Router<'_> {
    /// Whether requests for one host alone come to it, as its rule says.
    pub(super) fn has_one_host(&self) -> bool {
        let rule = Some(self.node.text("rule")).filter(|rule| !rule.is_empty()).unwrap_or(self.node.text("match"));
        let mut hosts = rule.split("Host(").skip(1);
        let one = hosts.next().is_some_and(|rest| {
            let name = rest.split(')').next().unwrap_or_default().trim();
            !name.contains(',') && name.len() > 2
        });
        one && hosts.next().is_none() && !rule.contains("||") && !rule.contains('!')
    }

    /// Whether it names a service.
    pub(super) fn leads_to(&self, service: &str) -> bool {
        self.service.split('@').next().is_some_and(|name| name.eq_ignore_ascii_case(service))
    }
}

// === impl Model ===

impl<'d> Model<'d> {
    /// Adds what a document says.
    pub(super) fn add(&mut self, root: &Node<'d>, provider: Provider) {
        self.entry_points(root);
        self.api(root);
        self.providers(root);
        self.labelled |= provider == Provider::Labels;
        if root.get("kind").is_some() {
            self.cluster = true;
            self.kubernetes(root);
        } else {
            self.dynamic(root, provider);
        }
        if provider == Provider::File && root.get("http").is_none() {
            self.compose.add(root);
        }
    }

    /// The other providers from which Traefik takes routers.
    fn providers(&mut self, root: &Node<'d>) {
        for (name, node) in root.get("providers").map(|all| all.members()).unwrap_or_default() {
            let off = node.value == false || node.value == "false";
            // `file` is read, and the others are no providers
            if off || matches!(name, "file" | "providersthrottleduration" | "precedence") {
                continue;
            }
            if ["docker", "swarm", "ecs", "nomad", "consulcatalog"].contains(&name) {
                let shy = node.get("exposedbydefault").is_some_and(|_| !node.is_true("exposedbydefault"));
                self.exposed.extend((!shy).then(|| node.clone()));
            }
            self.providers.push((name, node));
        }
    }

    /// The API without a router, which listens at the entry point `traefik`.
    fn api(&mut self, root: &Node<'d>) {
        let address = root.way(&["entrypoints", "traefik"]).map(|point| point.text("address")).unwrap_or_default();
        if let Some(api) = root.get("api").filter(|api| api.is_true("insecure") && !is_of_this_machine(address)) {
            let port = address.rsplit_once(':').map_or("8080", |(_, port)| port);
            self.open_api.extend(api.get("insecure").map(|node| (port, node)));
        }
    }

    fn entry_points(&mut self, root: &Node<'d>) {
        for (name, node) in root.get("entrypoints").map(|points| points.members()).unwrap_or_default() {
            let http = node.get("http");
            let redirect = node.way(&["http", "redirections", "entrypoint", "to"]);
            self.entry_points.push((
                name.to_owned(),
                EntryPoint {
                    middlewares: http.map(|http| names(&http, "middlewares")).unwrap_or_default(),
                    redirects: redirect.is_some(),
                    default: node.is_true("asdefault"),
                    node,
                },
            ));
        }
    }

    fn dynamic(&mut self, root: &Node<'d>, provider: Provider) {
        let members = |way: &[&str]| root.way(way).map(|node| node.members()).unwrap_or_default();
        for (name, node) in members(&["http", "middlewares"]) {
            self.middlewares.push((name.to_ascii_lowercase(), node));
        }
        for (name, node) in members(&["http", "routers"]) {
            self.routers.push(Router {
                name: name.to_owned(),
                middlewares: names(&node, "middlewares"),
                entry_points: names(&node, "entrypoints").into_iter().map(|name| name.name).collect(),
                service: node.text("service").to_owned(),
                container: root.text("container").to_owned(),
                tls: node.get("tls").is_some_and(|tls| tls.value.is_object() || node.is_true("tls")),
                provider,
                node,
            });
        }
        for (name, node) in members(&["http", "services"]) {
            let all = |way: &[&str]| node.way(way).map(|list| list.items()).unwrap_or_default();
            let lists = [all(&["weighted", "services"]), all(&["mirroring", "mirrors"])].concat();
            let one = |way: &[&str]| node.way(way).and_then(|part| part.value.as_str());
            let ones = [&["mirroring", "service"][..], &["failover", "service"], &["failover", "fallback"]];
            let parts = lists.iter().map(|part| part.text("name")).chain(ones.into_iter().filter_map(one));
            self.parts
                .extend(parts.map(|part| (name.to_owned(), part.split('@').next().unwrap_or_default().to_owned())));
            let balancer = node.get("loadbalancer");
            let host = balancer.as_ref().and_then(|balancer| balancer.get("passhostheader"));
            let changed = host.filter(|_| !balancer.is_some_and(|balancer| balancer.is_true("passhostheader")));
            self.rehosted.extend(changed.map(|node| (name, node)));
            for server in node.way(&["loadbalancer", "servers"]).map(|list| list.items()).unwrap_or_default() {
                let url = server.text("url");
                let path =
                    url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
                if server.is_true("preservepath") && !path.is_empty() {
                    self.rebased.push(server.clone());
                }
                let host = url.split_once("://").map_or(url, |(_, rest)| rest);
                let host = host.split('/').next().unwrap_or_default();
                self.servers.push(host.to_owned());
                self.addresses.push((name.to_owned(), host.to_owned()));
            }
        }
        let container = root.text("container");
        let ports = members(&["http", "services"]).into_iter().filter_map(|(name, node)| Some((name, port(&node)?)));
        let ports: Vec<(&str, String)> = ports.map(|(name, port)| (name, format!("{container}:{port}"))).collect();
        if !container.is_empty() {
            let named = ports.iter().flat_map(|(name, address)| [(*name, address), (container, address)]);
            self.addresses.extend(named.map(|(name, address)| (name.to_owned(), address.clone())));
            self.addresses.push((container.to_owned(), container.to_owned()));
        }
        let ports: Vec<String> = ports.into_iter().map(|(_, address)| address).collect();
        if ports.is_empty() && !container.is_empty() && root.way(&["http", "routers"]).is_some() {
            self.containers.push(container.to_owned());
        }
        self.containers.extend(ports);
        for kind in ["tcp", "udp"] {
            for (name, node) in members(&[kind, "services"]) {
                let servers = node.way(&["loadbalancer", "servers"]).map(|list| list.items()).unwrap_or_default();
                let addresses = servers.iter().map(|server| server.text("address").to_owned());
                let own = port(&node).map(|port| format!("{container}:{port}"));
                let addresses = addresses.chain(own).collect();
                self.tcp_services.push((name.to_owned(), container.to_owned(), addresses));
            }
            for (_, node) in members(&[kind, "routers"]) {
                let services = names(&node, "service").into_iter().map(|name| name.name).collect();
                self.tcp.push(Tcp { node, container: container.to_owned(), services });
            }
        }
    }

    /// Objects of Kubernetes.
    fn kubernetes(&mut self, root: &Node<'d>) {
        let kind = root.text("kind");
        if kind.ends_with("List") {
            for item in root.list("items") {
                self.kubernetes(&item);
            }
            return;
        }
        let name = root.way(&["metadata", "name"]).and_then(|name| name.value.as_str()).unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let Some(spec) = root.get("spec") else {
            if !HARMLESS.contains(&kind) {
                self.unknown.push(root.clone());
            }
            return;
        };
        let of = |node: &Node<'d>, key: &str| node.list(key).first().map(|one| one.text("name")).unwrap_or_default();
        let router = |node: Node<'d>, middlewares: Vec<Name<'d>>, service: &str| Router {
            name: name.clone(),
            middlewares,
            entry_points: names(&spec, "entrypoints").into_iter().map(|name| name.name).collect(),
            container: String::new(),
            service: service.to_owned(),
            tls: spec.get("tls").is_some(),
            provider: Provider::Kubernetes,
            node,
        };
        if matches!(kind, "IngressRoute" | "TraefikService") {
            let changed = spec.all(&|value| value.get("passhostheader").is_some());
            let changed = changed.iter().filter(|service| !service.is_true("passhostheader"));
            self.rehosted.extend(changed.filter_map(|node| Some((node.text("name"), node.get("passhostheader")?))));
        }
        match kind {
            "Service" => {
                let notes = root.way(&["metadata", "annotations"]);
                let key = "traefik.ingress.kubernetes.io/service.passhostheader";
                let changed = notes.filter(|notes| notes.get(key).is_some() && !notes.is_true(key));
                let own = root.get("metadata").map(|metadata| metadata.text("name")).unwrap_or_default();
                self.rehosted.extend(changed.and_then(|notes| notes.get(key)).map(|node| (own, node)));
                let open = |kind: &Node<'_>| kind.value == "NodePort" || kind.value == "LoadBalancer";
                self.published.extend(spec.get("type").filter(open).map(|kind| (name, kind)));
            }
            "Middleware" => self.middlewares.push((name, spec)),
            "IngressRoute" => {
                let routes = spec.list("routes").into_iter();
                self.routers.extend(routes.map(|node| {
                    let (middlewares, service) = (names(&node, "middlewares"), of(&node, "services"));
                    router(node, middlewares, service)
                }));
            }
            "Ingress" if is_of_another(root, &spec) => {}
            "Ingress" => {
                let key = "traefik.ingress.kubernetes.io/router.middlewares";
                let middlewares =
                    root.way(&["metadata", "annotations"]).map(|notes| names(&notes, key)).unwrap_or_default();
                let service = spec
                    .all(&|value| value.get("service").is_some())
                    .first()
                    .and_then(|backend| backend.get("service").map(|service| service.text("name")))
                    .unwrap_or_default();
                self.routers.push(router(spec.clone(), middlewares, service));
            }
            "HTTPRoute" | "GRPCRoute" => {
                for rule in spec.list("rules") {
                    let filters = rule.list("filters");
                    self.unknown.extend(rule.list("backendrefs").iter().flat_map(|to| to.list("filters")));
                    let only_redirects = rule.list("backendrefs").is_empty()
                        && filters.iter().any(|filter| filter.text("type") == "RequestRedirect");
                    let middlewares = filters
                        .iter()
                        .filter_map(|filter| filter.get("extensionref"))
                        .map(|node| Name { name: node.text("name").to_ascii_lowercase(), node })
                        .collect();
                    if !only_redirects {
                        let service = of(&rule, "backendrefs");
                        self.routers.push(router(rule, middlewares, service));
                    }
                    // what is written there counts as in a middleware, which is not looked at
                    let rewrites = filters.into_iter().filter(|filter| {
                        matches!(filter.text("type"), "URLRewrite" | "RequestHeaderModifier" | "RequestMirror")
                    });
                    self.unknown.extend(rewrites);
                }
            }
            "IngressRouteTCP" => {
                for node in spec.list("routes") {
                    let services = node.list("services").iter().map(|to| to.text("name").to_owned()).collect();
                    self.tcp.push(Tcp { node, container: String::new(), services });
                }
            }
            kind if !HARMLESS.contains(&kind) => self.unknown.push(root.clone()),
            _ => {}
        }
    }
}

/// Whether an `Ingress` is of another controller, as its class or the older annotation says.
fn is_of_another(root: &Node<'_>, spec: &Node<'_>) -> bool {
    let annotation = root.way(&["metadata", "annotations", "kubernetes.io/ingress.class"]);
    let annotation = annotation.and_then(|class| class.value.as_str()).unwrap_or_default();
    [spec.text("ingressclassname"), annotation].iter().any(|class| !class.is_empty() && !class.contains("traefik"))
}

/// Objects of Kubernetes that lead no requests to a service by themselves. What runs Traefik is looked at elsewhere.
const HARMLESS: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "Endpoints",
    "Gateway",
    "GatewayClass",
    "HorizontalPodAutoscaler",
    "IngressClass",
    "IngressRouteUDP",
    "Job",
    "Kustomization",
    "MiddlewareTCP",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "ReferenceGrant",
    "Role",
    "RoleBinding",
    "Secret",
    "ServersTransport",
    "ServersTransportTCP",
    "Service",
    "ServiceAccount",
    "StatefulSet",
    "TLSOption",
    "TLSStore",
    "TraefikService",
];
