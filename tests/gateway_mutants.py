"""Runs the tests of a few files of `crates/palisade-routes` in a package of their own, once for each rule that is taken out."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def chosen(mutants):
    """Those whose name contains one of the words on the command line, or all."""
    words = sys.argv[1:]
    return [mutant for mutant in mutants if not words or any(word in mutant[0] for word in words)]


def package(scratch, name, lib, crates):
    """The manifest and the root of the package, with the versions that the tree has. `crates` are names and what their
    tables hold besides."""
    versions = dict(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', (ROOT / "Cargo.lock").read_text()))
    dependencies = "".join(f'{crate} = {{ version = "={versions[crate]}"{more} }}\n' for crate, more in crates)
    (scratch / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n{dependencies}')
    (scratch / "src").mkdir(parents=True)
    (scratch / "src/lib.rs").write_text(lib)


def failing(scratch, target):
    """Runs the tests. Returns which fail."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(target), RUST_BACKTRACE="0", PROPTEST_CASES="300")
    built = subprocess.run(["cargo", "test", "--no-run"], cwd=scratch, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        print(built.stderr, file=sys.stderr)
        sys.exit("it does not compile")
    ran = subprocess.run(["cargo", "test", "--lib"], cwd=scratch, env=env, capture_output=True, text=True)
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", ran.stdout, flags=re.M)
    return sorted(failed) or ([] if ran.returncode == 0 else ["the tests died"])


def try_all(mutants, texts, make):
    """Takes out each rule in turn and says what caught it. `mutants` are name, file, what is there, what to put there;
    `texts` the files by name; `make` writes the package into a directory. Returns how many were missed."""
    target = pathlib.Path(os.environ.get("MUTANTS_TARGET_DIR", ROOT / "target/mutants")).resolve()
    missed = 0
    with tempfile.TemporaryDirectory(prefix="palisade-mutants-") as directory:
        scratch = pathlib.Path(directory)
        make(scratch)
        for name, text in texts.items():
            (scratch / f"src/{name}.rs").write_text(text)
        if failed := failing(scratch, target):
            sys.exit(f"the tests fail with every rule in place: {failed}")
        print("| rule taken out | caught by |\n|---|---|", flush=True)
        for name, file, old, new in mutants:
            place = scratch / f"src/{file}.rs"
            place.write_text(texts[file].replace(old, new))
            failed = failing(scratch, target)
            place.write_text(texts[file])
            missed += not failed
            print(f"| {name} | {', '.join(failed) or 'nothing: missed'} |", flush=True)
    print(f"\n{len(mutants) - missed} of {len(mutants)} caught")
    return missed
