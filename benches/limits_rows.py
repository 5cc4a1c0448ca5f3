"""The rows of `limits.py`: each drives one served sidecar to one bound and returns its answer."""

import json
import resource
import struct
import threading
import time
from collections import namedtuple

from hostile import frame, literal
from served import CONTEXT, Answers, ask, code_of, connect, request

MIB = 1 << 20
#: What is bounded, its key or "fixed", the default, how it is driven there, what must stand in what happens; what the
#: server is given; a test instead of a drive, where the bound is held by a test and not measured here.
Row = namedtuple("Row", "what key default drive want given test", defaults=(None, "", {}, ""))

SCHEMA = "entity User in [User]; entity Doc; action read appliesTo { principal: User, resource: Doc };"
SMALL = {"policies": {"p.cedar": "permit (principal, action, resource);", "s.cedarschema": SCHEMA}, "entities": {}}


def item(user="u-dk-fda-dm", context=CONTEXT):
    return {
        "principal": f'Fleet::User::"{user}"',
        "action": 'Fleet::Action::"ViewDevice"',
        "resource": 'Fleet::Device::"d-dk"',
        "context": context,
    }


def told(answer):
    """Status and code of an answer, for the table."""
    status, _, body = answer
    code = code_of(body)
    return f"{status} `{code}`" if code else str(status)


def post(port, path, body, method="POST", headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return told(ask(port, request(method, path, data, headers), 300))


def decide(body, path="/v1/is_authorized"):
    return lambda server: post(server.decisions, path, body)


def head(headers):
    return lambda server: told(ask(server.decisions, request("GET", "/v1/is_authorized", headers=headers)))


def put(body):
    """A bundle that is made when its row runs, since some are large."""
    return lambda server: post(server.admin, "/v1/bundle", body(), "PUT")


def policies(text):
    return put(lambda: {"schema": SCHEMA, "policies": text()})


def entities(made):
    return put(lambda: {"schema": SCHEMA, "policies": "permit (principal, action, resource);", "entities": made()})


def user(name, parents=()):
    return {"uid": {"type": "User", "id": name}, "attrs": {}, "parents": [{"type": "User", "id": p} for p in parents]}


def ordinary(count):
    """Policies as people write them, 110 bytes each."""
    line = 'permit (principal == User::"user-%d", action == Action::"read", resource == Doc::"doc-%d") unless { false };'
    return "\n".join(line % (n, n) for n in range(count))


def wide_policy(terms):
    """One policy of about four words and signs a term."""
    return "permit (principal, action, resource) when { [%s].contains(1) };" % ", ".join("1" for _ in range(terms))


def costly(policies=2000):
    """Many pairs of types below many policies."""
    names = [f"T{n}" for n in range(250)]
    schema = f"entity {', '.join(names)}; action read appliesTo {{ principal: [{', '.join(names)}], resource: [{', '.join(names)}] }};"
    return {"schema": schema, "policies": "\n".join("permit (principal, action, resource) when { 1 < 2 };" for _ in range(policies))}


def wide_entity(size):
    """An entity of about so many bytes that does not fit the schema, so that Cedar's own reader says why."""
    return {**user("a"), "attrs": {"a": [{} for _ in range((size - 60) // 4)]}}


def routes(text):
    return put(lambda: {"schema": SCHEMA, "policies": "permit (principal, action, resource);", "routes": text()})


def public(count):
    return "routes:\n" + "".join("- {match: GET /a%d, public: true}\n" % n for n in range(count))


def slow_clients(start, count=200):
    """Clients that send `start` and no more: when is the first answered or closed, and how?"""

    def drive(server):
        clients = [connect(server.decisions, 30) for _ in range(count)]
        for client in clients:
            client.sendall(start)
        ends = []
        for client in clients:
            try:
                ends.append((client.recv(4096)[9:12] or b"closed").decode())
            except OSError:
                ends.append("closed")
            client.close()
        return ", ".join(f"{ends.count(end)} x {end}" for end in sorted(set(ends)))

    return drive


def unfinished(port_of, method, path, size, count):
    """Bodies without their last byte until the budget is gone: what does one more get?"""

    def drive(server):
        port, clients = port_of(server), []
        start = request(method, path, b" " * size)[:-1]

        def send(client):
            try:
                client.sendall(start)
            except OSError:
                pass  # refused already

        for _ in range(count):
            clients.append(connect(port, 30))
            send(clients[-1])
        time.sleep(1)
        answer = None
        for client in clients:
            client.settimeout(0.05)
            try:
                answer = answer or told(Answers(client).next())
            except OSError:
                pass
        for client in clients:
            client.close()
        return answer or "all are taken"

    return drive


def connections(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 10_500:
        return "skipped: this machine gives a process too few open files"
    clients = []
    try:
        for _ in range(10_000):
            clients.append(connect(server.decisions, 5))
            # one that asked nothing would be closed before all are there
            clients[-1].sendall(request("GET", "/.well-known/authzen-configuration"))
            Answers(clients[-1]).next()
        with connect(server.decisions, 1) as late:
            late.sendall(request("GET", "/.well-known/authzen-configuration"))
            try:
                late.recv(1)
                return "one more is served"
            except TimeoutError:
                return "one more waits"
    finally:
        for client in clients:
            client.close()


def admin_connections(server):
    clients = []
    for _ in range(64):
        clients.append(connect(server.admin, 5))
        clients[-1].sendall(request("GET", "/livez"))
        time.sleep(0.01)
    closed = 0
    time.sleep(1)
    for client in clients:
        client.settimeout(0.1)
        try:
            while client.recv(4096):
                pass
            closed += 1
        except TimeoutError:
            pass
        except OSError:
            closed += 1
        client.close()
    return f"64 served, {closed} idle ones closed" if closed else "64 served"


def streams(server):
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v1/is_authorized"), (b":authority", b"localhost"))
    block = b"".join(literal(*field) for field in (*fields, (b"content-type", b"application/json")))
    with connect(server.decisions, 2) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        client.sendall(b"".join(frame(1, 4, stream, block) for stream in range(1, 2 * 300, 2)))
        got, seen = b"", {}
        try:
            while piece := client.recv(65536):
                got += piece
        except OSError:
            pass
    while len(got) >= 9:
        size, kind = int.from_bytes(got[:3], "big"), got[3]
        if kind == 3 and struct.unpack(">I", got[9:13])[0] == 7:
            seen["refused"] = seen.get("refused", 0) + 1
        if kind == 7:
            seen["GOAWAY"] = seen.get("GOAWAY", 0) + 1
        got = got[9 + size :]
    return ", ".join(f"{n} x {what}" for what, n in seen.items()) or "nothing is refused"


def untaken_streams(server):
    """Streams on many connections whose clients give no window, so that no answer can be sent."""
    block = b"".join(literal(*field) for field in ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/nothing"), (b":authority", b"localhost")))
    opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 0))
    opening += b"".join(frame(1, 5, stream, block) for stream in range(1, 2 * 256, 2))
    clients = [connect(server.decisions, 5) for _ in range(800)]
    for client in clients:
        client.sendall(opening)
    time.sleep(3)
    refused = next(l for l in ask(server.admin, request("GET", "/metrics"))[2].split(b"\n") if l.startswith(b'palisade_http_streams_refused_total{listener="decisions"}'))
    for client in clients:
        client.close()
    # what they held goes back to the system a second later
    time.sleep(3)
    return f"{int(float(refused.split()[1])):,} of {800 * 256:,} refused"


def later_revision(path, headers=()):
    def drive(server):
        now = [l for l in ask(server.decisions, request("POST", "/v1/is_authorized", json.dumps(item()).encode()))[1].split(b"\r\n") if l.startswith(b"palisade-revision")]
        epoch, _, number = now[0].partition(b": ")[2].decode().rpartition("-")
        wait = ("palisade-at-least", f"{epoch}-{int(number) + 1}")
        body = json.dumps(item()).encode() if path.startswith("/v1") else b""
        return told(ask(server.decisions, request("POST" if body else "GET", path, body, (*headers, wait))))

    return drive


def at_once(count, work):
    """Does `work` in threads, and counts the answers."""
    answers = []

    def one():
        try:
            answers.append(work())
        except OSError as error:
            answers.append(type(error).__name__)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ", ".join(f"{answers.count(answer)} x {answer}" for answer in sorted(set(answers)))


def validations(server):
    body = json.dumps({"schema": SCHEMA, "policies": ordinary(20_000)}).encode()
    return at_once(6, lambda: post(server.admin, "/v1/validate", body))


def exports(server):
    """Readers that take the head of a large bundle and then wait."""
    bundle = {"schema": SCHEMA, "policies": "permit (principal, action, resource);", "entities": [user(f"user-{n}") for n in range(200_000)]}
    put_told = post(server.admin, "/v1/bundle", bundle, "PUT")
    clients, seen = [], []
    for _ in range(4):
        client = connect(server.admin, 5)
        client.sendall(request("GET", "/v1/bundle"))
        seen.append(client.recv(64)[9:12].decode())
        clients.append(client)
    for client in clients:
        client.close()
    return f"PUT {put_told}; then " + ", ".join(f"{seen.count(s)} x {s}" for s in sorted(set(seen)))


def pipelined(server, bodies, group=8):
    """Sends many requests over one connection and counts the statuses."""
    seen, pending = {}, 0
    with connect(server.decisions, 30) as client:
        answers = Answers(client)

        def take():
            answer = told(answers.next())
            seen[answer] = seen.get(answer, 0) + 1

        for body in bodies:
            client.sendall(request("POST", "/v1/is_authorized", json.dumps(body).encode()))
            pending += 1
            if pending == group:
                for _ in range(pending):
                    take()
                pending = 0
        for _ in range(pending):
            take()
    return ", ".join(f"{n:,} x {status}" for status, n in sorted(seen.items()))


def cache_keys(size, count):
    """Questions that differ in an id of `size` bytes."""
    return lambda server: pipelined(server, (item(user=f"{n:08}" + "k" * size) for n in range(count)))


def full_cache(bound, sizes=(0, 300, 1000, 3000, 7000)):
    """Fills the cache twice with keys of each size. By how much has the process grown?"""

    def drive(server):
        pipelined(server, (item(user=f"{n}") for n in range(100)))
        before = server.memory()[0]
        for size in sizes:
            # what an entry takes at least, so that there are enough of them
            pipelined(server, (item(user=f"{size}-{n:08}" + "k" * size) for n in range(2 * bound // (900 + size))))
        time.sleep(1)
        grown = (server.memory()[0] - before) << 10
        held = "held" if grown <= 1.5 * bound else "**not held**"
        return f"{held}: grew by {grown / MIB:.0f} MiB, {grown / bound:.2f} x the bound"

    return drive


def cache_of(bound):
    return {"settings": {"cache": {"max_bytes": bound}}}


def fleet(count):
    """Lines of entities as the project's schema has them: tenants of customers, locations, users and devices."""

    def uid(kind, name):
        return '{"type":"Fleet::%s","id":"%s"}' % (kind, name)

    def line(kind, name, attrs, *parents):
        return '{"uid":%s,"attrs":{%s},"parents":[%s]}\n' % (uid(kind, name), attrs, ",".join(parents))

    yield line("Platform", "autopi", "")
    yield line("PermissionGroup", "full_device_access", "")
    for t in range(count // 2001):
        tenant = uid("Tenant", f"t{t}")
        yield line("Tenant", f"t{t}", '"closed":false,"addons":[]', uid("Platform", "autopi"))
        for c in range(20):
            customer, above = f"c{t}-{c}", tenant if c == 0 else uid("Customer", f"c{t}-{(c - 1) // 3}")
            attrs = '"tenant":{"__entity":%s},"closed":false,"mfaRequired":false,"top":%s' % (tenant, "true" if c == 0 else "false")
            attrs += "" if c == 0 else ',"parent":{"__entity":%s}' % above
            owned = '"tenant":{"__entity":%s},"customer":{"__entity":%s}' % (tenant, uid("Customer", customer))
            yield line("Customer", customer, attrs, above)
            place = uid("Location", f"l{t}-{c}")
            yield line("Location", f"l{t}-{c}", owned, uid("Customer", customer))
            of_user = owned + ',"active":true,"locations":[{"__entity":%s}],"locationRestricted":true,"managed":[]' % place
            for x in range(49):
                group = uid("PermissionGroup", "full_device_access")
                yield line("User", f"user-{t}-{c}-{x}", of_user, uid("Customer", customer), group)
                yield line("Device", f"device-{t}-{c}-{x}", owned + ',"claimed":true', uid("Customer", customer), place)


def reloads(count, times):
    """Loads many entities from files, then again and again. What does the process hold, and what at the peak?"""

    def revision(server):
        return json.loads(ask(server.admin, request("GET", "/v1/status"))[2]).get("revision")

    def changed(server, write):
        before, end = revision(server), time.monotonic() + 300
        write()
        while revision(server) == before:
            if time.monotonic() > end:
                raise OSError("nothing was loaded")
            time.sleep(0.1)
        time.sleep(1)
        return server.memory()

    def drive(server):
        folder = server.dir / "entities"

        def first():
            (server.dir / "world").write_text("".join(fleet(count)))
            (server.dir / "world").rename(folder / "world.ndjson")

        start, _ = changed(server, first)
        after = peak = 0
        for n in range(times):
            with open(f"/proc/{server.pid}/clear_refs", "w") as peaks:
                peaks.write("5")
            line = '{"uid":{"type":"Fleet::Tenant","id":"new-%d"},"attrs":{"closed":false,"addons":[]},"parents":[]}' % n
            now, most = changed(server, lambda: (folder / "new.ndjson").write_text(line))
            after, peak = max(after, now), max(peak, most)
        held = "held" if max(start, after) <= 250 << 10 and peak <= 2.2 * start else "**not held**"
        return f"{held}: {start >> 10} MiB, after a reload {after >> 10}, peak {peak >> 10} ({peak / start:.1f} x)"

    return drive


def stalled_log(asked):
    """A pipe that is open and never read: the log's queue fills, then `overflow` decides."""
    return lambda server: pipelined(server, (item(user="u" * 100_000 + str(n)) for n in range(asked)))


def log_to_pipe(overflow):
    return {"settings": {"decision_log": {"sink": "./pipe", "overflow": overflow}}, "pipe": "pipe"}


def decisions(server):
    return server.decisions


def admin(server):
    return server.admin


def admin_body(server):
    """Blanks before a small bundle, so that only the bytes cost."""
    bundle = json.dumps({"schema": SCHEMA, "policies": "permit (principal, action, resource);"}).encode()
    return post(server.admin, "/v1/bundle", b" " * (255 * MIB) + bundle, "PUT")



def nested(depth):
    return "permit (principal, action, resource) when { %strue%s };" % ("(" * depth, ")" * depth)


FORWARD = (("x-forwarded-method", "GET"), ("x-forwarded-uri", "/dongle/devices/d-dk/"), ("x-forwarded-host", "api.autopi.io"))
START = b"POST /v1/is_authorized HTTP/1.1\r\nhost: localhost\r\n"
#: A context that takes the most memory for its bytes: arrays within arrays.
WORST = "[" + ",".join(["[" * 100 + "0" + "]" * 100] * 49) + "]"


def worst_body(size):
    """A question of about so many bytes whose context is as costly as can be."""
    return json.dumps(item(context={"x": "@"})).replace('"@"', "[" + ",".join([WORST] * (size // len(WORST))) + "]")


def together(count, path, body):
    """The same body so many times at once."""

    def drive(server):
        return at_once(count, lambda: post(server.decisions, path, body().encode()))

    return drive


LONG_IDS = {"requests": [item(user="n" * 640 + str(n)) for n in range(1000)]}

ROWS = [
    Row("request head", "`http.max_header_bytes`", "16 KiB", head([("x-a", "y" * 17_000)]), "431"),
    Row("fields of a head", "fixed", "100", head([(f"x-{n}", "y") for n in range(101)]), "431"),
    Row("request body, decisions", "`http.max_body_bytes`", "1 MiB", decide(b" " * (MIB + 1)), "413"),
    Row("request body, admin: one of 255 MiB", "`admin.max_body_bytes`", "256 MiB", admin_body, "200", SMALL),
    Row("time for a head, 200 clients", "`http.header_timeout`", "10 s", slow_clients(START), ""),
    Row("time for a body, 200 clients", "`http.body_timeout`", "10 s", slow_clients(START + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{"), "408"),
    Row("bodies in flight, decisions", "`http.max_inflight_bytes`", "64 MiB", unfinished(decisions, "POST", "/v1/is_authorized", MIB - 1, 80), "503"),
    Row("bodies in flight, admin", "`admin.max_inflight_bytes`", "256 MiB", unfinished(admin, "PUT", "/v1/bundle", 100 * MIB, 3), "503"),
    Row("answer to a batch", "`http.max_answer_bytes`", "4 MiB", decide(LONG_IDS, "/v1/is_authorized/batch"), "400"),
    Row("items of a batch: one more", "`http.max_batch`", "1,000", decide({"requests": [item()] * 1001}, "/v1/is_authorized/batch"), "400"),
    Row("items of a batch: all of them", "`http.max_batch`", "1,000", decide({"requests": [item()] * 1000}, "/v1/is_authorized/batch"), "200"),
    Row("batches of 1 MiB: 60 at once", "fixed", "an item at a time", together(60, "/v1/is_authorized/batch", lambda: '{"requests":[%s]}' % ",".join([worst_body(10_000)] * 100)), "200"),
    Row("bodies of 1 MiB: 60 at once", "fixed", "4 MiB are values at a time", together(60, "/v1/is_authorized", lambda: worst_body(MIB - 12_000)), "503"),
    Row("connections of a listener", "`http.max_connections`", "10,000", connections, "is served"),
    Row("connections of the admin listener", "fixed", "32", admin_connections, "64 served"),
    Row("streams of an HTTP/2 connection", "fixed", "256", streams, "refused"),
    Row("streams of 800 HTTP/2 connections, answers not taken", "`http.max_inflight_bytes`", "64 MiB", untaken_streams, "refused"),
    Row("wait for a revision", "`http.deadline`", "1 s", later_revision("/v1/is_authorized"), "503"),
    Row("answer to a gateway", "`gateway.deadline`", "100 ms", later_revision("/gateway/forward", (*FORWARD, ("authorization", "APIToken secret"))), "503"),
    Row("credential", "`identity.max_token_bytes`", "8 KiB", lambda server: told(ask(server.decisions, request("GET", "/gateway/forward", headers=(*FORWARD, ("authorization", "Bearer " + "t" * 8193))))), "401"),
    Row("nesting of JSON", "fixed", "128", decide(b'{"context": ' + b"[" * 129 + b"]" * 129 + b"}"), "400"),
    Row("bundles validated at a time: 6", "fixed", "2", validations, "503"),
    Row("bundles written at a time: 4", "fixed", "2", exports, "503"),
    Row("text of all policies", "`limits.max_policies_bytes`", "32 MiB", policies(lambda: "// " + "c" * (32 * MIB) + "\n" + nested(0)), "422", SMALL),
    Row("one policy: too large", "`limits.max_policy_tokens`", "100,000", policies(lambda: wide_policy(60_000)), "422", SMALL),
    Row("one policy: just not", "`limits.max_policy_tokens`", "100,000", policies(lambda: wide_policy(49_900)), "", SMALL),
    Row("policies: one more", "`limits.max_policies`", "200,000", policies(lambda: ordinary(200_001)), "422", SMALL),
    Row("policies: 100,000 ordinary ones", "`limits.max_policies`", "200,000", policies(lambda: ordinary(100_000)), "200", SMALL),
    Row("policies: all of them", "`limits.max_policies`", "200,000", policies(lambda: ordinary(200_000)), "200", SMALL),
    Row("work of validation", "`limits.max_validation_steps`", "8,000,000", put(costly), "422", SMALL),
    Row("brackets in a policy", "`limits.max_nesting`", "400", policies(lambda: nested(401)), "422", SMALL),
    Row("depth of an expression", "`limits.max_expression_depth`", "5,000", policies(lambda: nested(0).replace("true", " && ".join(["true"] * 5_100))), "422", SMALL),
    Row("parents of an entity", "`limits.max_parents`", "1,000", entities(lambda: [user("a", [f"p{n}" for n in range(1001)])]), "422", SMALL),
    Row("levels of parents", "`limits.max_depth`", "64", entities(lambda: [user(f"u{n}", [f"u{n + 1}"]) for n in range(66)]), "422", SMALL),
    Row("entities: 500,000 (no bound but the body's)", "`admin.max_body_bytes`", "256 MiB", entities(lambda: [user(f"user-{n}", ["root"]) for n in range(500_000)]), "200", SMALL),
    Row("work of validation: just not", "`limits.max_validation_steps`", "8,000,000", put(lambda: costly(9)), "200", SMALL),
    Row("one entity: too large", "`limits.max_entity_bytes`", "1 MiB", entities(lambda: [wide_entity(MIB)]), "422", SMALL),
    Row("one entity: just not, and none that fits", "`limits.max_entity_bytes`", "1 MiB", entities(lambda: [wide_entity(MIB - 200)]), "422", SMALL),
    Row("text of all routes", "fixed", "32 MiB", routes(lambda: "# " + "c" * (32 * MIB)), "422", SMALL),
    Row("routes: one more", "fixed", "50,000", routes(lambda: public(50_001)), "422", SMALL),
    Row("routes: all of them", "fixed", "50,000", routes(lambda: public(50_000)), "200", SMALL),
    Row("values in a file of routes: all of them", "fixed", "2,000,000", routes(lambda: "x: [%s]" % ",".join(["1"] * 1_999_990)), "422", SMALL),
    Row("text of a schema", "fixed", "100,000 words and signs", put(lambda: {"schema": SCHEMA + "".join(f"entity E{n};" for n in range(34_000)), "policies": nested(0)}), "422", SMALL),
    Row("decision cache: 60,000 keys of 7 KiB", "`cache.max_bytes`", "64 MiB", cache_keys(7_000, 60_000), "60,000 x 200"),
    Row("decision cache: 1,500 keys of 900 KiB", "`cache.max_bytes`", "64 MiB", cache_keys(900_000, 1_500), "1,500 x 200"),
    Row("decision cache: keys of all sizes", "`cache.max_bytes`", "64 MiB", full_cache(64 * MIB), "held:"),
    Row("decision cache: keys of all sizes, 16 MiB", "`cache.max_bytes`", "64 MiB", full_cache(16 * MIB), "held:", cache_of(16 * MIB)),
    Row("entities in files: 1,000,000, three reloads", "no bound", "-", reloads(1_000_000, 3), "held:", {"entities": {}}),
    Row("decision log, sink stalled, `drop`", "`decision_log.queue_bytes`", "16 MiB", stalled_log(600), "600 x 200", log_to_pipe("drop")),
    Row("decision log, sink stalled, `block`", "`decision_log.queue_bytes`", "16 MiB", stalled_log(180), "503", log_to_pipe("block")),
    Row("decision log, sink stalled, `deny`", "`decision_log.queue_bytes`", "16 MiB", stalled_log(600), "503", log_to_pipe("deny")),
    Row("idle connections", "`http.idle_timeout`", "2 min", test="`pressure`: closed, GOAWAY on HTTP/2"),
    Row("answer that is not taken", "`http.body_timeout`", "10 s", test="`http_connections`, `pressure`: closed; a stream is reset"),
    Row("open files", "the system's", "64 kept for admin and ops", test="`faults`: decisions' connections wait"),
    Row("changes that wait for the writer", "fixed", "256 MiB", test="`state`: 503 `too_busy`"),
    Row("changes of a transaction, entities that it touches", "`limits.max_changes`", "1,000,000", test="`palisade_engine::tests::changes`: 422 `invalid_change`"),
    Row("entities that a transaction writes again", "fixed", "16 MiB", test="`palisade_engine::tests::changes`: 422 `invalid_change`"),
    Row("memory of changes that come as lines", "4 x `admin.max_body_bytes`", "1 GiB", test="`changes::lines`: 413 `body_too_large`"),
    Row("bodies read into bundles at a time", "fixed", "2", test="`bundle`: others wait"),
    Row("time of a batch", "fixed", "5 s", test="`decide`: an error for each item that is left"),
    Row("evaluations by the reference", "fixed", "256 and 32 MiB waiting, 1 s", test="`decide::pool`: 503 `overloaded`"),
    Row("hierarchy that a request brings, that a decision climbs", "fixed", "200,000 steps; 2,000,000 edges", test="`engine`: 400"),
    Row("what a schema expands to", "fixed", "200,000 members, 100,000 pairs", test="`palisade_engine::tests::depth`: refused"),
    Row("trees of policies kept for the reference", "fixed", "100,000 words and signs", test="`differential`: parsed for each request"),
    Row("files of tokens, of keys", "fixed", "64 KiB (admin), 256 MiB (API), 1 MiB (keys)", test="`identity`: the last good stay"),
    Row("verified tokens", "`identity.cache.max_bytes`", "16 MiB", test="`identity`: the oldest go"),
    Row("the decision log's records", "`decision_log.queue`", "8,192", test="`log_overflow`: as for its bytes"),
    Row("the sidecar's own log", "fixed", "1 MiB", test="`pipes`: dropped and counted"),
    Row("empty policies, empty entities", "`load.allow_empty_policies`, `load.allow_empty_entities`", "false", test="`files`: refused, what served stays"),
]

