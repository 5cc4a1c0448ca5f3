//! What starts another run, and what is said of it.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

const SCHEMA: &str =
    "entity User; entity Doc; action view appliesTo { principal: [User], resource: [Doc], context: {} };";
const POLICY: &str = "@id(\"ok\") permit(principal == User::\"a\", action, resource);\n";
const ENTITIES: &str = r#"[{"uid":{"type":"User","id":"a"},"attrs":{},"parents":[]},{"uid":{"type":"Doc","id":"d"},"attrs":{},"parents":[]}]"#;
const TEST: &str = "tests:\n  - {name: one, principal: User::a, action: view, resource: Doc::d, expect: allow}\n";

/// Bytes that can be read while they are written.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // whole or not at all, as an editor does it
    let new = root.join("new.tmp");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn every_change_is_named_and_starts_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let config = root.join("palisade.yaml");
    write(root, "b/policies/p.cedar", POLICY);
    write(root, "b/policies/s.cedarschema", SCHEMA);
    write(root, "b/entities/e.json", ENTITIES);
    write(root, "b/policies/tests/t.yaml", TEST);
    write(root, "palisade.yaml", "reload: {quiet: 20ms}\nload: {vanish_quiet: 40ms}\n");
    let two = TEST.replace("one", "two");
    let failing = TEST.replace("allow", "deny");
    // what is done after each run, what the next one says changed, and what comes of it
    type Edit<'e> = Box<dyn Fn() + 'e>;
    let steps: Vec<(Edit<'_>, &str, &str)> = vec![
        (Box::new(|| write(root, "b/policies/tests/t.yaml", &failing)), "tests/t.yaml\n", "0 passed, 1 failed\n"),
        (Box::new(|| write(root, "b/policies/tests/t.yaml", TEST)), "tests/t.yaml\n", "1 passed, 0 failed\n"),
        (Box::new(|| write(root, "b/policies/tests/u.yaml", &two)), "tests/u.yaml (new)\n", "2 passed, 0 failed\n"),
        (
            Box::new(|| fs::remove_file(root.join("b/policies/tests/u.yaml")).unwrap()),
            "tests/u.yaml (deleted)\n",
            "1 passed, 0 failed\n",
        ),
        // what a link leads to, wherever it is
        (
            Box::new(|| {
                write(root, "elsewhere/v.yaml", &two);
                std::os::unix::fs::symlink(root.join("elsewhere/v.yaml"), root.join("b/policies/tests/v.yaml"))
                    .unwrap();
            }),
            "tests/v.yaml (new)\n",
            "2 passed, 0 failed\n",
        ),
        (
            Box::new(|| write(root, "elsewhere/v.yaml", &two.replace("allow", "deny"))),
            "tests/v.yaml\n",
            "1 passed, 1 failed\n",
        ),
        (
            Box::new(|| fs::remove_file(root.join("b/policies/tests/v.yaml")).unwrap()),
            "tests/v.yaml (deleted)\n",
            "1 passed, 0 failed\n",
        ),
        (Box::new(|| write(root, "b/policies/p.cedar", "permit(")), "policies/p.cedar\n", ""),
        (Box::new(|| write(root, "b/policies/p.cedar", POLICY)), "policies/p.cedar\n", "1 passed, 0 failed\n"),
        (
            Box::new(|| {
                write(root, "b/policies/p.cedar", &POLICY.replace("\"a\"", "\"b\""));
                write(root, "b/entities/e.json", &ENTITIES.replace("\"a\"", "\"b\""));
            }),
            "entities/e.json",
            "",
        ),
        (
            // the same again says nothing; what follows does
            Box::new(|| {
                write(root, "b/policies/p.cedar", POLICY);
                write(root, "b/entities/e.json", ENTITIES);
            }),
            "entities/e.json",
            "1 passed, 0 failed\n",
        ),
        (
            Box::new(|| {
                write(root, "palisade.yaml", "decision: {semantics: cedar}\nreload: {quiet: 20ms}\n");
            }),
            "palisade.yaml\n",
            "1 passed, 0 failed\n",
        ),
    ];
    let (out, err) = (Shared::default(), Shared::default());
    let report = root.join("b/policies/tests/report.txt");
    let report = format!("json={}", report.display());
    let bundle = root.join("b");
    let words = ["palisade", "test", "-q", "--watch", "--report", &report, "-p"];
    let words = words.iter().map(AsRef::as_ref).chain([bundle.as_os_str(), "--config".as_ref(), config.as_os_str()]);
    let Command::Test(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
    let (mut out_to, mut err_to) = (out.clone(), err.clone());
    let mut terminal =
        Terminal { stdin: &mut io::empty(), out: &mut out_to, err: &mut err_to, color: false, color_err: false };
    let (mut at, mut said) = (0, String::new());
    let exit = run(&args, &mut terminal, &mut |runs| {
        assert!(runs < 100, "{said}");
        let (shown, told) = (out.take(), err.take());
        said.push_str(&format!("-- run {runs}\n{told}{shown}"));
        if runs == 1 {
            assert_eq!(
                (shown.as_str(), told.as_str()),
                ("1 passed, 0 failed\n", "watching for changes; Ctrl-C ends this\n")
            );
        } else {
            let (_, changed, result) = &steps[at];
            // two files may be seen one after the other
            if !(told.contains(changed) && shown.ends_with(result)) {
                return true;
            }
            assert!(told.starts_with("\nchanged: "), "{told}");
            at += 1;
        }
        let Some((edit, ..)) = steps.get(at) else { return false };
        edit();
        true
    })
    .unwrap();
    assert_eq!((exit, at), (Exit::Success, steps.len()), "{said}");
    assert!(!said.contains("report.txt"), "{said}");
}

#[test]
fn what_differs_is_said_in_one_line() {
    let seen = |bundle: &[(&str, u8)], others: &[(&str, u8)], problems: &[&str]| {
        let files = |of: &[(&str, u8)]| of.iter().map(|(name, n)| ((*name).to_owned(), [*n; 32])).collect();
        let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        Seen { bundle: files(bundle), others: files(others), problems }
    };
    let many: Vec<(String, u8)> = (0..12).map(|n| (format!("f{n:02}"), 1)).collect();
    let many: Vec<(&str, u8)> = many.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    for (before, now, expected) in [
        (
            seen(&[("a", 1), ("b", 1)], &[("t", 1)], &[]),
            seen(&[("a", 2), ("c", 1)], &[("t", 1)], &[]),
            "a, b (deleted), c (new)",
        ),
        (seen(&[("a", 1)], &[("t", 1)], &[]), seen(&[("a", 1)], &[("t", 2)], &["x"]), "t, the bundle cannot be read"),
        (seen(&[("a", 1)], &[], &["x"]), seen(&[("a", 1)], &[], &[]), "the bundle can be read again"),
        (
            seen(&[], &[], &[]),
            seen(&many, &[], &[]),
            "f00 (new), f01 (new), f02 (new), f03 (new), f04 (new), f05 (new), f06 (new), f07 (new), and 4 more",
        ),
    ] {
        assert_eq!(changes(&before, &now), expected);
    }
}

#[test]
fn a_change_during_a_run_starts_the_next_one() {
    const LAST: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "policies/p.cedar", POLICY);
    write(root, "policies/s.cedarschema", SCHEMA);
    write(root, "entities/e.json", ENTITIES);
    write(root, "policies/tests/t.yaml", TEST);
    write(root, "c.yaml", "reload: {quiet: 1ms}\n");
    let config = root.join("c.yaml");
    let words = ["palisade", "test", "--watch", "--format", "json", "-p"];
    let words = words.iter().map(AsRef::as_ref).chain([root.as_os_str(), "--config".as_ref(), config.as_os_str()]);
    let Command::Test(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
    let (out, mut err_to) = (Shared::default(), Shared::default());
    let mut out_to = out.clone();
    let mut terminal =
        Terminal { stdin: &mut io::empty(), out: &mut out_to, err: &mut err_to, color: false, color_err: false };
    std::thread::scope(|scope| {
        run(&args, &mut terminal, &mut |runs| {
            if runs == 1 {
                // at whatever moments of the runs that follow
                scope.spawn(|| {
                    for n in 1..=LAST {
                        write(root, "policies/tests/t.yaml", &TEST.replace("one", &format!("test {n}")));
                        std::thread::sleep(Duration::from_millis(7));
                    }
                });
            }
            !out.take().contains(&format!("test {LAST}\""))
        })
        .unwrap();
    });
}
