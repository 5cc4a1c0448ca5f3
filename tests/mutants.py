#!/usr/bin/env python3
"""Seeds faults into the engine, one at a time, and shows that the differential suite catches each.

    tests/mutants.py                  all of them
    tests/mutants.py overflow index   those whose name contains one of the words

Works on a scratch copy of `crates/palisade-engine` and the suite, so the tree is never touched; the copy builds in
`target/mutants` (or MUTANTS_TARGET_DIR). A fault is caught if the suite fails or does not end. Exits with 1 if
one is missed, and with 2 before anything is built if a place to put one is no longer there just once: then look
for it again, do not drop it.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 600

# name, file under crates/palisade-engine/src, what is there, what to put in its place
MUTANTS = [
    ("off-by-one in the index: the nearest ancestor is not looked up", "compiled/index.rs",
     "env.above_principal().ids().iter().for_each(", "env.above_principal().ids().iter().skip(1).for_each("),
    ("swapped operator: <= as <", "compiled/eval.rs",
     "if *op == Op::Less { ordering.is_lt() } else { ordering.is_le() }", "ordering.is_lt()"),
    ("lost tag: the last one is not found", "store/record.rs",
     "let (mut low, mut high) = (0, self.tag_count());", "let (mut low, mut high) = (0, self.tag_count().saturating_sub(1));"),
    ("ignored parent: only the first counts", "store/record.rs",
     "bytes.chunks_exact(4).map(|b|", "bytes.chunks_exact(4).take(1).map(|b|"),
    ("wrong overflow: products wrap", "compiled/eval.rs", "_ => a.checked_mul(b),", "_ => Some(a.wrapping_mul(b)),"),
    ("`in` a set looks at its first element only", "compiled/env.rs",
     "self.climb(id, |_| true, |parent| targets.contains(Val::Entity(parent)), &mut SmallVec::new())",
     "self.climb(id, |_| true, |parent| matches!(targets.get(0), Val::Entity(first) if first == parent), &mut SmallVec::new())"),
    ("`has` on an absent entity fails", "compiled/eval.rs",
     "Val::Bool(env.read(id).is_some_and(|entity| entity.attributes().find(name).is_some()))",
     "Val::Bool(env.read(id).ok_or(Failed)?.attributes().find(name).is_some())"),
    ("missed forbid error: strict semantics let it pass", "compiled/decide.rs",
     "let forbid = failed.into_iter().find(|entry| entry.forbids);", "let forbid = failed.into_iter().find(|entry| !entry.forbids && entry.forbids);"),
    ("`like` takes an escaped * for a wildcard", "compiled/compile.rs",
     "(PatternElem::Char(c), Some(piece)) => piece.push(*c),", "(PatternElem::Char(c), Some(piece)) if *c != '*' => piece.push(*c),"),
    ("stale page after a change", "store/draft.rs", "Some(place) => *place = page,", "Some(place) => drop((place, page)),"),
    ("a set with duplicates: equal elements stay", "value.rs",
     "if last.is_none_or(|last| !equal(unpack(&self.out, last), unpack(&self.out, *cell))) {", "if last.is_none_or(|last| last != *cell) {"),
    ("a group of actions is filed but not looked up", "compiled/index.rs",
     "for key in std::iter::once(&env.action).chain(env.above_action().ids()) {", "for key in std::iter::once(&env.action) {"),
    ("a declared action's plan forgets its groups", "compiled/index.rs",
     "std::iter::once(&action).chain(above).filter_map(", "std::iter::once(&action).filter_map("),
    ("what a condition needs is taken for missing", "compiled/decide.rs",
     "if entry.needs.is_some_and(|name| env.context.find(name).is_none()) {", "if entry.needs.is_some() {"),
    ("the clock was read, and the note of it is lost", "compiled/env.rs",
     "if self.filled_now == Some(name) {", "if self.filled_now == Some(name) && name == u32::MAX {"),
    ("unknown entities of the context pass in strict semantics", "compiled/decide.rs",
     "decoded.named.iter().copied().find(|id| unknown(*id))?", "decoded.named.iter().copied().skip(1).find(|id| unknown(*id))?"),
    ("replaced entities shine through `entities`", "compiled/env.rs",
     "store.entity(id).filter(|entity| !layer.replaces || entity.is_schema_action())", "store.entity(id)"),
    # what a caller can choose: resent entities, members that Cedar ignores, a state that is read back
    ("an address is written in the short form, which Cedar does not read", "ext.rs",
     'format!("{}/{}", groups.join(":"), self.prefix)', 'format!("{address}/{}", self.prefix)'),
    ("a slice is cut without one of its entities", "compiled/slice.rs",
     "if seen.insert(id)\n", "if seen.insert(id) && seen.len() != 2\n"),
    ("a slice loses the first tag of an entity", "cedar.rs",
     "for i in 0..entity.tag_count() {", "for i in 1..entity.tag_count() {"),
    ("an entity may be sent again with other content", "compiled/request.rs",
     "Some(known) if known.has_content_of(Entity::new(&packer.out)) => {}", "Some(known) if known.is_present() => {}"),
    ("the reference compares all ancestors of an entity that is sent again", "reference.rs",
     "let parents = |entity: &ast::Entity| entity.parents().cloned()", "let parents = |entity: &ast::Entity| entity.ancestors().cloned()"),
    ("unknown members of an entity are ignored by both", "strict.rs",
     "if !ENTITY.contains(&&**key) {", "if !ENTITY.contains(&&**key) && key == \"uid\" {"),
    ("unknown members of an entity are ignored by the compiled reader", "decode.rs",
     '"tags" => tags = Some(member),\n                _ => return Err(Unsure),', '"tags" => tags = Some(member),\n                _ => {}'),
    ("a duration is written in seconds", "export.rs",
     'Val::Duration(n) => call("duration", format!("{n}ms")),', 'Val::Duration(n) => call("duration", format!("{}s", n / 1000)),'),
    ("a link is read back by the name that it was given for its template", "policies/link.rs",
     "self.links.push(Link { template_id: template_id.to_string(), ..link.clone() });", "self.links.push(link.clone());"),
    ("where the reference is not at hand, failed policies are forgotten", "compiled/decide.rs",
     "if !may_refer && outcomes.failed.iter().any(", "if !may_refer && { outcomes.failed.clear(); true } && outcomes.failed.iter().any("),
    ("a missing entity is reported by the name of another", "compiled/decide.rs",
     "uid_of(*id, decoded, env)", "uid_of(env.principal, decoded, env)"),
    ("the reference lists errors backwards", "reference.rs",
     "errors.sort_unstable_by(|a, b| a.policy_id.cmp(&b.policy_id));", "errors.sort_unstable_by(|a, b| b.policy_id.cmp(&a.policy_id));"),
    ("a decision may climb nothing", "compiled/env.rs", "self.edges_left.get() == 0", "self.edges_left.get() < MAX_EDGES"),
]


def check_places():
    """Every place must be there, just once."""
    lost = []
    for name, path, old, _ in MUTANTS:
        count = (ROOT / "crates/palisade-engine/src" / path).read_text().count(old)
        if count != 1:
            lost.append(f"{name}: crates/palisade-engine/src/{path} has {count} times\n    {old}")
    if lost:
        print("no place for these faults any more; find it again:\n" + "\n".join(lost), file=sys.stderr)
        sys.exit(2)


def copy(scratch):
    """A package of the engine and the suite alone, which builds in a fraction of the time.

    The files are as new as the copy: cargo would take what an earlier copy built for this one's.
    """
    engine = scratch / "crates/palisade-engine"
    shutil.copytree(ROOT / "crates/palisade-engine", engine, copy_function=shutil.copy)
    shutil.copytree(ROOT / "tests/it/differential", engine / "tests/it/differential", copy_function=shutil.copy)
    (engine / "tests/it/main.rs").write_text("mod differential;\n")
    shutil.copy(ROOT / "Cargo.lock", scratch)
    manifest = (ROOT / "Cargo.toml").read_text()
    # what the workspace says to all its packages, and no package of its own
    sections = re.split(r"^(?=\[)", manifest, flags=re.M)
    shared = [section for section in sections if section.startswith(("[workspace.", "[profile."))]
    (scratch / "Cargo.toml").write_text('[workspace]\nmembers = ["crates/*"]\nresolver = "3"\n\n' + "".join(shared))


def suite(scratch, target):
    """Runs the suite. Returns what came of it and how long it took."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(target), RUST_BACKTRACE="0")
    for name in list(env):
        if name.startswith("PALISADE_"):
            del env[name]
    # without `--locked`: cargo takes the packages that are not here out of the copy of the lock
    cargo = ["cargo", "test", "--test", "it"]
    built = subprocess.run([*cargo, "--no-run"], cwd=scratch, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        print(built.stderr, file=sys.stderr)
        sys.exit("a fault does not compile")
    start = time.monotonic()
    run = subprocess.Popen([*cargo, "--", "differential"], cwd=scratch, env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        out, _ = run.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, 9)
        run.communicate()
        return "caught: does not end", time.monotonic() - start
    if run.returncode == 0:
        return "missed", time.monotonic() - start
    failed = sorted(set(re.findall(r"^test differential::(\S+) \.\.\. FAILED", out, flags=re.M)))
    if not failed:
        print(out[-3000:], file=sys.stderr)
        if "signal: 9" in out:
            sys.exit("the suite was killed from outside, which proves nothing: run this one again")
    return "caught: " + (", ".join(failed) or "the suite died"), time.monotonic() - start


def main():
    check_places()
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant[0] for word in words)]
    target = pathlib.Path(os.environ.get("MUTANTS_TARGET_DIR", ROOT / "target/mutants")).resolve()
    missed = 0
    with tempfile.TemporaryDirectory(prefix="palisade-mutants-") as directory:
        scratch = pathlib.Path(directory)
        copy(scratch)
        verdict, seconds = suite(scratch, target)
        if verdict != "missed":
            sys.exit(f"the suite fails without any fault: {verdict}")
        print("| fault | verdict | seconds |\n|---|---|---:|", flush=True)
        print(f"| none | passes | {seconds:.0f} |", flush=True)
        for name, path, old, new in chosen:
            place = scratch / "crates/palisade-engine/src" / path
            text = place.read_text()
            place.write_text(text.replace(old, new))
            verdict, seconds = suite(scratch, target)
            place.write_text(text)
            missed += verdict == "missed"
            print(f"| {name} | {verdict} | {seconds:.0f} |", flush=True)
    print(f"\n{len(chosen) - missed} of {len(chosen)} caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
