//! The command line as a whole: exit codes, help, the examples in it, and the page that shows it.

mod bundles;
mod explain;
mod mutants;
mod pairs;
mod places;
mod record;
mod reports;
mod review;
mod routes;
mod schema;
mod serves;
mod status;

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;

/// What a command line came to.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn palisade_with(args: &[&str], mut stdin: &[u8]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["palisade"].iter().chain(args);
    let exit = run(args, &mut stdin, &mut out, &mut err, &|_| (false, false));
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn palisade(args: &[&str]) -> Ran {
    palisade_with(args, b"")
}

const SCHEMA: &str = "entity User = { ok: Bool }; entity Doc; action view appliesTo { principal: [User], resource: [Doc], context: { n?: Long } };";
const POLICY: &str = "@id(\"ok\")\npermit(principal, action, resource) when { principal.ok };\n";
const ENTITIES: &str = r#"[{"uid":{"type":"User","id":"a"},"attrs":{"ok":true},"parents":[]},
    {"uid":{"type":"User","id":"b"},"attrs":{"ok":false},"parents":[]},{"uid":{"type":"Doc","id":"d"},"attrs":{},"parents":[]}]"#;
const TESTS: &str = r#"[{"name":"one","request":{"principal":"User::\"a\"","action":"Action::\"view\"","resource":"Doc::\"d\""},"decision":"allow"}]"#;

/// A bundle directory with the given files over the usual ones.
fn bundle(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let usual = [
        ("policies/p.cedar", POLICY),
        ("policies/s.cedarschema", SCHEMA),
        ("entities/e.json", ENTITIES),
        ("policies/tests/t.json", TESTS),
    ];
    for (name, text) in usual.iter().chain(files) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn at(dir: &tempfile::TempDir) -> String {
    dir.path().to_str().unwrap().to_owned()
}

#[test]
fn the_verb_is_known_before_the_rest_is_read() {
    for (line, serves) in [
        ("", false),
        ("serve", true),
        ("serve --no-such-flag", true),
        ("--color never serve", true),
        ("--color=never serve --listen x", true),
        ("test serve", false),
        ("--color serve check", false),
        ("--version", false),
    ] {
        let args = std::iter::once("palisade").chain(line.split_whitespace()).map(Into::into);
        assert_eq!(super::is_serve(args), serves, "{line}");
    }
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    for (args, exit) in [
        (&[][..], Exit::Usage),
        (&["frobnicate"], Exit::Usage),
        (&["check"], Exit::Usage),
        (&["check", "--semantics", "loose"], Exit::Usage),
        (&["test", "--format", "pdf"], Exit::Usage),
        (&["serve", "--set", "cache"], Exit::Usage),
        (&["serve", "--set", "cache.size=1"], Exit::Usage),
        (&["serve", "--config", "/nowhere/palisade.yaml"], Exit::Usage),
        (&["status", "--admin-listen", "here"], Exit::Usage),
        (&["config"], Exit::Usage),
        (&["--help"], Exit::Success),
        (&["test", "-h"], Exit::Success),
        (&["--version"], Exit::Success),
    ] {
        let ran = palisade(args);
        assert_eq!(ran.exit, exit, "{args:?}: {}", ran.err);
        assert_eq!(ran.err.is_empty(), exit == Exit::Success, "{args:?}");
        assert_eq!(ran.out.is_empty(), exit != Exit::Success, "{args:?}");
    }
}

#[test]
fn every_problem_of_the_configuration_is_reported() {
    let ran = palisade(&["config", "show", "--set", "cache.max_bytes=many", "--set", "validatoin=off"]);
    assert_eq!((ran.exit, ran.err.lines().count()), (Exit::Usage, 2), "{}", ran.err);
    assert!(ran.err.contains("`cache.max_bytes`") && ran.err.contains("`validatoin`"), "{}", ran.err);
}

#[test]
fn the_effective_configuration_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--set", "cache.max_bytes=1MiB", "--set", "log.level=palisade=debug", "--validation", "off"];
    let shown = palisade(&[&["config", "show"], &flags[..]].concat());
    assert_eq!(shown.exit, Exit::Success, "{}", shown.err);
    let file = dir.path().join("palisade.yaml");
    fs::write(&file, &shown.out).unwrap();
    let again = palisade(&["config", "show", "--config", file.to_str().unwrap()]);
    assert_eq!(shown.out, again.out, "{}", again.err);
    let json = palisade(&[&["config", "show", "--format", "json"], &flags[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["validation"], "off");
}

#[test]
fn check_shows_where_the_policies_are_that_decided_and_what_their_authors_say() {
    let policies = "// first\n@id(\"own\")\n@why(\"owners\n view\")\n@rows(\"7\")\npermit (principal == User::\"a\", action, resource);\n\n\
                    @why(\"linked\") permit (principal == ?principal, action, resource);\n";
    let links = "# links\n- template: q.1\n  id: of-a\n  principal: User::\"a\"\n";
    let dir = bundle(&[("policies/q.cedar", policies), ("policies/q.links.yaml", links)]);
    let root = at(&dir);
    let ran = palisade(&["check", "-p", &root, "-l", "User::a", "-a", "view", "-r", "Doc::d", "-v"]);
    for line in [
        format!("  own  {root}/policies/q.cedar:2\n    @rows: 7\n    @why: owners view\n"),
        format!(
            "  of-a  {root}/policies/q.links.yaml:2\n    link of the template q.1  {root}/policies/q.cedar:8\n    @why: linked\n"
        ),
    ] {
        assert!(ran.out.contains(&line), "{line}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn where_a_schema_is_looked_for_is_said() {
    let dir = bundle(&[("policies/s.cedarshema", SCHEMA)]);
    fs::remove_file(dir.path().join("policies/s.cedarschema")).unwrap();
    let root = at(&dir);
    let ran = palisade(&["validate", "-p", &root]);
    assert_eq!(ran.exit, Exit::Invalid, "{}", ran.out);
    for part in
        ["no schema", "*.cedarschema.json", "--schema FILE", &format!("{root}/policies/s.cedarshema` is not read")]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
}

#[test]
fn check_answers_and_says_why() {
    let dir = bundle(&[("context.json", r#"{"n": 1}"#)]);
    let root = at(&dir);
    let file = format!("{root}/context.json");
    let request = r#"{"principal":"User::\"b\"","action":"Action::\"view\"","resource":"Doc::\"d\""}"#;
    let (view, doc) = (r#"Action::"view""#, r#"Doc::"d""#);
    for (args, stdin, exit, out, err) in [
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc][..], "", Exit::Success, "ALLOW\n", ""),
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc, "-v"], "", Exit::Success, "ALLOW\ndetermined by\n  ok  ", ""),
        (&["-l", r#"User::"b""#, "-a", view, "-r", doc, "-v"], "", Exit::Deny, "DENY\nno policy determined this\n", ""),
        (&["-l", "User::a", "-a", "view", "-r", "Doc::d"], "", Exit::Success, "ALLOW\n", ""),
        (&["-l", "User::z", "-a", "view", "-r", "Doc::d"], "", Exit::Deny, "DENY\n", "denied because `User::\"z\"`"),
        (&["-l", "User::b", "-a", "Action::view", "-r", doc], "", Exit::Deny, "DENY\n", "because no policy permits it"),
        (&["-l", "User::a", "-a", "veiw", "-r", "Doc::d"], "", Exit::Undecided, "", "view"),
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", r#"{"n":1}"#], "", Exit::Success, "ALLOW\n", ""),
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", &file], "", Exit::Success, "ALLOW\n", ""),
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", "-"], r#"{"n":1}"#, Exit::Success, "ALLOW\n", ""),
        (&["--request-json", "-"], request, Exit::Deny, "DENY\n", "because no policy permits it"),
        (&["--request-json", "-", "--format", "json"], request, Exit::Deny, "\"decision\":\"Deny\"", ""),
        (
            &["-l", r#"User::"z""#, "-a", view, "-r", doc, "-v"],
            "",
            Exit::Deny,
            "denied because `User::\"z\"` is not in the store",
            "",
        ),
        (
            &["-l", "ann", "-a", view, "-r", doc],
            "",
            Exit::Undecided,
            "",
            "error: --principal: `ann` is not an entity: write `Type::id`",
        ),
        (
            &["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", "{"],
            "",
            Exit::Undecided,
            "",
            "error: the context is not JSON",
        ),
        (
            &["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", "none.json"],
            "",
            Exit::Undecided,
            "",
            "cannot read none.json",
        ),
        (&["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", r#"{"m":1}"#], "", Exit::Undecided, "", "error: "),
        (
            &["-l", doc, "-a", view, "-r", doc, "--error-format", "json"],
            "",
            Exit::Undecided,
            "",
            "\"code\":\"action_does_not_apply\"",
        ),
        (&["--request-json", "-"], "{}", Exit::Undecided, "", "the request lacks `principal`"),
        (
            &["--request-json", "-"],
            "[",
            Exit::Undecided,
            "",
            "error: standard input:1:1: the request is not JSON: the text ends within a list",
        ),
        (
            &["--request-json", "-"],
            &request.replace("Action", "Aktion"),
            Exit::Undecided,
            "",
            "error: standard input:1: /action: the schema declares no action `Aktion::",
        ),
        (
            &["-l", r#"User::"a""#, "-a", view, "-r", doc, "-c", "-"],
            r#"{"m":1}"#,
            Exit::Undecided,
            "",
            "error: standard input: `context.m`",
        ),
    ] {
        let ran = palisade_with(&[&["check", "-p", &root], args].concat(), stdin.as_bytes());
        assert_eq!(ran.exit, exit, "{args:?}: {}{}", ran.out, ran.err);
        let same = if out.ends_with('\n') { ran.out == out } else { ran.out.contains(out) };
        assert!(same && (!out.is_empty() || ran.out.is_empty()), "{args:?}: {}", ran.out);
        assert!(ran.err.contains(err) && ran.err.is_empty() == err.is_empty(), "{args:?}: {}", ran.err);
    }
}

#[test]
fn files_may_be_named_one_by_one() {
    let dir = bundle(&[]);
    let root = at(&dir);
    let [policy, schema, entities] =
        ["policies/p.cedar", "policies/s.cedarschema", "entities/e.json"].map(|name| format!("{root}/{name}"));
    let ran = palisade(&["validate", "-p", &policy, "-s", &schema, "--entities", &entities]);
    assert_eq!(
        (ran.exit, ran.out.as_str()),
        (Exit::Success, "valid: 1 policy, 0 templates, 3 entities, 0 tests\n"),
        "{}",
        ran.err
    );
    let ran = palisade(&["validate", "-p", &format!("{root}/nowhere")]);
    assert_eq!(ran.exit, Exit::Failure);
}

/// What each verb says of a bundle by a configuration, in a file and by flags.
#[test]
fn all_verbs_read_the_configuration_that_serve_reads() {
    let dir = bundle(&[
        ("policies/all.cedar", "@id(\"all\") permit(principal, action, resource);"),
        ("cedar.yaml", "decision: {semantics: cedar}\n"),
        ("few.yaml", "limits: {max_policies: 1}\n"),
        ("wrong.yaml", "limits: {max_policys: 1}\n"),
    ]);
    let root = at(&dir);
    let check = ["check", "-l", r#"User::"z""#, "-a", r#"Action::"view""#, "-r", r#"Doc::"d""#];
    let (validate, test) = (["validate"], ["test", "-q"]);
    for (verb, given, exit) in [
        (&check[..], &[][..], Exit::Deny),
        (&check, &["cedar.yaml"], Exit::Success),
        (&check, &["cedar.yaml", "--semantics", "strict"], Exit::Deny),
        (&check, &["cedar.yaml", "--set", "decision.semantics=strict"], Exit::Deny),
        (&check, &["few.yaml"], Exit::Undecided),
        (&check, &["wrong.yaml"], Exit::Usage),
        (&validate, &["cedar.yaml"], Exit::Success),
        (&validate, &["few.yaml"], Exit::Invalid),
        (&validate, &["wrong.yaml"], Exit::Usage),
        (&test, &["cedar.yaml"], Exit::Success),
        (&test, &["few.yaml"], Exit::Invalid),
        (&test, &["wrong.yaml"], Exit::Usage),
    ] {
        let config = given.first().map(|name| ["--config".to_owned(), format!("{root}/{name}")]);
        let config: Vec<&str> = config.iter().flatten().map(String::as_str).collect();
        let rest = given.get(1..).unwrap_or_default();
        let ran = palisade(&[verb, &["-p", &root], &config, rest].concat());
        assert_eq!(ran.exit, exit, "{verb:?} {given:?}: {}{}", ran.out, ran.err);
    }
    // and a key of the configuration names the bundle
    fs::write(dir.path().join("here.yaml"), format!("policies: {root}\n")).unwrap();
    let ran = palisade(&["validate", "--config", &format!("{root}/here.yaml")]);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""), "{}", ran.out);
    assert!(ran.out.contains("3 entities"), "{}", ran.out);
}

#[test]
fn validate_reports_everything() {
    for (files, flags, exit, out) in [
        (&[][..], &[][..], Exit::Success, "valid: 1 policy, 0 templates, 3 entities, 1 test\n"),
        (&[("policies/q.cedar", "permit(principal, action, resource")], &[], Exit::Invalid, "policies/q.cedar:1:"),
        (
            &[("policies/q.cedar", "permit(principal, action, resource) when { principal.no };")],
            &[],
            Exit::Invalid,
            "not valid: 1 error",
        ),
        (
            &[("entities/f.json", r#"[{"uid":{"type":"User","id":"c"},"attrs":{},"parents":[]}]"#)],
            &[],
            Exit::Invalid,
            "not valid: 1 error",
        ),
        (
            &[("policies/tests/u.yaml", "testz: []")],
            &[],
            Exit::Invalid,
            "policies/tests/u.yaml:1: test `(file)`: unknown key `testz`",
        ),
        (
            &[("policies/q.cedar", "permit(principal, action, resource) when { false };")],
            &[],
            Exit::Success,
            "1 warning\n",
        ),
        (
            &[("policies/q.cedar", "permit(principal, action, resource) when { false };")],
            &["--deny-warnings"],
            Exit::Invalid,
            "refused: ",
        ),
        (&[("policies/q.cedar", "permit(")], &["--format", "json"], Exit::Invalid, "\"valid\": false"),
        (&[], &["--format", "json"], Exit::Success, "\"valid\": true"),
    ] {
        let dir = bundle(files);
        let root = at(&dir);
        let ran = palisade(&[&["validate", "-p", &root], flags].concat());
        assert_eq!(ran.exit, exit, "{files:?} {flags:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(out), "{files:?} {flags:?}: {}", ran.out);
    }
}

#[test]
fn test_runs_what_is_selected() {
    let failing = TESTS.replace("allow", "deny");
    for (files, flags, exit, out, err) in [
        (&[][..], &[][..], Exit::Success, "1 passed, 0 failed\n", ""),
        (&[("policies/tests/u.json", failing.as_str())], &[], Exit::TestsFailed, "1 passed, 1 failed\n", ""),
        (
            &[("policies/tests/u.json", failing.as_str())],
            &["t.json"],
            Exit::Success,
            "1 passed, 0 failed, 1 not selected\n",
            "",
        ),
        (&[("policies/tests/u.json", failing.as_str())], &["--list", "u.json"], Exit::Success, "u.json::one\n", ""),
        (&[], &["nothing"], Exit::TestsFailed, "", "no test matches `nothing`"),
        // a name in a command that a renaming left behind
        (&[], &["one", "nothing"], Exit::TestsFailed, "", "no test matches `nothing`"),
        (&[("policies/tests/t.json", "[]")], &[], Exit::TestsFailed, "", "there are no tests in"),
        (&[("policies/tests/t.json", "[]")], &["--allow-none"], Exit::Success, "0 passed, 0 failed\n", ""),
        (&[("policies/tests/u.json", "[{]")], &[], Exit::TestsFailed, "1 passed, 1 failed\n", ""),
        (&[("policies/q.cedar", "permit(")], &[], Exit::Invalid, "", "no test ran"),
        (
            &[("policies/q.cedar", "permit(principal, action, resource) when { principal.no };")],
            &[],
            Exit::Invalid,
            "",
            "no test ran",
        ),
        (&[], &["--tests", "/nowhere"], Exit::Failure, "", "there is no such file"),
    ] {
        let dir = bundle(files);
        let root = at(&dir);
        let ran = palisade(&[&["test", "-q", "-p", &root], flags].concat());
        assert_eq!(ran.exit, exit, "{files:?} {flags:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.ends_with(out) && ran.out.is_empty() == out.is_empty(), "{files:?} {flags:?}: {}", ran.out);
        assert!(ran.err.contains(err) && ran.err.is_empty() == err.is_empty(), "{files:?} {flags:?}: {}", ran.err);
    }
}

#[test]
fn generated_files() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = palisade(&["completions", shell]);
        assert!(ran.exit == Exit::Success && ran.out.contains("validate"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let ran = palisade(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    for page in ["palisade.1", "palisade-serve.1", "palisade-test.1", "palisade-config-show.1"] {
        assert!(dir.path().join(page).exists(), "{page}");
    }
    let test = fs::read_to_string(dir.path().join("palisade-test.1")).unwrap();
    assert!(test.contains("palisade test") && test.contains("fail"), "{test}");
    let schema: serde_json::Value = serde_json::from_str(&palisade(&["config", "schema"]).out).unwrap();
    assert!(schema["properties"]["cache"].is_object());
}

/// An example of a help text: its words, and the lines that it writes, if the text shows them.
struct Example {
    words: Vec<String>,
    output: Vec<String>,
}

fn examples(help: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut lines = help.lines().skip_while(|line| *line != "Examples:").skip(1).peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if let Some(command) = line.strip_prefix("$ ") {
            let mut command = command.to_owned();
            while let Some(start) = command.strip_suffix('\\') {
                command = format!("{start} {}", lines.next().unwrap().trim_start());
            }
            found.push(Example { words: words(&command), output: Vec::new() });
        } else if !line.is_empty() {
            found.last_mut().unwrap().output.push(line.to_owned());
        }
    }
    found
}

/// Words as a shell splits them, as far as the examples need it.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

fn verbs(command: &clap::Command, found: &mut Vec<(String, clap::Command)>, prefix: &str) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("{prefix}{}", verb.get_name());
        found.push((name.clone(), verb.clone()));
        verbs(verb, found, &format!("{name} "));
    }
}

#[test]
fn every_example_of_the_help_runs() {
    // the examples are about the bundle of this project
    assert!(Path::new("policies").is_dir());
    let mut found = Vec::new();
    verbs(&Cli::command(), &mut found, "");
    for (name, verb) in found {
        let help = verb.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "`palisade {name}` has no example");
        for example in examples {
            let words: Vec<&str> = example.words.iter().map(String::as_str).collect();
            assert!(words.join(" ").starts_with(&format!("palisade {name}")) || name == "config", "{words:?}");
            Cli::command().try_get_matches_from(&words).unwrap();
            // one writes files, one serves until it is stopped, three ask a server, some need a store, one a log
            let needs_more = ["init", "serve", "status", "apply", "bench", "export", "record"].contains(&name.as_str())
                || name.starts_with("store");
            if needs_more || words.contains(&"--watch") {
                continue;
            }
            // the report is for the reader's own directory
            if words.contains(&"--report") {
                continue;
            }
            let ran = palisade(&words[1..]);
            assert_eq!(ran.exit, Exit::Success, "{words:?}: {}{}", ran.out, ran.err);
            if !example.output.is_empty() {
                assert_eq!(ran.out.lines().collect::<Vec<_>>(), example.output, "{words:?}");
            }
        }
    }
}

#[test]
fn init_writes_a_bundle_that_is_good_and_overwrites_nothing() {
    for taken in ["policies", "entities", "palisade.yaml"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(taken), "mine").unwrap();
        let ran = palisade(&["init", &at(&dir)]);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failure, ""));
        assert!(
            ran.err.contains(&format!("`{taken}` already")) && ran.err.contains("another directory"),
            "{}",
            ran.err
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing was written");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("it's new");
    let place = place.to_str().unwrap();
    let ran = palisade(&["init", place]);
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, ""));
    assert!(ran.out.contains("it'\\''s new'\n  palisade validate\n"), "{}", ran.out);
    let valid = palisade(&["validate", "-p", place, "--deny-warnings"]);
    assert_eq!(
        (valid.exit, valid.out.as_str()),
        (Exit::Success, "valid: 3 policies, 0 templates, 7 entities, 8 tests\n")
    );
    assert_eq!(palisade(&["test", "-p", place]).exit, Exit::Success);
    let shown = palisade(&["config", "show", "--config", &format!("{place}/palisade.yaml")]);
    assert_eq!(shown.exit, Exit::Success, "{}", shown.err);
}

#[test]
fn the_page_about_the_command_line_is_its_help() {
    let mut page = String::from(
        "# The command line\n\n<!-- made by the test `the_page_about_the_command_line_is_its_help`: run it with BLESS=1 -->\n\n\
         Each command prints the same with `--help`, in short with `-h`, and `palisade man --dir DIR` writes manual pages.\n\
         Results go to standard output, everything else to standard error. Output is coloured on terminals only, and\n\
         never if `NO_COLOR` is set.\n",
    );
    let mut root = Cli::command().term_width(100).color(clap::ColorChoice::Never);
    root.build();
    let mut found = vec![(String::new(), root.clone())];
    verbs(&root, &mut found, "");
    for (name, mut verb) in found {
        let title = format!("palisade {name}");
        let depth = if name.contains(' ') { "###" } else { "##" };
        let help = verb.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!("\n{depth} {}\n\n```text\n{}\n```\n", title.trim_end(), help.join("\n").trim_end()));
    }
    let path = format!("{}/docs/cli.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/cli.md is not what `--help` says; run this test with BLESS=1");
}

#[test]
fn nothing_that_is_read_steers_the_terminal() {
    const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\r\u{9b}8m\u{202e}";
    let policy = format!("@id(\"{HOSTILE}\") permit(principal, action, resource) when {{ principal.{HOSTILE} }};");
    let test = TESTS.replace("one", "\\u001b[2J\\u009b8m").replace("allow", "deny");
    let text = format!("{HOSTILE}.txt");
    for (file, content) in [
        (&*format!("policies/{HOSTILE}.txt"), "x"),
        (&*format!("policies/{HOSTILE}\nvalid: all.cedar"), "permit("),
        ("policies/x.cedar", &*policy),
        ("policies/s.cedarschema", &*format!("entity {HOSTILE};")),
        ("policies/tests/t.json", &*test),
        ("routes/r.yaml", HOSTILE),
        ("entities/e.json", &*format!("[{HOSTILE}]")),
    ] {
        let dir = bundle(&[(file, content)]);
        let place = at(&dir);
        for args in [
            &["validate", "-p", &place][..],
            &["validate", "--format", "json", "-p", &place],
            &["test", "-p", &place],
            &["routes", "list", "-p", &place],
            &["validate", "-p", &text],
            &["config", "show", "--config", &text],
            &[HOSTILE],
        ] {
            let ran = palisade(args);
            let shown = format!("{}{}", ran.out, ran.err);
            let steers = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
            assert!(!shown.contains(steers), "{file:?} {args:?}: {shown:?}");
            assert!(!shown.contains("\nvalid: all"), "{file:?} {args:?}: {shown}");
        }
    }
}
