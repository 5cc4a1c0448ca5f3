//! The configuration as a whole: precedence, forms, and every error with its place.

mod decision;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn read(file: &str, env: &[(&str, &str)], flags: Value) -> Result<Settings, ConfigErrors> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let file = (!file.is_empty()).then_some((Path::new("palisade.yaml"), file));
    settings_of(file, env, flags, Vec::new()).map(|(_, settings)| settings)
}

fn defaults() -> Settings {
    read("", &[], Value::Null).unwrap()
}

/// The problems of a file, one a line.
fn problems(file: &str, env: &[(&str, &str)]) -> String {
    match read(file, env, Value::Null) {
        Ok(_) => panic!("accepted: {file:?} {env:?}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn defaults_are_as_documented() {
    let settings = defaults();
    assert_eq!(settings.policies, PathBuf::from("./policies"));
    assert_eq!(settings.entities, None);
    assert_eq!(settings.routes, None);
    assert_eq!(
        (settings.validation, settings.decision, settings.context.now),
        (Validation::Strict, DecisionSettings { forbid_errors_deny: true, unknown_entities_deny: true }, NowMode::Fill)
    );
    assert_eq!(settings.cache, CacheSettings { enabled: true, max_bytes: 64 << 20 });
    assert_eq!(settings.engine.verify_sample, None);
    assert_eq!(settings.authzen.overlay.rule("user"), OverlayRule::Deny);
    assert_eq!(settings.listen.decisions.to_string(), "127.0.0.1:8180");
    assert_eq!(settings.listen.admin.unwrap().to_string(), "127.0.0.1:8181");
    assert_eq!(settings.listen.ops, None);
    assert_eq!(settings.listen.grpc.map(|addr| addr.to_string()).as_deref(), Some("127.0.0.1:9191"));
    assert!(settings.listen.grpc_by_default);
    assert_eq!(settings.http.max_header_bytes, 16 << 10);
    assert_eq!(settings.reload.poll, Some(Duration::from_secs(5)));
    assert_eq!(settings.decision_log.sink, LogSink::Off);
    assert_eq!(settings.shutdown.grace, Duration::from_secs(20));
}

/// Only the key itself asks for the address of gRPC, so that a second sidecar on a machine starts beside the first.
#[test]
fn grpc_is_asked_for_by_its_own_key() {
    for (flags, by_default) in [
        (json!({}), true),
        (json!({"listen": {"decisions": "127.0.0.1:1"}}), true),
        (json!({"listen": {"grpc": null, "admin": "127.0.0.1:2"}}), true),
        (json!({"listen": {"grpc": "127.0.0.1:9191"}}), false),
    ] {
        assert_eq!(load(None, [], flags.clone()).unwrap().listen.grpc_by_default, by_default, "{flags}");
    }
}

#[test]
fn the_file_that_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let [named, other] = ["a.yaml", "b.yaml"].map(|name| directory.path().join(name));
    std::fs::write(&named, "policies: /a\n").unwrap();
    std::fs::write(&other, "policies: /b\n").unwrap();
    let variable = |path: &Path| [(FILE_VARIABLE.to_owned(), path.display().to_string())];
    let policies = |file: Option<&Path>, env: &Path| load(file, variable(env), Value::Null).unwrap().policies;
    assert_eq!(policies(Some(&named), &other), PathBuf::from("/a"));
    assert_eq!(policies(None, &other), PathBuf::from("/b"));
    assert_eq!(policies(None, Path::new("")), PathBuf::from("./policies"));

    let missing = directory.path().join("none.yaml");
    let errors = load(Some(&missing), [("PALISADE_X".to_owned(), String::new())], Value::Null).unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
    assert!(errors.to_string().contains("none.yaml: cannot read the configuration file"), "{errors}");
}

#[test]
fn flags_before_environment_before_file_before_defaults() {
    let file = "cache:\n  max_bytes: 1\n";
    let env = [("PALISADE_CACHE__MAX_BYTES", "2")];
    for (file, env, flags, expected) in [
        ("", &[][..], Value::Null, 64 << 20),
        (file, &[], Value::Null, 1),
        (file, &env, Value::Null, 2),
        (file, &env, json!({"cache": {"max_bytes": 3}}), 3),
        (file, &env, json!({"cache": {"max_bytes": null}, "routes": null}), 2),
        (file, &env, json!({"cache": {"enabled": false}}), 2),
        // an empty variable takes back what the file set
        (file, &[("PALISADE_CACHE__MAX_BYTES", "")], Value::Null, 64 << 20),
        (file, &[("PALISADE_CACHE", "")], Value::Null, 64 << 20),
        ("cache:\n", &[], Value::Null, 64 << 20),
        ("cache:\n  max_bytes:\n", &[], Value::Null, 64 << 20),
    ] {
        let settings = read(file, env, flags.clone()).unwrap();
        assert_eq!(settings.cache.max_bytes, expected, "{file:?} {env:?} {flags}");
    }
}

#[test]
fn what_guards_is_not_emptied() {
    let guarded = "admin: {token_file: tok}\ndecision_log: {mask: [pin]}\n";
    for (file, env, flags) in [
        ("", &[("PALISADE_ADMIN__TOKENS", "")][..], Value::Null),
        ("", &[("PALISADE_ADMIN__TOKENS", " ")], Value::Null),
        ("", &[("PALISADE_ADMIN__TOKENS", "~")], Value::Null),
        ("", &[("PALISADE_ADMIN", "{tokens: }")], Value::Null),
        (guarded, &[("PALISADE_ADMIN__TOKEN_FILE", "")], Value::Null),
        (guarded, &[("PALISADE_ADMIN", "")], Value::Null),
        (guarded, &[("PALISADE_DECISION_LOG__MASK", "")], Value::Null),
        (guarded, &[("PALISADE_DECISION_LOG", "")], Value::Null),
        (guarded, &[], json!({"admin": {"tokens": null}})),
        ("", &[], json!({"admin": null})),
        ("admin:\n  tokens:\n", &[], Value::Null),
        ("admin:\n  token_file:\n", &[], Value::Null),
        ("admin: {token_file: ~}\n", &[("PALISADE_ADMIN__HOSTS", "[a.test]")], Value::Null),
    ] {
        let errors = read(file, env, flags.clone()).expect_err(&format!("{file:?} {env:?} {flags}")).to_string();
        assert!(errors.contains("has no value"), "{file:?} {env:?} {flags}: {errors}");
    }
    // a section whose keys are all commented out, a flag that was not given, and what has its value elsewhere
    read("admin:\ndecision_log:\n", &[], json!({"routes": null})).unwrap();
    read(guarded, &[("PALISADE_DECISION_LOG__MASK", "[]"), ("PALISADE_CACHE", "")], Value::Null).unwrap();
}

#[test]
fn secrets_at_wrong_places_are_not_repeated() {
    let secret = "supersecrettoken-1234567890";
    let files = [
        format!("admin: {secret}\n"),
        format!("admin:\n  tokens: {secret}\n"),
        format!("admin:\n  hosts: {secret}\n"),
        format!("admin:\n  tokens:\n    {secret}: 1\n    {secret}: 2\n"),
        format!("authzen: {{base_url: 'https://user:{secret}@test'}}\n"),
        format!("identity: {secret}\n"),
        format!("cache: [{secret}, {secret}]\n"),
    ];
    for file in &files {
        let said = problems(file, &[]);
        assert!(!said.contains(secret), "{file}: {said}");
    }
    for (name, value) in [
        ("PALISADE_ADMIN", secret.to_owned()),
        ("PALISADE_ADMIN__HOSTS", secret.to_owned()),
        ("PALISADE_ADMIN__TOKENS", format!("{{{secret}: 1, {secret}: 2}}")),
        ("PALISADE_ADMIN", format!("{{tokens: [{{{secret}: {secret}}}]}}")),
        ("PALISADE_AUTHZEN__BASE_URL", format!("ftp://user:{secret}@test/")),
        ("PALISADE_AUTHZEN__BASE_URL", format!("https://user:{secret}@test/?q")),
        ("PALISADE_AUTHZEN__BASE_URL", format!("https://user:{secret}@te st/")),
    ] {
        let said = problems("", &[(name, &value)]);
        assert!(!said.contains(secret), "{name}={value}: {said}");
    }
}

#[test]
fn mappings_merge_and_lists_replace() {
    let file = "authzen: {types: {user: User, doc: Document}}\ndecision_log: {mask: [a, b]}\n";
    let env = [("PALISADE_AUTHZEN__TYPES", "{doc: File}"), ("PALISADE_DECISION_LOG__MASK", "[c]")];
    let settings = read(file, &env, Value::Null).unwrap();
    let types: Vec<(&str, &str)> = settings.authzen.types.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(types, [("doc", "File"), ("user", "User")]);
    let mask: Vec<String> = settings.decision_log.mask.iter().map(MaskPath::to_string).collect();
    assert_eq!(mask, ["c"]);
}

#[test]
fn every_form_of_a_variable() {
    let check = |name: &str, value: &str, expected: &dyn Fn(&Settings) -> bool| {
        let settings =
            read("", &[(name, value)], Value::Null).unwrap_or_else(|errors| panic!("{name}={value}: {errors}"));
        assert!(expected(&settings), "{name}={value}");
    };
    check("PALISADE_CACHE__ENABLED", "false", &|s| !s.cache.enabled);
    check("PALISADE_CACHE__MAX_BYTES", "10kB", &|s| s.cache.max_bytes == 10_000);
    check("PALISADE_CACHE", "{enabled: false, max_bytes: 7}", &|s| !s.cache.enabled && s.cache.max_bytes == 7);
    check("PALISADE_VALIDATION", "off", &|s| s.validation == Validation::Off);
    check("PALISADE_CONTEXT__NOW", "'off'", &|s| s.context.now == NowMode::Off);
    check("PALISADE_LISTEN__ADMIN", "off", &|s| s.listen.admin.is_none());
    check("PALISADE_LISTEN__DECISIONS", "[::1]:9000", &|s| s.listen.decisions.to_string() == "[::1]:9000");
    check("PALISADE_LISTEN__DECISIONS", "\"[::1]:9000\"", &|s| s.listen.decisions.to_string() == "[::1]:9000");
    check("PALISADE_LISTEN__OPS", "[::]:8182", &|s| {
        s.listen.ops.as_ref().is_some_and(|a| a.to_string() == "[::]:8182")
    });
    check("PALISADE_LISTEN__GRPC", "unix:/run/x.sock", &|s| {
        s.listen.grpc == Some(ListenAddr::Unix("/run/x.sock".into()))
    });
    check("PALISADE_POLICIES", "2024", &|s| s.policies == Path::new("2024"));
    check("PALISADE_POLICIES", "@policies: x", &|s| s.policies == Path::new("@policies: x"));
    check("PALISADE_DECISION_LOG__MASK", "[auth.*, ip]", &|s| s.decision_log.mask.len() == 2);
    check("PALISADE_AUTHZEN__TYPES", "{user: User}", &|s| s.authzen.types["user"] == "User");
    check("PALISADE_AUTHZEN__TYPES__user", "User", &|s| s.authzen.types["user"] == "User");
    check("PALISADE_AUTHZEN__OVERLAY__DEFAULT", "fill", &|s| s.authzen.overlay.default == OverlayRule::Fill);
    check("PALISADE_HTTP__DEADLINE", "250ms", &|s| s.http.deadline == Duration::from_millis(250));
    check("PALISADE_RELOAD__POLL", "0", &|s| s.reload.poll.is_none());
    check("PALISADE_COVERAGE__SAMPLE", "7", &|s| s.coverage_sample.is_some_and(|n| n.get() == 7));
    check("PALISADE_ENGINE__VERIFY_SAMPLE", "1000", &|s| s.engine.verify_sample.is_some_and(|n| n.get() == 1000));
    for other in [
        "PALISADE_TEST_CORPUS",
        "PALISADE_TEST_GATEWAYS",
        "PALISADE_CONFIG",
        "PALISADE_SERVICE_HOST",
        "PALISADE_PORT_8180_TCP",
        "PATH",
        "palisade_x",
    ] {
        check(other, "anything: [", &|s| *s == defaults());
    }
    // the key's own variable is nearer than its section's
    let both = [("PALISADE_CACHE__MAX_BYTES", "1"), ("PALISADE_CACHE", "{max_bytes: 2, enabled: false}")];
    assert_eq!(read("", &both, Value::Null).unwrap().cache, CacheSettings { enabled: false, max_bytes: 1 });
}

#[test]
fn an_unquoted_off_is_the_word() {
    let file = "validation: off\ncontext: {now: off}\nlisten: {admin: off, ops: off, grpc: off}\ndecision_log: {sink: off}\nlog: {level: off}\n";
    let settings = read(file, &[], Value::Null).unwrap();
    assert_eq!((settings.validation, settings.context.now), (Validation::Off, NowMode::Off));
    assert_eq!((settings.listen.admin, settings.listen.ops, settings.listen.grpc), (None, None, None));
    assert_eq!((settings.decision_log.sink, settings.log.level.as_str()), (LogSink::Off, "off"));
}

#[test]
fn an_overlay_may_leave_the_default_out() {
    let overlay = read("authzen: {overlay: {user: override}}", &[], Value::Null).unwrap().authzen.overlay;
    assert_eq!((overlay.rule("user"), overlay.rule("other")), (OverlayRule::Override, OverlayRule::Deny));
}

#[test]
fn a_remote_admin_listener_needs_a_token() {
    let remote = "listen: {admin: 0.0.0.0:8181}\n";
    assert!(problems(remote, &[]).contains("set `admin.token_file`"));
    for file in [
        &format!("{remote}admin: {{token_file: /run/token}}\n"),
        "listen: {admin: '[::1]:8181'}",
        "listen: {admin: 127.0.0.2:8181}",
        "listen: {admin: 'unix:/run/admin.sock'}",
        "listen: {ops: 0.0.0.0:8182, decisions: 0.0.0.0:8180}",
    ] {
        assert!(read(file, &[], Value::Null).is_ok(), "{file}");
    }
}

#[test]
fn every_error_says_where_and_what_helps() {
    for (file, expected) in [
        ("policy: x", "palisade.yaml:1: `policy`: unknown key; the keys here are policies, schema, entities"),
        ("polices: x", "palisade.yaml:1: `polices`: unknown key; did you mean `policies`?"),
        ("max_bytes: 1", "palisade.yaml:1: `max_bytes`: unknown key; did you mean `cache.max_bytes`?"),
        ("cache:\n  max_byte: 1", "palisade.yaml:2: `cache.max_byte`: unknown key; did you mean `max_bytes`?"),
        ("cache: {size: 1}", "`cache.size`: unknown key; the keys here are enabled and max_bytes"),
        (
            "validation: strickt",
            "`validation`: must be `strict`, `warn` or `off`, not `strickt`; did you mean `strict`?",
        ),
        ("validation: false", "`validation`: must be `strict`, `warn` or `off`, not `false`"),
        ("engine: {kind: fast}", "`engine.kind`: must be `compiled` or `reference`, not `fast`"),
        ("cache: {enabled: off}", "`cache.enabled`: must be `true` or `false`, not `off`"),
        ("cache: {enabled: 'true'}", "must be `true` or `false`, not the text `true`; write it without quotes"),
        ("http: {max_batch: '7'}", "not the text `7`; write it without quotes"),
        ("cache: true", "`cache`: must be a mapping with the keys enabled and max_bytes, not `true`"),
        ("cache: {max_bytes: 64M}", "`cache.max_bytes`: `64M` is not a size"),
        ("cache: {max_bytes: -1}", "`cache.max_bytes`: must be a size such as `64MiB`, not `-1`"),
        (
            "cache: {max_bytes: 0}",
            "`cache.max_bytes`: must be more than 0; to do without the cache set `cache.enabled: false`",
        ),
        ("http: {deadline: 10}", "`http.deadline`: `10` lacks a unit: write `10s` or `10ms`"),
        ("http: {deadline: soon}", "`http.deadline`: `soon` is not a duration"),
        ("http: {deadline: [1s]}", "`http.deadline`: must be a duration such as `250ms` or `10s`, not a list"),
        ("http: {header_timeout: 0s}", "`http.header_timeout`: must be more than 0s"),
        ("http: {max_header_bytes: 1KiB}", "`http.max_header_bytes`: must be at least 8KiB"),
        ("http: {max_body_bytes: 0}", "`http.max_body_bytes`: must be at least 1"),
        ("http: {max_batch: 0}", "`http.max_batch`: must be a whole number of at least 1, not `0`"),
        ("limits: {max_depth: many}", "`limits.max_depth`: must be a whole number of at least 1, not `many`"),
        (
            "engine: {verify_sample: -1}",
            "`engine.verify_sample`: must be a whole number from 0 to 4294967295, not `-1`",
        ),
        ("policies: 2024", "`policies`: must be text, not `2024`; put it in quotes if it is meant as text"),
        ("policies: ''", "`policies`: must be a path"),
        ("routes: {a: b}", "`routes`: must be text, not a mapping"),
        ("listen: {decisions: off}", "`listen.decisions`: cannot be `off`"),
        (
            "listen: {decisions: 9000}",
            "`listen.decisions`: `9000` is a port without an address: write `127.0.0.1:9000`",
        ),
        ("listen: {ops: 10.0.0.1}", "`listen.ops`: `10.0.0.1` lacks a port: write `10.0.0.1:8182`"),
        ("listen: {grpc: false}", "`listen.grpc`: must be text, not `false`"),
        ("listen: {ops: 127.0.0.1:8181}", "`listen.ops`: `127.0.0.1:8181` is taken by `listen.admin`"),
        ("listen: {decisions: 'unix:/a', grpc: 'unix:/a'}", "`listen.grpc`: `unix:/a` is taken by `listen.decisions`"),
        ("authzen: {base_url: pdp.example.com}", "`authzen.base_url`: `pdp.example.com` does not start with `http://`"),
        ("authzen: {base_url: 'ftp://x'}", "does not start with `http://` or `https://`"),
        ("authzen: {base_url: 'https://x/?a=1'}", "has a query or a fragment"),
        ("authzen: {base_url: 'https://x/#a'}", "has a query or a fragment"),
        ("authzen: {base_url: 'https://u:p@x/'}", "holds a user name"),
        ("authzen: {base_url: 'a b'}", "is not a URL"),
        ("authzen: {namespace: 'a b'}", "`authzen.namespace`: `a b` is not a Cedar namespace"),
        ("authzen: {types: {user: 'User::'}}", "`authzen.types.user`: `User::` is not a Cedar type"),
        (
            "authzen: {overlay: {user: merge}}",
            "`authzen.overlay.user`: must be `deny`, `fill` or `override`, not `merge`",
        ),
        (
            "decision_log: {sink: stdot}",
            "`decision_log.sink`: `stdot` is neither `off` nor `stdout` nor the path of a file; did you mean `stdout`?",
        ),
        ("decision_log: {path: d}", "unknown key; did you mean `decision_log.sink`?"),
        ("decision_log: {sink: audit.jsonl}", "for a file in the working directory write `./audit.jsonl`"),
        (
            "decision_log: {mask: [context.ip]}",
            "`decision_log.mask[0]`: `context.ip` repeats `context`: paths start below it, so write `ip`",
        ),
        ("decision_log: {mask: ip}", "`decision_log.mask`: must be a list, not `ip`"),
        ("decision_log: {mask: [a, null]}", "`decision_log.mask[1]`: must be text, not null"),
        (
            "log: {level: inf}",
            "`log.level`: `inf` is not one of error, warn, info, debug, trace, off; did you mean `info`?",
        ),
        ("log: {level: 'info,palisade=loud'}", "`log.level`: `info,palisade=loud` is not a filter"),
        ("log: {level: 'info, palisade=debug'}", "has white space"),
        ("log: {level: ''}", "`` is not one of error"),
        ("log: {level: 'palisade::sorce=debug'}", "did you mean `palisade::source`?"),
        ("log: {level: palisade}", "for a module write `info,palisade=debug`"),
        ("log: {format: JSON}", "`log.format`: must be `human` or `json`, not `JSON`"),
        ("cache: [true, 1]", "`cache`: must be a mapping with the keys enabled and max_bytes, not a list"),
        ("authzen: {types: [a]}", "`authzen.types`: must be a mapping, not a list"),
        ("- a", "palisade.yaml:1: must be a mapping"),
        ("a: 1\n---\nb: 1", "palisade.yaml:3: not valid YAML: multiple YAML documents detected (column 1)"),
        ("a: [", "palisade.yaml:1: not valid YAML: unclosed bracket '[' (column 4)"),
        ("cache: {}\ncache: {}", "palisade.yaml:2: not valid YAML: a key occurs twice in one mapping (column 1)"),
    ] {
        let found = problems(file, &[]);
        assert!(found.contains(expected) && !found.contains('\n'), "{file:?}:\n{found}\nlacks {expected:?}");
    }
}

#[test]
fn every_error_of_a_variable_names_it() {
    for (name, value, expected) in [
        (
            "PALISADE_CACHE__MAX_BYTE",
            "1",
            "PALISADE_CACHE__MAX_BYTE: unknown variable; did you mean `PALISADE_CACHE__MAX_BYTES`?",
        ),
        ("PALISADE_CACHE_MAX_BYTES", "1", "unknown variable; did you mean `PALISADE_CACHE__MAX_BYTES`?"),
        ("PALISADE_CONFG", "1", "unknown variable; did you mean `PALISADE_CONFIG`?"),
        ("PALISADE_DATABASE", "1", "unknown variable; keys are written in capitals"),
        ("PALISADE_CACHE__", "1", "unknown variable"),
        ("PALISADE_", "1", "unknown variable"),
        (
            "PALISADE_CACHE__ENABLED",
            "maybe",
            "PALISADE_CACHE__ENABLED: `cache.enabled`: must be `true` or `false`, not `maybe`",
        ),
        ("PALISADE_CACHE", "{size: 1}", "PALISADE_CACHE: `cache.size`: unknown key"),
        ("PALISADE_DECISION_LOG__MASK", "[a", "PALISADE_DECISION_LOG__MASK: `decision_log.mask`: not valid YAML"),
        (
            "PALISADE_LISTEN__DECISIONS",
            "8180",
            "PALISADE_LISTEN__DECISIONS: `listen.decisions`: `8180` is a port without an address",
        ),
    ] {
        let found = problems("", &[(name, value)]);
        assert!(found.contains(expected) && !found.contains('\n'), "{name}={value}:\n{found}\nlacks {expected:?}");
    }
    let flags = json!({"listen": {"decisions": "nowhere"}});
    let found = read("", &[], flags).unwrap_err().to_string();
    assert!(found.starts_with("command line: `listen.decisions`: `nowhere` is not an address"), "{found}");
}

#[test]
fn all_problems_are_listed_at_once() {
    let file = "
validaton: strict
cache:
  max_bytes: lots
  enabled: 1
listen:
  decisions: 8180
  admin: 0.0.0.0:8181
admin:
  token_file: 7
decision_log:
  mask: [1, ok, 'a..b', 2]
http: {max_batch: 0}
";
    let errors =
        read(file, &[("PALISADE_LOG__LEVEL", "loud"), ("PALISADE_X", "1")], json!({"context": {"now": "maybe"}}))
            .unwrap_err();
    let found: BTreeSet<String> =
        errors.0.iter().map(|problem| format!("{} {}", problem.origin, problem.path)).collect();
    let expected = [
        "PALISADE_X ",
        "palisade.yaml:2 validaton",
        "palisade.yaml:4 cache.max_bytes",
        "palisade.yaml:5 cache.enabled",
        "palisade.yaml:7 listen.decisions",
        "palisade.yaml:10 admin.token_file",
        "palisade.yaml:12 decision_log.mask[0]",
        "palisade.yaml:12 decision_log.mask[2]",
        "palisade.yaml:12 decision_log.mask[3]",
        "palisade.yaml:13 http.max_batch",
        "PALISADE_LOG__LEVEL log.level",
        "command line context.now",
    ];
    // the admin listener is not reported: its token file is set, only wrongly
    assert_eq!(found, expected.into_iter().map(str::to_owned).collect(), "{errors}");
    assert_eq!(errors.to_string().lines().count(), expected.len());
}

/// The manual, and the example file in it.
fn manual() -> (String, String) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let example = rest.split_once("```").unwrap().0.to_owned();
    (text, example)
}

#[test]
fn the_manuals_example_is_accepted() {
    let (_, example) = manual();
    read(&example, &[], Value::Null).unwrap_or_else(|errors| panic!("{errors}"));
    let document = yaml::parse(&example).unwrap().value;
    let schema = json_schema();
    conforms(&schema, &document).unwrap();
    assert!(conforms(&schema, &json!({"cache": {"max_byte": 1}})).is_err());
    assert!(conforms(&schema, &json!({"validation": "strickt"})).is_err());
}

#[test]
fn the_manual_names_every_key_and_its_default() {
    let (text, _) = manual();
    let schema = json_schema();
    for path in schema::all_paths(&schema) {
        let at = path.iter().try_fold(&schema, |schema, key| schema::member(schema, key)).unwrap();
        if at.get("properties").is_some() {
            continue;
        }
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", path.join("."))))
            .unwrap_or_else(|| panic!("no row for `{}`", path.join(".")));
        let default = match at.get("default") {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(Value::Object(members)) if !members.is_empty() => {
                let members: Vec<String> =
                    members.iter().map(|(k, v)| format!("{k}: {}", v.as_str().unwrap_or_default())).collect();
                format!("`{{{}}}`", members.join(", "))
            }
            Some(other) => format!("`{other}`"),
        };
        assert_eq!(row.split('|').nth(2).map(str::trim), Some(default.as_str()), "{row}");
        assert!(at.get("description").is_some(), "`{}` has no description", path.join("."));
    }
}

#[test]
fn the_manual_names_every_key_of_the_items_of_lists() {
    let (text, _) = manual();
    let schema = json_schema();
    let mut seen = 0;
    for list in schema::all_paths(&schema) {
        let at = list.iter().try_fold(&schema, |schema, key| schema::member(schema, key)).unwrap();
        let Some(items) = at.get("items").filter(|items| items.get("properties").is_some()) else { continue };
        for path in schema::all_paths(items) {
            let at = path.iter().try_fold(items, |schema, key| schema::member(schema, key)).unwrap();
            if at.get("properties").is_some() {
                continue;
            }
            let name = format!("{}[].{}", list.join("."), path.join("."));
            let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("no row for `{name}`"));
            let default = match at.get("default") {
                None | Some(Value::Null) => "none".to_owned(),
                Some(Value::String(text)) if text.is_empty() => "required".to_owned(),
                Some(Value::Array(items)) if items.is_empty() && name.ends_with("audiences") => "required".to_owned(),
                Some(Value::String(text)) => format!("`{text}`"),
                Some(other) => format!("`{other}`"),
            };
            assert_eq!(row.split('|').nth(2).map(str::trim), Some(default.as_str()), "{row}");
            assert!(at.get("description").is_some(), "`{name}` has no description");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

/// An issuer with `changes` in flow style, after what every issuer needs.
fn issuer(changes: &str) -> String {
    format!(
        "identity: {{issuers: [{{issuer: i, audiences: [a], jwks: {{file: f}}, claims: {{principal: 'U::\"{{sub}}\"'}}, {changes}}}]}}"
    )
}

#[test]
fn identity_is_checked_in_every_part() {
    let jwks = |text: &str| {
        format!(
            "identity: {{issuers: [{{issuer: i, audiences: [a], jwks: {text}, claims: {{principal: 'U::\"{{sub}}\"'}}}}]}}"
        )
    };
    let claims = |text: &str| {
        format!("identity: {{issuers: [{{issuer: i, audiences: [a], jwks: {{file: f}}, claims: {{{text}}}}}]}}")
    };
    let top = |text: &str| format!("identity: {{{text}}}");
    for (file, expected) in [
        (top("issuers: [7]"), "`identity.issuers[0]`: must be a mapping with the keys issuer,"),
        (top("issuers: [null]"), "`identity.issuers[0]`: must be a mapping, not null"),
        (issuer("audience: [b]"), "`identity.issuers[0].audience`: unknown key; did you mean `audiences`?"),
        (issuer("leeway: 6m"), "`identity.issuers[0].leeway`: must be at most `5m`"),
        (issuer("leeway: 30"), "`identity.issuers[0].leeway`: `30` lacks a unit"),
        (issuer("algorithms: [HS256]"), "`identity.issuers[0].algorithms[0]`: `HS256` is not accepted; a shared secret"),
        (issuer("algorithms: [RS255]"), "did you mean `RS256`?"),
        (issuer("algorithms: [none]"), "write one of RS256, RS384"),
        (issuer("algorithms: [rs256]"), "did you mean `RS256`?"),
        (issuer("types: [1]"), "`identity.issuers[0].types[0]`: must be text, not `1`"),
        ("identity: {issuers: [{audiences: [a], jwks: {file: f}, claims: {principal: 'U::\"{sub}\"'}}]}".to_owned(), "`identity.issuers[0].issuer`: is missing"),
        ("identity: {issuers: [{issuer: i, jwks: {file: f}, claims: {principal: 'U::\"{sub}\"'}}]}".to_owned(), "`identity.issuers[0].audiences`: is missing"),
        ("identity: {issuers: [{issuer: i, audiences: b, jwks: {file: f}, claims: {principal: 'U::\"{sub}\"'}}]}".to_owned(), "`identity.issuers[0].audiences`: must be a list, not `b`"),
        ("identity: {issuers: [{issuer: i, audiences: [''], jwks: {file: f}, claims: {principal: 'U::\"{sub}\"'}}, {}]}".to_owned(), "must not be empty"),
        (jwks("{}"), "`identity.issuers[0].jwks`: needs a `file` or a `url`"),
        (jwks("{file: f, url: 'https://x/'}"), "`identity.issuers[0].jwks`: has both"),
        (jwks("{url: 'http://id.example.com/'}"), "is not encrypted"),
        (jwks("{url: 'ftp://id.example.com/'}"), "does not start with `https://`"),
        (jwks("{url: id.example.com}"), "does not start with `https://`"),
        (jwks("{url: 'https://u:p@x/'}"), "holds a user name"),
        (jwks("{url: 'a b'}"), "is not a URL"),
        (jwks("{url: 'https://x/', refresh: 0s}"), "`identity.issuers[0].jwks.refresh`: must be more than 0s"),
        (jwks("{url: 'https://x/', max_age: 1m}"), "`identity.issuers[0].jwks.max_age`: must be at least `refresh`"),
        (claims(""), "`identity.issuers[0].claims.principal`: is missing"),
        (claims("principal: 'U::\"alice\"'"), "has no placeholder, so every caller would be the same"),
        (claims("principal: '{sub}'"), "is not an entity uid"),
        (claims("principal: 'U::\"{sub}\"', token: x"), "`identity.issuers[0].claims.token`: `x` is not an entity uid"),
        (claims("principal: 'U::\"{sub}\"', method: {map: {a: b}}"), "`identity.issuers[0].claims.method.map`: needs `claim`"),
        (claims("principal: 'U::\"{sub}\"', mfa: {amr: [1]}"), "`identity.issuers[0].claims.mfa.amr[0]`: must be text"),
        (top("credentials: {header: 'a b'}"), "`identity.credentials.header`: `a b` is not the name of a header"),
        (top("credentials: {schemes: {}}"), "`identity.credentials.schemes`: must list at least one scheme"),
        (top("credentials: {schemes: {bearer: jwt, Bearer: any}}"), "`identity.credentials.schemes.bearer`: `bearer` is listed twice"),
        (top("credentials: {schemes: {Bearer: jws}}"), "must be `jwt`, `opaque` or `any`, not `jws`; did you mean `jwt`?"),
        (top("peer: {header: xfcc}"), "`identity.peer.principals`: is missing"),
        (top("peer: {principals: [{uri: 'spiffe://a/{b}', principal: 'U::\"{c}\"'}]}"), "`{c}` is not in the `uri`"),
        (top("peer: {principals: [{uri: a, principal: 'U::\"c\"'}]}"), "`a` is not a URI"),
        (top("max_token_bytes: 0"), "`identity.max_token_bytes`: must be at least 1"),
    ] {
        let found = problems(&file, &[]);
        assert!(found.lines().any(|line| line.contains(expected)), "{file}:\n{found}\nlacks {expected:?}");
    }
    let twice = issuer("")
        .replace("}]}", "}, {issuer: i, audiences: [a], jwks: {file: f}, claims: {principal: 'U::\"{sub}\"'}}]}");
    assert!(problems(&twice, &[]).contains("`identity.issuers[1].issuer`: `i` is listed twice"));
    let two = |claims: &str| {
        let other = "}, {issuer: j, audiences: [a], jwks: {file: f}, claims: ";
        issuer("").replace("}]}", &format!("{other}{{{claims}}}}}]}}"))
    };
    for (claims, expected) in [
        (
            r#"principal: 'U::"{tenant}/{sub}"'"#,
            "`U::\"{tenant}/{sub}\"` of `j` and `U::\"{sub}\"` of `i` can be one entity",
        ),
        (r#"principal: 'U::"{sub}"'"#, ""),
        (r#"principal: 'V::"{tenant}/{sub}"'"#, ""),
    ] {
        let found = read(&two(claims), &[], Value::Null).err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{claims}: {found}");
    }
    for (peers, expected) in [
        (
            &[("spiffe://a/{ns}/{sa}", r#"U::"{ns}/{sa}""#)][..],
            "`identity.peer.principals[0].principal`: `U::\"{ns}/{sa}\"` of `spiffe://a/{ns}/{sa}` and `U::\"{sub}\"` of `i` can be one entity",
        ),
        (&[("spiffe://a/b", r#"U::"b""#)], "`U::\"b\"` of `spiffe://a/b` and `U::\"{sub}\"` of `i` can be one entity"),
        (
            &[("spiffe://a/{x}", r#"V::"{x}""#), ("spiffe://b/{x}", r#"V::"b-{x}""#)],
            "`identity.peer.principals[1].principal`: `V::\"b-{x}\"` of `spiffe://b/{x}` and `V::\"{x}\"` of `spiffe://a/{x}` can be one entity",
        ),
        (&[("spiffe://a/{x}", r#"V::"a-{x}""#), ("spiffe://b/{x}", r#"V::"b-{x}""#)], ""),
        // the file says that they are the same
        (&[("spiffe://a/{sub}", r#"U::"{sub}""#)], ""),
        (&[("spiffe://a/{x}", r#"V::"{x}""#), ("spiffe://b/{x}", r#"V::"{x}""#)], ""),
    ] {
        let list = peers.iter().map(|(uri, principal)| format!("{{uri: '{uri}', principal: '{principal}'}}"));
        let list = list.collect::<Vec<_>>().join(", ");
        let file = issuer("").replace("}]}", &format!("}}], peer: {{principals: [{list}]}}}}"));
        let found = read(&file, &[], Value::Null).err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{file}: {found}");
    }
    let by_variable = [("PALISADE_IDENTITY__API_TOKENS__FILE", "/run/tokens"), ("PALISADE_IDENTITY__ISSUERS", "[]")];
    assert_eq!(read("", &by_variable, Value::Null).unwrap().identity.api_tokens, Some(PathBuf::from("/run/tokens")));
}
