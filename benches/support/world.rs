//! Worlds of any size in the shape of the domain: tenants with nested customers, locations, users and devices.
//!
//! A tenth of a world is the devices of one customer, so that moving it moves them all.

use std::fmt::Write as _;

use palisade_engine::model::{AccessRequest, Bundle, Document, Edit, Uid, Value};

/// Customers of a tenant, and as many locations.
const CUSTOMERS: u64 = 20;

/// Users of a tenant, and as many devices.
const USERS: u64 = 980;

/// Entities of a tenant.
const TENANT: u64 = 1 + 2 * CUSTOMERS + 2 * USERS;

/// Numbers that are the same in every run.
#[derive(Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // the upper bits are the better ones
        (self.0 >> 16) % bound
    }
}

/// How large a world is. Everything in it follows from that.
#[derive(Clone, Copy)]
pub(crate) struct World {
    tenants: u64,
    crowd: u64,
}

impl World {
    /// A world of about `entities`.
    pub(crate) fn of(entities: u64) -> Self {
        let crowd = entities / 10;
        Self { tenants: ((entities - crowd) / TENANT).max(2), crowd }
    }

    /// The domain's policies and schema over this world's entities.
    pub(crate) fn bundle(self) -> Bundle {
        let document = Document::held("world", self.ndjson());
        let mut fleet = super::fleet();
        // a customer moves here to another tenant, alone
        fleet.for_each.rules.clear();
        Bundle { entities: vec![document], ..fleet }
    }

    /// All entities, one a line.
    pub(crate) fn ndjson(self) -> String {
        let mut out = String::new();
        let mut line = |ty: &str, id: &str, attrs: &str, parents: &[String]| {
            let (uid, parents) = (uid(ty, id), parents.join(","));
            let _ = writeln!(out, r#"{{"uid":{uid},"attrs":{{{attrs}}},"parents":[{parents}]}}"#);
        };
        line("Platform", "autopi", "", &[]);
        let groups = ["full_device_access", "device_management"];
        for (group, permission) in groups.into_iter().zip(["autopi.records", "autopi.devices"]) {
            line("Permission", permission, "", &[]);
            line("PermissionGroup", group, "", &[uid("Permission", permission)]);
        }
        for t in 0..self.tenants {
            let tenant = format!("t{t}");
            line("Tenant", &tenant, r#""closed":false,"addons":[]"#, &[uid("Platform", "autopi")]);
            for c in 0..CUSTOMERS {
                // a tree whose nodes have three children
                let above = match c {
                    0 => uid("Tenant", &tenant),
                    c => uid("Customer", &format!("c{t}-{}", (c - 1) / 3)),
                };
                let name = format!("c{t}-{c}");
                line("Customer", &name, &customer(t), &[above]);
                line("Location", &format!("l{t}-{c}"), &owned(t, &name), &[uid("Customer", &name)]);
            }
            for x in 0..USERS {
                let (name, place) = (format!("c{t}-{}", x % CUSTOMERS), format!("l{t}-{}", x % CUSTOMERS));
                let user = format!(
                    r#"{},"active":true,"locations":[{{"__entity":{}}}],"locationRestricted":false,"managed":[]"#,
                    owned(t, &name),
                    uid("Location", &place)
                );
                let [full, management] = groups.map(|group| uid("PermissionGroup", group));
                line("User", &format!("user-{t}-{x}"), &user, &[uid("Customer", &name), full, management]);
                let parents = [uid("Customer", &name), uid("Location", &place)];
                line("Device", &format!("device-{t}-{x}"), &device(t, &name), &parents);
            }
        }
        line("Customer", "crowd", &customer(0), &[uid("Tenant", "t0")]);
        for x in 0..self.crowd {
            line("Device", &format!("crowd-{x}"), &device(0, "crowd"), &[uid("Customer", "crowd")]);
        }
        out
    }

    /// A user of some tenant asks for a device of that tenant.
    pub(crate) fn question(self, rng: &mut Rng) -> AccessRequest<'static> {
        let (t, x, y) = (rng.below(self.tenants), rng.below(USERS), rng.below(USERS));
        let action = if rng.below(2) == 0 { "ViewDevice" } else { "ExecuteCommand" };
        let named = |ty: &str, id: String| Uid::new(format!("Fleet::{ty}"), id).unwrap();
        let mut request = AccessRequest::new(
            named("User", format!("user-{t}-{x}")),
            named("Action", action.to_owned()),
            named("Device", format!("device-{t}-{y}")),
        );
        request.context = Value::parse(br#"{"auth":{"method":"password","mfa":true}}"#).unwrap();
        request
    }

    /// The JSON of some device, below another customer than before.
    pub(crate) fn moved_device(self, rng: &mut Rng) -> String {
        let (t, x, c) = (rng.below(self.tenants), rng.below(USERS), rng.below(CUSTOMERS));
        let (name, uid_of) = (format!("c{t}-{c}"), uid("Device", &format!("device-{t}-{x}")));
        format!(r#"{{"uid":{uid_of},"attrs":{{{}}},"parents":[{}]}}"#, device(t, &name), uid("Customer", &name))
    }

    /// The uid of some device.
    pub(crate) fn device(self, rng: &mut Rng) -> Uid<'static> {
        let (t, x) = (rng.below(self.tenants), rng.below(USERS));
        Uid::new("Fleet::Device", format!("device-{t}-{x}")).unwrap()
    }

    /// The JSON of the customer with a tenth of the world below it, in another tenant.
    pub(crate) fn moved_crowd(self, rng: &mut Rng) -> String {
        let t = rng.below(self.tenants);
        let (crowd, tenant) = (uid("Customer", "crowd"), uid("Tenant", &format!("t{t}")));
        format!(r#"{{"uid":{crowd},"attrs":{{{}}},"parents":[{tenant}]}}"#, customer(t))
    }

    /// How many are below the customer that moves.
    pub(crate) fn crowd(self) -> u64 {
        self.crowd
    }
}

/// A change that stores what `json` describes.
pub(crate) fn upsert(json: &str) -> Edit {
    Edit::Upsert(Value::parse(json.as_bytes()).unwrap().into_owned())
}

fn uid(ty: &str, id: &str) -> String {
    format!(r#"{{"type":"Fleet::{ty}","id":"{id}"}}"#)
}

fn customer(tenant: u64) -> String {
    let tenant = uid("Tenant", &format!("t{tenant}"));
    format!(r#""tenant":{{"__entity":{tenant}}},"closed":false,"mfaRequired":false,"top":true"#)
}

fn owned(tenant: u64, customer: &str) -> String {
    let (tenant, customer) = (uid("Tenant", &format!("t{tenant}")), uid("Customer", customer));
    format!(r#""tenant":{{"__entity":{tenant}}},"customer":{{"__entity":{customer}}}"#)
}

fn device(tenant: u64, customer: &str) -> String {
    format!(r#"{},"claimed":true"#, owned(tenant, customer))
}
