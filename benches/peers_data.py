"""One state and one set of questions, in the words of each peer.

The state is the four products' fixture and more tenants of the same shape. The rule is one that all can
express: a user in the readers' group sees the devices of his own customer and of those below; who is
inactive sees none.
"""

import json
import random
from collections import defaultdict
from pathlib import Path

from common import ROOT

GROUP = "device_management"

PERMIT = f"""@id("readers")
permit (
  principal in Fleet::PermissionGroup::"{GROUP}",
  action == Fleet::Action::"ViewDevice",
  resource
)
when {{ resource in principal.customer }};
"""

FORBID = """@id("inactive")
forbid (principal, action, resource)
when { principal has active && !principal.active };
"""

CERBOS = f"""apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: device
  version: default
  rules:
  - actions: [ViewDevice]
    effect: EFFECT_ALLOW
    roles: [{GROUP}]
    condition:
      match:
        expr: request.principal.attr.customer in request.resource.attr.ancestors
  - actions: ["*"]
    effect: EFFECT_DENY
    roles: ["*"]
    condition:
      match:
        expr: "!request.principal.attr.active"
"""

CONTEXT = {"auth": {"method": "password", "mfa": True}}


def uid(kind, name):
    return {"type": f"Fleet::{kind}", "id": name}


def reference(kind, name):
    return {"__entity": uid(kind, name)}


def entities(wanted):
    """The fixture, and tenants until there are at least `wanted` entities."""
    out = json.loads((ROOT / "entities/fleet.json").read_text())

    def add(kind, name, attrs, *parents):
        out.append({"uid": uid(kind, name), "attrs": attrs, "parents": list(parents)})

    tenant = 0
    while len(out) < wanted:
        name = f"bench-{tenant}"
        of = {"tenant": reference("Tenant", name)}
        add("Tenant", name, {"closed": False, "addons": []}, uid("Platform", "autopi"))
        customers = [f"{name}-{c}" for c in range(10)]
        for c, customer in enumerate(customers):
            above = uid("Tenant", name) if c == 0 else uid("Customer", customers[(c - 1) // 3])
            parent = {} if c == 0 else {"parent": {"__entity": above}}
            add("Customer", customer, {**of, "closed": False, "mfaRequired": False, "top": c == 0, **parent}, above)
        for x in range(90):
            customer = customers[x % 10]
            own = {**of, "customer": reference("Customer", customer)}
            groups = [uid("PermissionGroup", GROUP)] * (x % 4 != 0)
            user = {"active": x % 7 != 0, "locations": [], "locationRestricted": False, "managed": []}
            add("User", f"{name}-u{x}", {**own, **user}, uid("Customer", customer), *groups)
            add("Device", f"{name}-d{x}", {**own, "claimed": True}, uid("Customer", customer))
        tenant += 1
    return out


class Questions:
    """Users and devices of the same tenant, drawn at random, the same in every run."""

    def __init__(self, state, wanted):
        self.by_uid = {(e["uid"]["type"], e["uid"]["id"]): e for e in state}
        tenants = defaultdict(lambda: ([], []))
        for entity in state:
            kind = entity["uid"]["type"]
            if kind in ("Fleet::User", "Fleet::Device"):
                of = entity["attrs"]["tenant"]["__entity"]["id"]
                tenants[of][kind == "Fleet::Device"].append(entity)
        both = [pair for _, pair in sorted(tenants.items()) if all(pair)]
        draw = random.Random(7)
        self.pairs = []
        for _ in range(wanted):
            users, devices = draw.choice(both)
            self.pairs.append((draw.choice(users), draw.choice(devices)))

    def cedar(self):
        """For Palisade, cedar-agent and stock Cedar alike."""
        for user, device in self.pairs:
            named = {key: f'{e["uid"]["type"]}::"{e["uid"]["id"]}"' for key, e in (("principal", user), ("resource", device))}
            yield {**named, "action": 'Fleet::Action::"ViewDevice"', "context": CONTEXT}

    def cerbos(self):
        """Cerbos stores no entities: its callers send attributes and ancestors."""
        for user, device in self.pairs:
            resource = {"kind": "device", "id": device["uid"]["id"], "attr": self.device(device)}
            principal = {"id": user["uid"]["id"], "roles": self.roles(user), "attr": self.user(user)}
            yield {"requestId": "bench", "principal": principal,
                   "resources": [{"actions": ["ViewDevice"], "resource": resource}]}

    def authzen(self):
        """Cerbos by AuthZEN, where a property carries the roles."""
        for user, device in self.pairs:
            properties = {"cerbos.roles": self.roles(user), **self.user(user)}
            yield {"subject": {"type": "user", "id": user["uid"]["id"], "properties": properties},
                   "action": {"name": "ViewDevice"},
                   "resource": {"type": "device", "id": device["uid"]["id"], "properties": self.device(device)}}

    def roles(self, user):
        return ["user"] + [p["id"] for p in user["parents"] if p["type"] == "Fleet::PermissionGroup"]

    def user(self, user):
        return {"customer": user["attrs"]["customer"]["__entity"]["id"], "active": user["attrs"]["active"]}

    def device(self, device):
        """The customers above it, however far."""
        above, left = [], list(device["parents"])
        while left:
            parent = left.pop(0)
            if parent["type"] == "Fleet::Customer" and parent["id"] not in above:
                above.append(parent["id"])
            left += self.by_uid.get((parent["type"], parent["id"]), {"parents": []})["parents"]
        return {"ancestors": above}


def write_palisade(directory, state):
    policies, stored = directory / "policies", directory / "entities"
    policies.mkdir(parents=True, exist_ok=True)
    stored.mkdir(exist_ok=True)
    (policies / "rule.cedar").write_text(PERMIT + FORBID)
    (policies / "fleet.cedarschema").write_text((ROOT / "policies/fleet.cedarschema").read_text())
    (stored / "state.json").write_text(json.dumps(state))
    return policies, stored


def write_cedar_agent(directory, state):
    """Its Cedar is 2.4, which knows neither tags nor dates. The rule reads neither."""
    directory.mkdir(parents=True, exist_ok=True)
    policies = [{"id": "readers", "content": PERMIT}, {"id": "inactive", "content": FORBID}]
    (directory / "policies.json").write_text(json.dumps(policies))
    readable = [
        {"uid": e["uid"], "attrs": {k: v for k, v in e["attrs"].items() if k != "expiresAt"}, "parents": e["parents"]}
        for e in state
    ]
    (directory / "data.json").write_text(json.dumps(readable))
    return directory / "policies.json", directory / "data.json"


def write_cerbos(directory, http_port, grpc_port):
    (directory / "policies").mkdir(parents=True, exist_ok=True)
    (directory / "policies/device.yaml").write_text(CERBOS)
    config = directory / "cerbos.yaml"
    config.write_text(
        json.dumps({
            "server": {"httpListenAddr": f"127.0.0.1:{http_port}", "grpcListenAddr": f"127.0.0.1:{grpc_port}"},
            "storage": {"driver": "disk", "disk": {"directory": str(directory / "policies"), "watchForChanges": False}},
            "telemetry": {"disabled": True},
        })
    )
    return config


def write_questions(path: Path, where, bodies):
    """As the load generator takes them."""
    text = "".join(json.dumps({"path": where, "body": json.dumps(body, separators=(",", ":"))}) + "\n" for body in bodies)
    path.write_text(text)
    return path
