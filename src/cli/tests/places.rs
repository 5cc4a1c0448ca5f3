//! `palisade validate`: each problem is at its line, and hides no other one.

use super::*;

const SCHEMA: &str = "entity Role = {policies: Set<String>}; entity Doc; \
     entity User = {ok: Bool, age?: Long, role?: Role, boss?: User} tags String; \
     action view appliesTo {principal: User, resource: Doc};";

const TEMPLATES: &str = "@id(\"reader\")\npermit (principal == ?principal, action, resource);\n\
     @id(\"both\")\npermit (principal == ?principal, action, resource == ?resource);\n\
     @id(\"all\")\npermit (principal is User, action, resource);\n";

/// Files of a bundle beside schema and templates, and the places of all that is wrong with them.
type Case<'c> = (&'c str, &'c str, &'c [&'c str]);

#[test]
fn every_problem_is_at_its_line() {
    let cases: &[Case<'_>] = &[
        // links: their members, in our names and in those of Cedar's tools
        (
            "policies/a.links.yaml",
            "- id: x\n  template: readr\n  principal: User::\"a\"\n- id: y\n  template: reader\n  principal: Usr::\"a\"\n",
            &[
                "a.links.yaml:2: there is no template `readr` to link; did you mean `reader`?",
                "a.links.yaml:6: the schema declares no entity type `Usr`",
            ],
        ),
        (
            "policies/a.links.yaml",
            "- principal: User::\"a\"\n  resource: Doc::\"d\"\n  template: reader\n- template: both\n  id: z\n  principal: User::\"a\"\n",
            &[
                "a.links.yaml:2: the template `reader` has no slot `?resource`",
                "a.links.yaml:4: the link lacks `?resource`",
            ],
        ),
        (
            "policies/a.links.yaml",
            "- principal: User::\"a\"\n  id: all\n  template: all\n",
            &["a.links.yaml:2: a policy with the id `all`", "a.links.yaml:3: `all` is a policy, not a template"],
        ),
        (
            "policies/a.links.json",
            "[{\"link_id\": \"l\",\n\"args\": {\n\"?principal\": \"Usr::\\\"a\\\"\"},\n\"template_id\": \"readr\"}]",
            &[
                "a.links.json:3: the schema declares no entity type `Usr`",
                "a.links.json:4: there is no template `readr`",
            ],
        ),
        // links from data
        (
            "policies/a.links.yaml",
            "- each: User\n  principal: self\n  when: age\n  resource: role.polices\n  template: role.policies\n- template: reader\n  each: Usr\n",
            &[
                "a.links.yaml:3: `when`: `age` is",
                "a.links.yaml:4: `resource`: ",
                "a.links.yaml:7: `each`: the schema declares no entity type `Usr`",
            ],
        ),
        (
            "policies/a.links.yaml",
            "- each: Role\n  principal: self\n  template: readr\n- each: Role\n  template: reader\n  id: two\n  resource: self\n  principal: self\n",
            &[
                "a.links.yaml:3: `readr` is no template; did you mean `reader`?",
                "a.links.yaml:7: the template `reader` has no slot `?resource`",
            ],
        ),
        // rules of the data
        (
            "policies/a.rules.yaml",
            "- code: c\n  message: m\n  must: principal.\n  each: User\n",
            &["a.rules.yaml:3: `must` is no Cedar expression"],
        ),
        (
            "policies/a.rules.yaml",
            "- code: c\n  message: m\n  must: 'true'\n  each: Usr\n",
            &["a.rules.yaml:4: `each`: "],
        ),
        (
            "policies/a.rules.yaml",
            "- code: c\n  message: m\n  each: User\n  must: principal.okk\n",
            &["a.rules.yaml:4: `must` of the rule `c`: attribute `okk`"],
        ),
        // entities: every problem of each
        (
            "entities/e.json",
            "[{\"uid\": {\"type\": \"User\", \"id\": \"a\"},\n\"attrs\": {\"ok\": 1,\n\"age\": 1.5,\n\"boss\": \"User::\\\"b\\\"\"},\n\
             \"parents\": [],\n\"tags\": {\"a\": 1}},\n{\"uid\": {\"type\": \"User\", \"id\": \"b\"}, \"attrs\": {}, \"parents\": {}}]",
            &[
                "e.json:2: entity `User::\"a\"`: `attrs.ok`: expected a boolean",
                "e.json:3: entity `User::\"a\"`: `attrs.age`: expected a whole number",
                "e.json:4: entity `User::\"a\"`: `attrs.boss`: expected an entity",
                "e.json:6: entity `User::\"a\"`: `tags.a`: expected a string",
                "e.json:7: entity `User::\"b\"`: `attrs`: `ok` is missing",
                "e.json:7: entity `User::\"b\"`: `parents`: expected a list",
            ],
        ),
        // policies in the JSON form
        (
            "policies/p.cedar.json",
            "{\"effect\": \"allow\", \"principal\": {\"op\": \"All\"}, \"action\": {\"op\": \"all\"}, \"resource\": {},\n\"conditions\": {}}",
            &[
                "p.cedar.json:1: this is not a policy in Cedar's JSON form: `effect`: expected",
                "p.cedar.json:1: this is not a policy in Cedar's JSON form: `resource`: `op` is missing",
                "p.cedar.json:1: this is not a policy in Cedar's JSON form: `conditions`: expected a list",
            ],
        ),
    ];
    for (name, text, expected) in cases {
        let dir = bundle(&[("policies/s.cedarschema", SCHEMA), ("policies/t.cedar", TEMPLATES), (name, text)]);
        let ran = palisade(&["validate", "-p", &at(&dir)]);
        assert_eq!(ran.exit, Exit::Invalid, "{text}{}", ran.err);
        let all = format!("{}{}", ran.out, ran.err);
        let lines = all.lines().filter(|line| line.contains(name.rsplit('/').next().unwrap()));
        // what is only warned of is not the question
        let shown: Vec<String> = lines.filter(|line| !line.contains("warning:")).map(without_column).collect();
        assert_eq!(shown.len(), expected.len(), "{text}{all}");
        for expected in *expected {
            assert!(shown.iter().any(|line| line.contains(expected)), "{text}: {expected}\n{all}");
        }
    }
}

/// A finding without the column behind its line.
fn without_column(line: &str) -> String {
    let (place, message) = line.split_once(": ").unwrap_or((line, ""));
    let parts: Vec<&str> = place.split(':').collect();
    format!("{}: {message}", parts.get(..2).unwrap_or(&parts).join(":"))
}
