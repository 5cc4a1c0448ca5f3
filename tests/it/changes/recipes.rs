//! The recipes of docs/changes.md: a question for each, answered before and after.

use std::collections::BTreeMap;

use super::*;
use crate::support::fleet;

/// The transaction below each heading of the page's recipes.
fn recipes() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(Server::project("docs/changes.md")).unwrap();
    let recipes = text.split("\n# Recipes\n").nth(1).expect("the page has recipes");
    recipes
        .split("\n### ")
        .skip(1)
        .map(|recipe| {
            let (heading, rest) = recipe.split_once('\n').unwrap();
            let block = rest.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
            (heading.to_owned(), block.unwrap_or_else(|| panic!("{heading} has no transaction")).to_owned())
        })
        .collect()
}

#[test]
fn every_recipe_does_what_it_says() {
    let mut recipes = recipes();
    for (recipe, principal, action, resource, before, after) in [
        ("A user is created", "User::\"u-new\"", "ViewDevice", "Device::\"d-dk\"", false, true),
        ("A user is deactivated", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A user is deleted", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A group or role is taken away", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A user moves to another customer", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A user is tied to locations", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A location is deleted", "User::\"u-cph\"", "ViewVehicle", "Vehicle::\"v-dk\"", true, false),
        ("A device is put at another location", "User::\"u-cph\"", "ViewVehicle", "Vehicle::\"v-dk\"", true, false),
        ("A managed account is taken away", "User::\"eq-a-op-c\"", "UpdateDevice", "Device::\"eq-c\"", true, false),
        ("A device is registered", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-new\"", false, true),
        ("A device gets another owner", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A customer is created", "User::\"u-hq-nca\"", "UpdateCustomer", "Customer::\"NEW\"", false, true),
        ("A customer is deleted", "User::\"u-hq-fda-dm\"", "ViewDevice", "Device::\"d-depot\"", true, false),
        ("A customer moves below another", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-depot\"", true, false),
        ("An account is closed", "User::\"io-admin\"", "UpdateCustomer", "Customer::\"acc1\"", true, false),
        ("A tenant is closed", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A second factor is demanded", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
        ("A token is created", "ApiToken::\"capi-new\"", "ViewCustomer", "Customer::\"accX\"", false, true),
        ("A token is revoked", "ApiToken::\"capi\"", "ViewCustomer", "Customer::\"accX\"", true, false),
        ("A permission of a group changes", "User::\"tb-bob\"", "ViewDashboard", "Dashboard::\"db-a\"", true, false),
        ("An add-on ends", "User::\"u-acm\"", "ViewAccessHistory", "Section::\"DK\"", true, false),
        ("A driver is taken off a vehicle", "User::\"u-driver\"", "ViewVehicle", "Vehicle::\"v-dk\"", true, false),
        ("A rule is added at once", "User::\"u-dk-fda-dm\"", "ViewDevice", "Device::\"d-dk\"", true, false),
    ] {
        let body = recipes.remove(recipe).unwrap_or_else(|| panic!("the page has no recipe `{recipe}`"));
        let server = Server::ready(fleet());
        let method = if principal.starts_with("ApiToken") { "cloud_api" } else { "password" };
        let ask = json!({
            "principal": format!("Fleet::{principal}"),
            "action": format!("Fleet::Action::\"{action}\""),
            "resource": format!("Fleet::{resource}"),
            "context": { "now": "2026-11-21T12:00:00Z", "auth": { "method": method, "mfa": false } },
        });
        let allowed = || decide(&mut server.client(), &ask)["decision"] == "Allow";
        assert_eq!(allowed(), before, "before `{recipe}`");
        let answer = server.admin().post(CHANGES, &body);
        assert_eq!(answer.status, 200, "{recipe}: {}", answer.text());
        assert_eq!(allowed(), after, "after `{recipe}`");
        // and what is left loads again
        let bundle = server.admin().get("/v1/bundle").json();
        put(&server, &bundle);
        assert_eq!(allowed(), after, "`{recipe}`, read back");
    }
    assert!(recipes.is_empty(), "no question is asked of {:?}", recipes.keys());
}
