#!/usr/bin/env python3
"""What one policy among many costs, and one link, until decisions use it.

Builds the release binary, unless --binary names one, and serves --policies policies, then a template with --links links.
Puts policies and links one by one over HTTP, then many links as one transaction. Prints Markdown: times of the client, and
CPU of the process for each.
"""

import argparse
import json
import os
import time

from common import build, count, quantile, table
from live import CHANGES, Client, cpu
from served import Server

SCHEMA = """entity User = { age: Long }; entity Doc;
action read appliesTo { principal: User, resource: Doc };"""
TEMPLATE = '@id("t") permit (principal == ?principal, action, resource) when { principal.age > 3 };'


def policy(user, age):
    return f'permit (principal == User::"u{user}", action == Action::"read", resource) when {{ principal.age > {age} }};'


def link(name, user):
    return {"link_id": name, "template_id": "t", "args": {"?principal": f'User::"u{user}"'}}


def measured(server, requests):
    """Sends them one after the other."""
    client, samples, before = Client(server.admin), [], cpu(server.pid)
    for method, path, body, media in requests:
        start = time.perf_counter()
        client.ask(method, path, body, media)
        samples.append(time.perf_counter() - start)
    return samples, (cpu(server.pid) - before) / len(samples)


def row(name, samples, each):
    ms = lambda seconds: f"{seconds * 1000:.2f} ms"
    return [name, f"{len(samples)}", ms(quantile(samples, 0.5)), ms(quantile(samples, 0.99)), ms(each)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", type=int, default=10_000)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--bulk", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--port", type=int, default=28300)
    parser.add_argument("--binary")
    args = parser.parse_args()
    binary = args.binary or build("http")["palisade"]
    most = 2 * (args.policies + args.links + args.bulk)
    settings = {"decision_log": {"sink": "off"}, "limits": {"max_policies": most}}
    users = "".join(
        json.dumps({"uid": {"type": "User", "id": f"u{n}"}, "attrs": {"age": n % 100}, "parents": []}) + "\n"
        for n in range(args.rounds)
    )
    texts = "".join(f'@id("p{n}") {policy(n, n % 100)}\n' for n in range(args.policies))
    rows = []
    with Server(binary, args.port, settings, {"s.cedarschema": SCHEMA, "p.cedar": texts}, {"e.ndjson": users}) as server:
        server.until_ready(300)
        puts = [
            ("PUT", f"/v1/policies/p{n * 37 % args.policies}", policy(n, 200 + n), "text/plain") for n in range(args.rounds)
        ]
        rows.append(row(f"a policy among {count(args.policies)}", *measured(server, puts)))
    links = [{"template": "t", "id": f"l{n}", "principal": f'User::"u{n}"'} for n in range(args.links)]
    files = {"s.cedarschema": SCHEMA, "p.cedar": TEMPLATE, "l.links.json": json.dumps(links)}
    with Server(binary, args.port, settings, files, {"e.ndjson": users}) as server:
        server.until_ready(300)
        puts = [("PUT", f"/v1/links/new{n}", link(f"new{n}", n), "application/json") for n in range(args.rounds)]
        rows.append(row(f"a link among {count(args.links)}", *measured(server, puts)))
        many = "".join(json.dumps({"put_link": link(f"bulk{n}", n)}) + "\n" for n in range(args.bulk))
        (wall,), each = measured(server, [("POST", CHANGES, many, "application/x-ndjson")])
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(table(["put", "times", "median", "p99", "CPU of the process, each"], rows))
    us = 1e6 / args.bulk
    print(f"\n{count(args.bulk)} links as one transaction: {wall:.2f} s, {each * us:.1f} us of CPU a link")


if __name__ == "__main__":
    main()
