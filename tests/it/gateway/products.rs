//! The four products behind a gateway: real routes, policies and entities, allowed and denied.

use std::collections::BTreeSet;

use palisade::source::{FileSettings, FileSource, Roots, Source};
use palisade_engine::{Limits, on_big_stack};
use palisade_routes::{Body, Peer, RequestFacts};
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::gate::{Ask, DIALECTS, Dialect, Gate, bearer};

#[test]
fn the_products_end_to_end() {
    let gate = Gate::fleet(json!({}));
    let autopi = "api.autopi.io";
    let (ioto, edgeiq, things) = ("ioto.example.com", "api.edgeiq.io", "thingsboard.cloud");
    for (host, who, request, body, status) in [
        (autopi, "", "POST /auth/login/", None, 200),
        (autopi, "", "GET /dongle/devices/d-dk/", None, 401),
        (autopi, "u-dk-fda-dm", "GET /dongle/devices/d-dk/", None, 200),
        (autopi, "u-dk-fda-dm", "HEAD /dongle/devices/d-dk/", None, 200),
        (autopi, "u-dk-fda-dm", "GET /dongle/devices/d-hq/", None, 403),
        (autopi, "u-dk-dm", "GET /dongle/devices/d-dk/", None, 403),
        (autopi, "u-hq-fda-dm", "GET /dongle/devices/d-depot/", None, 200),
        (autopi, "u-inactive", "GET /dongle/devices/d-dk/", None, 403),
        (autopi, "nobody", "GET /dongle/devices/d-dk/", None, 403),
        (autopi, "u-dk-fda-dm", "GET /dongle/devices/gone/", None, 403),
        (autopi, "u-dk-fda-dm", "GET /nowhere", None, 403),
        (edgeiq, "", "POST /api/v1/platform/user/authenticate", None, 200),
        (edgeiq, "eq-a-admin", "GET /api/v1/platform/me", None, 200),
        (edgeiq, "eq-a-admin", "POST /api/v1/platform/companies", Some(r#"{"company_id": "A"}"#), 200),
        (edgeiq, "eq-c-op", "POST /api/v1/platform/companies", Some(r#"{"company_id": "A"}"#), 403),
        (ioto, "io-admin", "POST /account/close", Some(r#"{"id": "acc1"}"#), 200),
        (ioto, "io-owneruser", "POST /account/close", Some(r#"{"id": "acc2"}"#), 403),
        (ioto, "io-user", "POST /account/get", Some(r#"{"id": "acc2"}"#), 403),
        (things, "tb-jane", "POST /api/customer", Some(r#"{"title": "x"}"#), 200),
        (things, "tb-bob", "POST /api/user", Some(r#"{"customerId": {"id": "BLDA"}}"#), 403),
        (things, "tb-jane", "GET /api/device/tb-a/credentials", None, 200),
        (things, "tb-jane", "GET /api/device/tb-b/credentials", None, 403),
        // what a body changes besides
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"first_name": "x"}"#), 200),
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"is_active": false}"#), 200),
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"customer": "AAR"}"#), 403),
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"is_staff": true}"#), 403),
        (autopi, "u-dk-aa", "PATCH /auth/user/", Some(r#"{"units": "metric"}"#), 200),
        (autopi, "u-cph", "PATCH /auth/user/", Some(r#"{"locations": null}"#), 403),
        (autopi, "u-cph", "DELETE /fleet/locations/odense/", None, 403),
        (autopi, "u-dk-fm", "DELETE /fleet/locations/odense/", None, 200),
        (autopi, "u-cph", "GET /fleet/geofences/7/", None, 200),
        (autopi, "u-cph", "DELETE /fleet/geofences/7/", None, 403),
        (autopi, "u-cph", "DELETE /reporting/reports/7/", None, 403),
        (autopi, "u-dk-fm", "DELETE /reporting/reports/7/", None, 200),
        (autopi, "u-hq-fda-dm", "GET /dongle/devices/?customer=DK", None, 200),
        (autopi, "u-dk-fda-dm", "GET /dongle/devices/?customer=HQ", None, 403),
        (autopi, "u-hq-full", "DELETE /fleet/geofences/7/?customer=DK", None, 200),
        (autopi, "u-dk-fm", "DELETE /fleet/geofences/7/?customer=NO", None, 403),
        (autopi, "u-dk-fm", "DELETE /fleet/geofences/7/?customer=HQ", None, 403),
        (
            edgeiq,
            "eq-a-admin",
            "POST /api/v1/platform/users",
            Some(r#"{"company_id": "A", "company_ids": ["C"]}"#),
            200,
        ),
        (
            edgeiq,
            "eq-a-admin",
            "POST /api/v1/platform/users",
            Some(r#"{"company_id": "A", "company_ids": ["Z"]}"#),
            403,
        ),
        (ioto, "io-admin", "POST /user/updateRole", Some(r#"{"id": "io-user", "role": "admin"}"#), 200),
        (ioto, "io-admin", "POST /user/updateRole", Some(r#"{"id": "io-user", "role": "owner"}"#), 403),
        (ioto, "io-admin", "POST /user/update", Some(r#"{"id": "io-user", "accountId": "acc2"}"#), 403),
        (ioto, "io-admin", "POST /token/create", Some(r#"{"role": "admin"}"#), 200),
        (ioto, "io-admin", "POST /token/create", Some(r#"{"role": "owner"}"#), 403),
        (ioto, "io-admin", "POST /account/get?exists=null", Some("{}"), 403),
        (things, "tb-jane", "POST /api/user", Some(r#"{"id": {"id": "tb-bob"}, "customerId": {"id": "BLDA"}}"#), 200),
        (things, "tb-jane", "POST /api/user", Some(r#"{"id": {"id": "tb-bob"}, "customerId": {"id": "TBROOT"}}"#), 403),
        // the records and the accounts that a request names
        (autopi, "u-dk-dm", "POST /dongle/templates/7/apply/", Some(r#"{"devices": ["d-dk"]}"#), 403),
        (autopi, "u-dk-fda-dm", "POST /dongle/templates/7/apply/", Some(r#"{"devices": ["d-dk"]}"#), 200),
        (autopi, "u-dk-fda-dm", "POST /dongle/templates/7/apply/", Some(r#"{"devices": ["d-dk", "d-riv"]}"#), 403),
        (autopi, "u-dk-fda-dm", "PATCH /dongle/devices/d-dk/", Some(r#"{"location": "cph"}"#), 200),
        (autopi, "u-dk-fda-dm", "PATCH /dongle/devices/d-dk/", Some(r#"{"location": "oslo"}"#), 403),
        (
            autopi,
            "u-dk-aa",
            "POST /auth/account/v3/users/u-dk-dm/permissions/",
            Some(r#"{"user": "u-dk-aa", "group": 4}"#),
            403,
        ),
        (autopi, "u-dk-aa", "POST /auth/password/change/", Some(r#"{"old_password": "a", "new_password": "b"}"#), 200),
        (autopi, "u-none", "POST /auth/password/change/", Some(r#"{"user": "u-dk-aa", "new_password": "b"}"#), 403),
        (autopi, "u-dk-aa", "DELETE /auth/account/v3/users/u-dk-dm/permissions/9/", None, 200),
        (autopi, "u-dk-aa", "POST /dongle/devices/", Some(r#"{"unit_id": "new"}"#), 200),
        (autopi, "u-dk-aa", "POST /dongle/devices/", Some(r#"{"unit_id": "d-dk"}"#), 403),
        (edgeiq, "eq-a-op", "PUT /api/v1/platform/devices/eq-a", Some(r#"{"unique_id": "new"}"#), 200),
        (edgeiq, "eq-a-op", "PUT /api/v1/platform/devices/eq-a", Some(r#"{"unique_id": "eq-z"}"#), 403),
        (edgeiq, "eq-a-view", "POST /api/v1/platform/reports", Some(r#"{"device_id": "eq-a", "payload": {}}"#), 403),
        (autopi, "u-dk-fm", "POST /fleet/geofences/?customer=NO", Some(r#"{"name": "x"}"#), 403),
        (edgeiq, "eq-b-op", "GET /api/v1/platform/devices?company_id=C", None, 403),
        (edgeiq, "eq-a-view", "GET /api/v1/platform/devices?company_id=C", None, 200),
        (edgeiq, "eq-a-op", "PUT /api/v1/platform/devices/eq-a", Some(r#"{"company_ids": ["B"]}"#), 403),
        (edgeiq, "eq-a-admin", "PUT /api/v1/platform/users/eq-a-view", Some(r#"{"company_ids": []}"#), 200),
        (ioto, "io-claimer", "POST /device/claim", Some(r#"{"id": "io-2"}"#), 403),
        (ioto, "io-claimer", "POST /device/claim", Some(r#"{"id": "new"}"#), 200),
        (things, "tb-jane", "POST /api/entityGroup/My%20Customers/addEntities", Some(r#"["tb-t"]"#), 403),
        (
            things,
            "tb-admin",
            "POST /api/customer",
            Some(r#"{"id": {"id": "BLDA"}, "title": "x", "ownerId": {"entityType": "TENANT", "id": "tb"}}"#),
            200,
        ),
        // a body names the record that the path names, or none
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"id": "u-dk-dm", "groups": [1]}"#), 200),
        (autopi, "u-dk-aa", "PATCH /auth/account/v3/users/u-dk-dm/", Some(r#"{"id": "u-dk-aa", "groups": [1]}"#), 403),
        (autopi, "u-hq-fda-dm", "PATCH /dongle/devices/d-no/", Some(r#"{"id": "d-dk", "customer": "NO"}"#), 403),
        (edgeiq, "eq-a-op", "PUT /api/v1/platform/devices/eq-a", Some(r#"{"_id": "eq-a", "company_id": "A"}"#), 200),
        (edgeiq, "eq-a-op-c", "PUT /api/v1/platform/devices/eq-a", Some(r#"{"_id": "eq-c", "company_id": "A"}"#), 403),
        // what is created without an account is in the caller's own, and each device that is attached to it is changed
        (edgeiq, "eq-a-admin", "POST /api/v1/platform/devices", Some(r#"{"attached_device_ids": ["eq-a"]}"#), 200),
        (edgeiq, "eq-a-admin", "POST /api/v1/platform/devices", Some(r#"{"attached_device_ids": ["eq-c"]}"#), 403),
        // an account at the top has the vendor above it, and no other gets there
        (edgeiq, "eq-a-admin", "PUT /api/v1/platform/companies/A", Some(r#"{"company_id": "machineshop"}"#), 200),
        (edgeiq, "eq-a-admin-c", "PUT /api/v1/platform/companies/C", Some(r#"{"name": "x"}"#), 200),
        (edgeiq, "eq-a-admin-c", "PUT /api/v1/platform/companies/C", Some(r#"{"company_id": "machineshop"}"#), 403),
        // nothing is created over what another product has
        (
            edgeiq,
            "eq-a-admin",
            "POST /api/v1/platform/companies",
            Some(r#"{"company_id": "A", "unique_id": "n"}"#),
            200,
        ),
        (
            edgeiq,
            "eq-a-admin",
            "POST /api/v1/platform/companies",
            Some(r#"{"company_id": "A", "unique_id": "HQ"}"#),
            403,
        ),
        // a record is put into a group of its kind
        (things, "tb-admin", "POST /api/device?entityGroupId=Building%20A%20devices", Some(r#"{"name": "x"}"#), 200),
        (things, "tb-admin", "POST /api/device?entityGroupId=My%20Customers", Some(r#"{"name": "x"}"#), 403),
        // a page about oneself names no other user
        (autopi, "u-dk-aa", "POST /auth/logout/", Some("{}"), 200),
        (autopi, "u-dk-aa", "POST /auth/logout/", Some(r#"{"user": "u-no-all", "all": true}"#), 403),
        (things, "tb-bob", "POST /api/auth/logout", Some("{}"), 200),
        (things, "tb-bob", "POST /api/auth/logout", Some(r#"{"userId": "tb-jane"}"#), 403),
        // a product's host is for those who live in it
        (autopi, "eq-a-admin", "PATCH /auth/account/", Some(r#"{"name": "x"}"#), 403),
        (autopi, "eq-a-admin", "GET /dongle/devices/", None, 403),
        (autopi, "io-admin", "GET /auth/user/", None, 403),
        (autopi, "tb-admin", "GET /auth/user/", None, 403),
        (things, "eq-a-admin", "GET /api/customers", None, 403),
        (things, "eq-a-admin", "POST /api/device", Some(r#"{"name": "x"}"#), 403),
        (things, "u-hq-full", "GET /api/auth/user", None, 403),
        (things, "io-admin", "GET /api/auth/user", None, 403),
        (ioto, "eq-a-admin", "POST /user/find", Some("{}"), 403),
        (ioto, "u-hq-full", "POST /user/get", Some("{}"), 403),
        (ioto, "tb-admin", "POST /user/get", Some("{}"), 403),
        (edgeiq, "u-hq-full", "POST /api/v1/platform/user/api_token_reset", Some("{}"), 403),
        (edgeiq, "io-admin", "GET /api/v1/platform/me", None, 403),
        (edgeiq, "tb-admin", "GET /api/v1/platform/me", None, 403),
    ] {
        let (method, target) = request.split_once(' ').unwrap();
        let credential = bearer(who);
        let header = if host == things { "x-authorization" } else { "authorization" };
        let headers = [(header, credential.as_str())];
        let headers = if who.is_empty() { &[][..] } else { &headers[..] };
        for dialect in DIALECTS {
            let answer = Ask { method, target, host, headers, body }.send(gate.addr(), dialect);
            // nginx passes no bodies on
            let status = if dialect == Dialect::Nginx && body.is_some() { 403 } else { status };
            assert_eq!(answer.status, status, "{dialect:?} {host} {who} {request}: {answer:?}");
        }
    }
}

/// A token without a scheme, and the type of a body with each `GET`.
#[test]
fn edgeiq_takes_what_the_scripts_of_its_vendor_send() {
    let gate = Gate::fleet(json!({}));
    let credential = bearer("eq-a-admin");
    for value in [credential.as_str(), credential.trim_start_matches("Bearer ")] {
        let headers = [("authorization", value), ("content-type", "application/json")];
        for target in ["/api/v1/platform/me", "/api/v1/platform/devices", "/api/v1/platform/devices/eq-a"] {
            let ask = Ask { method: "GET", target, host: "api.edgeiq.io", headers: &headers, body: None };
            for dialect in DIALECTS {
                let answer = ask.send(gate.addr(), dialect);
                assert_eq!(answer.status, 200, "{dialect:?} {target}: {answer:?}");
            }
        }
    }
}

#[test]
fn a_revoked_or_limited_token_is_for_the_policies_to_say() {
    let gate = Gate::fleet(json!({}));
    let ask = |credential: &str, host: &str, request: &str, body: Option<&str>| {
        let (method, target) = request.split_once(' ').unwrap();
        let headers = [("authorization", credential)];
        Ask { method, target, host, headers: &headers, body }.send(gate.addr(), Dialect::Forward)
    };
    let answer = ask("APIToken unknown", "api.autopi.io", "GET /dongle/devices/d-dk/", None);
    assert_eq!(answer.status, 401);
    let answer =
        ask("Bearer capi-secret", "ioto.example.com", "POST /tok/account/get", Some(r#"{"accountId": "acc1"}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-palisade-principal"), Some("Fleet::ApiToken::\"capi\""));
}

/// Matches of routes, by the requests of `routes/tests` that get them.
#[test]
fn a_test_fails_for_every_route_that_is_taken_out() {
    let roots = Roots::of_policies(Server::project("policies")).with_routes(Server::project("routes"));
    let bundle = FileSource::of(roots, FileSettings::default()).load().unwrap().bundle;
    let (table, _) = on_big_stack(|| palisade_routes::compile_bundle(&bundle, &Limits::default())).unwrap().unwrap();
    // a route is known by where it was written and what it matches: under two prefixes it is there twice
    let mut untested: BTreeSet<String> =
        table.routes().iter().map(|route| format!("{} at {}", route.pattern, route.place)).collect();
    for file in std::fs::read_dir(Server::project("routes/tests")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let file: Value = serde_saphyr::from_str(&text).unwrap();
        let host = file["defaults"]["host"].as_str();
        for case in file["tests"].as_array().unwrap() {
            let (method, target) = case["request"].as_str().unwrap().split_once(' ').unwrap();
            let body = if case["body"].is_null() { String::new() } else { case["body"].to_string() };
            let headers = [("content-type", "application/json")];
            let facts = RequestFacts {
                method,
                target: target.as_bytes(),
                host: case["host"].as_str().or(host),
                headers: &headers.to_vec(),
                body: Body::Whole(body.as_bytes()),
                peer: Peer::default(),
            };
            let place = match table.find(facts) {
                Ok(found) => found.route().map(|route| route.place.clone()),
                Err(refusal) => refusal.route,
            };
            if let Some(place) = place {
                untested.retain(|route| !route.ends_with(&format!(" at {place}")));
            }
        }
    }
    assert!(untested.is_empty(), "{} routes have no test in `routes/tests`: {untested:#?}", untested.len());
}
