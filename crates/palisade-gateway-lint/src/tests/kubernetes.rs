//! Objects of Kubernetes: those of Traefik, and what leads past the check there.

use super::*;

/// Objects of Kubernetes beside a `Middleware` with the check, and whether there is something to find.
const OBJECTS: &[(&str, &str)] = &[
    ("kind: Ingress\nmetadata: {name: a, annotations: {kubernetes.io/ingress.class: nginx}}\nspec: {rules: []}\n", ""),
    (
        "kind: Ingress\nmetadata: {name: a, annotations: {kubernetes.io/ingress.class: traefik}}\nspec: {rules: []}\n",
        "traefik-router-unchecked",
    ),
    ("kind: Ingress\nmetadata: {name: a}\nspec: {ingressClassName: nginx, rules: []}\n", ""),
    (
        "kind: HTTPRoute\nmetadata: {name: a}\nspec:\n  rules:\n  - filters: [{type: ExtensionRef, extensionRef: {name: palisade}}]\n    \
         backendRefs: [{name: app, port: 80}]\n",
        "",
    ),
    (
        "kind: HTTPRoute\nmetadata: {name: a}\nspec:\n  rules:\n  - filters: [{type: ExtensionRef, extensionRef: {name: palisade}}]\n    \
         backendRefs: [{name: app, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: \
         [{name: X-Palisade-Principal, value: root}]}}]}]\n",
        "not-checked",
    ),
    ("providers: {kubernetesCRD: {}}\n", ""),
    // a host for requests for every host, and services that are open themselves
    (
        "kind: IngressRoute\nmetadata: {name: a}\nspec: {routes: [{match: 'PathPrefix(`/`)', middlewares: [{name: palisade}], services: [{name: app, port: 80, passHostHeader: false}]}]}\n",
        "traefik-host-changed",
    ),
    (
        "kind: IngressRoute\nmetadata: {name: a}\nspec: {routes: [{match: 'Host(`a.test`)', middlewares: [{name: palisade}], services: [{name: app, port: 80, passHostHeader: false}]}]}\n",
        "",
    ),
    (
        "kind: Service\nmetadata: {name: app, annotations: {traefik.ingress.kubernetes.io/service.passhostheader: 'false'}}\nspec: {ports: [{port: 80}]}\n",
        "traefik-host-changed",
    ),
    (
        "kind: IngressRoute\nmetadata: {name: a}\nspec: {routes: [{match: 'PathPrefix(`/`)', middlewares: [{name: palisade}], services: [{name: app, port: 80}]}]}\n---\nkind: Service\nmetadata: {name: app}\nspec: {type: NodePort, ports: [{port: 80}]}\n",
        "traefik-port-published",
    ),
    ("kind: Service\nmetadata: {name: app}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n", ""),
    ("kind: Service\nmetadata: {name: app}\n", ""),
];

const CHECK: &str = "kind: Middleware\nmetadata: {name: palisade}\nspec: {forwardAuth: {address: \
    'http://palisade:8180/gateway/forward', authResponseHeaders: [X-Palisade-Principal, X-Palisade-Auth-Method, \
    X-Palisade-Token, Upgrade]}}\n---\n";

/// The objects in which something is to be found, with its rule.
pub(super) fn broken() -> impl Iterator<Item = sites::Broken> {
    OBJECTS.iter().filter(|object| !object.1.is_empty()).map(|(object, rule)| {
        (Gateway::Traefik, vec![("a.yaml".to_owned(), format!("{CHECK}{object}"))], (*rule).to_owned())
    })
}

#[test]
fn objects_of_kubernetes_are_those_of_traefik() {
    for (object, rule) in OBJECTS {
        let found = one(Gateway::Traefik, &format!("{CHECK}{object}"));
        let rules: Vec<&str> = rules(&found).into_iter().collect();
        assert_eq!(rules.join(" "), *rule, "{object}: {found:#?}");
    }
}
