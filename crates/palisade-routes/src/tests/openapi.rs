//! OpenAPI documents: every construct is held exactly, or its operation is refused by name and the rest loads.

use super::*;

/// What loading says besides the table: errors, or warnings.
fn read(document: &str) -> Result<(RouteTable, Vec<String>), Vec<String>> {
    let files = [("d.yaml".to_owned(), document.to_owned())];
    let shown = |found: Vec<palisade_engine::model::Diagnostic>| {
        found.into_iter().map(|p| format!("{}: {}", p.line.unwrap_or(0), p.message)).collect::<Vec<_>>()
    };
    match compile(&files, Some(&facts())) {
        Ok((table, warnings)) => Ok((table, shown(warnings))),
        Err(errors) => Err(shown(errors)),
    }
}

const HEAD: &str = "openapi: 3.1.0\nx-palisade: {namespace: N, hosts: [a.test]}\n";

/// A document whose operation `view` has the path parameter `p`, written in YAML's flow style.
fn with(parameter: &str) -> String {
    format!(
        r##"{HEAD}paths:
  /d/{{p}}:
    get:
      operationId: view
      parameters: [{parameter}]
      x-palisade: {{resource: "Device::{{path.p}}"}}
  /rest: {{get: {{x-palisade: {{public: true}}}}}}
components:
  schemas:
    Kind: {{type: string, enum: [big, small]}}
    Chained: {{$ref: "#/components/schemas/Kind"}}
    "a/b~c": {{type: string, const: it}}
    Loop: {{$ref: "#/components/schemas/Loop"}}
    Tree: {{allOf: [{{$ref: "#/components/schemas/Tree"}}]}}
    Wide: {{anyOf: [{{type: integer, minimum: 1}}, {{$ref: "#/components/schemas/Kind"}}]}}
  parameters:
    P: {{name: p, in: path, required: true, schema: {{$ref: "#/components/schemas/Chained"}}}}
    Q: {{$ref: "#/components/parameters/P"}}
"##
    )
}

fn p(schema: &str) -> String {
    with(&format!("{{name: p, in: path, required: true, schema: {schema}}}"))
}

#[test]
fn forms_of_parameters_are_held_exactly() {
    for (schema, good, bad) in [
        ("{}", &["x", "7", "a%20b"][..], &[""][..]),
        ("true", &["x"], &[]),
        ("{type: string}", &["x", "7", "true"], &[""]),
        ("{type: string, description: d, example: e, x-y: 1, nullable: true, deprecated: true}", &["x"], &[]),
        ("{type: integer}", &["7", "0", "-7"], &["x", "07", "+7", "7.0", "7.5", "1e3", "-0", "%207"]),
        ("{type: integer, format: int32}", &["2147483647", "-2147483648"], &["2147483648", "x"]),
        ("{type: integer, format: int64}", &["9223372036854775807"], &["9223372036854775808"]),
        ("{type: integer}", &["9007199254740991", "-9007199254740991"], &["9007199254740992", "9007199254740993"]),
        ("{type: number}", &["9007199254740991", "0.1"], &["9007199254740992", "-9007199254740993", "1e16"]),
        ("{type: number, format: double}", &["0.100000001"], &["9007199254740992", "9007199254740993"]),
        ("{type: number, format: float}", &["0.1", "16777216", "-2.5"], &["0.100000001", "16777217", "0.10000000149"]),
        ("{allOf: [{type: integer}, {minimum: 3}]}", &["9007199254740991"], &["9007199254740993"]),
        ("{type: integer, minimum: 1, maximum: 9}", &["1", "9"], &["0", "10", "-1"]),
        ("{type: integer, exclusiveMinimum: 1, exclusiveMaximum: 9}", &["2", "8"], &["1", "9"]),
        ("{type: integer, minimum: 1, exclusiveMinimum: true}", &["2"], &["1"]),
        ("{type: integer, multipleOf: 5}", &["5", "0", "-10"], &["6"]),
        ("{type: number}", &["7", "7.5", "-0.25"], &["x", "7.50", "1e3", ".5"]),
        ("{type: number, format: double, maximum: 1.5}", &["1.5", "1"], &["1.6", "2"]),
        ("{type: boolean}", &["true", "false"], &["True", "1", "yes"]),
        ("{enum: [only]}", &["only"], &["onl", "other"]),
        ("{type: string, enum: [a, b]}", &["a", "b"], &["c", "A", "a%7Cb"]),
        ("{type: integer, enum: [1, 2]}", &["1", "2"], &["3", "01"]),
        ("{enum: [1, two, true, null]}", &["1", "two", "true"], &["null", "2", "false"]),
        ("{type: string, enum: ['a|b', 'c{d}', '*']}", &[], &["a", "b", "c", "c{d", "d"]),
        ("{type: string, enum: [int, uuid]}", &["int", "uuid"], &["7"]),
        ("{const: only}", &["only"], &["other"]),
        ("{const: 7}", &["7"], &["8", "x"]),
        ("{type: [string, 'null']}", &["x"], &[]),
        ("{type: [integer, boolean]}", &["7", "true"], &["x"]),
        ("{type: string, minLength: 2, maxLength: 3}", &["ab", "abc", "%C3%A9%C3%A9"], &["a", "abcd"]),
        ("{type: string, maxLength: 5000}", &["abc"], &[]),
        (
            "{type: string, format: uuid}",
            &["0123abcd-0123-4567-89ab-0123456789ab"],
            &["x", "0123abcd", "0123ABCD-0123-4567-89AB-0123456789AB"],
        ),
        ("{type: string, format: date}", &["2024-02-29"], &["2023-02-29", "x"]),
        (
            "{type: string, format: date-time}",
            &["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.125Z"],
            &[
                "2024-02-29",
                "2024-02-29T00:00:00z",
                "2024-02-29T01:00:00+01:00",
                "2024-02-29T23:59:60Z",
                "2024-02-29T00:00:00.0001Z",
                "x",
            ],
        ),
        ("{type: string, format: ipv4}", &["10.0.0.1"], &["10.0.0.256", "x"]),
        ("{type: string, format: int64}", &["7", "-7"], &["x", "07", "9223372036854775808"]),
        ("{type: string, format: password}", &["x"], &[]),
        ("{$ref: '#/components/schemas/Kind'}", &["big"], &["huge"]),
        ("{$ref: '#/components/schemas/Chained'}", &["small"], &["huge"]),
        ("{$ref: '#/components/schemas/a~1b~0c'}", &["it"], &["x"]),
        ("{$ref: '#/components/schemas/a~1b%7E0c'}", &["it"], &["x"]),
        ("{$ref: '#/components/parameters/P/schema'}", &["big"], &["x"]),
        ("{$ref: '#/components/schemas/Kind', maxLength: 3}", &["big"], &["small", "huge"]),
        ("{$ref: '#/components/schemas/Wide'}", &["1", "big"], &["0", "x"]),
        ("{allOf: [{type: integer}, {minimum: 3}]}", &["3"], &["2", "x"]),
        ("{type: integer, allOf: [{minimum: 3}, {maximum: 5}]}", &["3", "5"], &["2", "6", "x"]),
        ("{allOf: [{type: string, maxLength: 3}, {type: string, minLength: 3}]}", &["abc"], &["ab", "abcd"]),
        ("{anyOf: [{type: integer}, {const: me}]}", &["7", "me"], &["x"]),
        ("{oneOf: [{type: integer, minimum: 3}, {type: integer, maximum: 5}]}", &["2", "6"], &["3", "5", "x"]),
        ("{oneOf: [{type: integer}, {type: string}]}", &["7", "x"], &[]),
    ] {
        let (table, told) = read(&p(schema)).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"));
        assert_eq!(told, [""; 0], "{schema}");
        for text in good {
            assert!(get(&table, &format!("/d/{text}")).starts_with("view Device::"), "{schema} {text}");
        }
        for text in bad {
            let found = get(&table, &format!("/d/{text}"));
            assert!(["refuse no_route", "refuse ambiguous_path"].contains(&&*found), "{schema} {text}: {found}");
        }
        assert_eq!(get(&table, "/rest"), "public", "{schema}");
    }
    // a word is one word, whatever the language of routes makes of its characters
    let allowed = p("{type: string, enum: ['a|b', 'c/d']}")
        .replace("x-palisade: {resource", "x-palisade: {allow_paths: [raw_character, encoded_slash], resource");
    let (table, _) = read(&allowed).unwrap();
    assert_eq!(get(&table, "/d/a|b"), "view Device::\"a|b\"");
    assert_eq!(get(&table, "/d/a"), "refuse no_route");
    assert_eq!(get(&table, "/d/c%2Fd"), "view Device::c/d");
}

#[test]
fn what_no_segment_is_held_to_refuses_its_operation_and_the_rest_loads() {
    let schema = |schema: &str| format!("{{name: p, in: path, required: true, schema: {schema}}}");
    for (parameter, reason) in [
        (schema("{type: string, pattern: '^a'}"), "`pattern`"),
        (schema("{type: string, format: email}"), "the format `email`"),
        (schema("{type: integer, format: unix-time}"), "the format `unix-time`"),
        (schema("{format: uuid}"), "`format` and no `type`"),
        (schema("{minimum: 3}"), "`minimum` and no `type`"),
        (schema("{maxLength: 3}"), "`maxLength` and no `type`"),
        (schema("{type: array, items: {type: string}}"), "of type `array`"),
        (schema("{type: [string, object]}"), "of type `object`"),
        (schema("{properties: {a: {}}}"), "`properties` and no `type`"),
        (schema("{type: 'null'}"), "of type `null`"),
        (schema("{type: strnig}"), "no type `strnig`"),
        (schema("{type: 7}"), "neither a text nor a list"),
        (schema("{type: string, not: {const: me}}"), "`not`"),
        (schema("{type: string, if: {const: me}}"), "`if`"),
        (schema("{$dynamicRef: '#x'}"), "`$dynamicRef`"),
        (schema("{$id: 'https://x', type: string}"), "`$id`"),
        (schema("{enum: []}"), "none of its values"),
        (schema("{enum: [null]}"), "none of its values"),
        (schema("{type: string, enum: [1]}"), "`1` among its values"),
        (schema("{type: integer, const: '1'}"), "among its values"),
        (schema("false"), "`false`"),
        (schema("7"), "not an object"),
        (schema("{type: string, maxLength: 0}"), "which no segment has"),
        (schema("{type: string, maxLength: many}"), "not a count"),
        (schema("{type: integer, multipleOf: 0}"), "`multipleOf`"),
        (schema("{allOf: []}"), "not a list of schemas"),
        (schema("{allOf: [{type: string}, {type: array}]}"), "of type `array`"),
        (schema("{type: integer, allOf: [{type: string}]}"), "exclude one another"),
        (schema("{$ref: '#/components/schemas/Loop'}"), "in a circle"),
        (schema("{$ref: '#/components/schemas/Tree'}"), "in a circle"),
        (schema("{$ref: '#/components/schemas/None'}"), "there is no `#/components/schemas/None`"),
        (schema("{$ref: 'other.yaml#/Kind'}"), "`other.yaml#/Kind` is in another document"),
        (schema("{$ref: 'https://x/y.json'}"), "is in another document"),
        (schema("{$ref: '#Kind'}"), "is an anchor"),
        (schema("{$ref: 7}"), "not a text"),
        ("{name: p, in: path, required: true}".to_owned(), "neither `schema` nor `content`"),
        ("{name: p, in: path, content: {application/json: {schema: {}}}}".to_owned(), "`content`"),
        ("{name: p, in: path, style: matrix, schema: {type: string}}".to_owned(), "`style` is `matrix`"),
        ("{name: p, in: path, style: label, schema: {type: string}}".to_owned(), "`style` is `label`"),
        ("{name: p, in: path, allowReserved: true, schema: {type: string}}".to_owned(), "`allowReserved`"),
        ("{name: q, in: path, schema: {type: string}}".to_owned(), "no parameter of the path is called `p`"),
        ("{name: p, in: query, schema: {type: string}}".to_owned(), "no parameter of the path is called `p`"),
        ("{$ref: 'other.yaml#/P'}".to_owned(), "is in another document"),
        ("{$ref: '#/components/parameters/None'}".to_owned(), "there is no"),
        ("{name: p, schema: {}}".to_owned(), "no `name` or no `in`"),
        ("{name: p, in: path, schema: {}}, {name: p, in: path, schema: {type: integer}}".to_owned(), "is there twice"),
    ] {
        let document = with(&parameter);
        let (table, told) = read(&document).unwrap_or_else(|errors| panic!("{parameter}: {errors:?}"));
        assert_eq!(told.len(), 1, "{parameter}: {told:?}");
        assert!(told[0].starts_with("5: `GET /d/{p}` (`view`) is not mapped: "), "{told:?}");
        assert!(told[0].contains(reason), "{parameter}: {told:?}");
        for text in ["x", "7", "true", "me"] {
            assert_eq!(get(&table, &format!("/d/{text}")), "refuse no_route", "{parameter}");
        }
        assert_eq!(get(&table, "/rest"), "public", "{parameter}");
        // all or nothing, where the file says so
        let strict = document.replacen("x-palisade: {", "x-palisade: {strict: true, ", 1);
        let errors = read(&strict).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(reason)), "{errors:?}");
    }
    for parameter in ["{$ref: '#/components/parameters/P'}", "{$ref: '#/components/parameters/Q'}"] {
        let (table, told) = read(&with(parameter)).unwrap();
        assert_eq!(told, [""; 0]);
        assert_eq!(get(&table, "/d/big"), "view Device::big");
        assert_eq!(get(&table, "/d/huge"), "refuse no_route");
    }
}

#[test]
fn schemas_that_double_stay_bounded() {
    let mut schemas = "    S0: {type: string, maxLength: 3}\n".to_owned();
    for n in 1..60 {
        let of = format!("{{$ref: '#/components/schemas/S{}'}}", n - 1);
        schemas.push_str(&format!("    S{n}: {{allOf: [{of}, {of}]}}\n"));
    }
    for (last, reason) in [(12, "more than 512 parts"), (59, "deep in one another")] {
        let document = p(&format!("{{$ref: '#/components/schemas/S{last}'}}"))
            .replace("  schemas:\n", &format!("  schemas:\n{schemas}"));
        let (_, told) = read(&document).unwrap();
        assert!(told[0].contains(reason), "{told:?}");
    }
}

#[test]
fn paths_and_operations_of_all_kinds() {
    let document = format!(
        r##"{HEAD}paths:
  /d/{{id}}:
    parameters: [{{name: id, in: path, schema: {{type: integer}}}}]
    get: {{operationId: view, x-palisade: {{resource: "Device::{{path.id}}"}}}}
    post:
      operationId: edit
      parameters: [{{name: id, in: path, schema: {{type: string}}}}]
      x-palisade: {{resource: "Device::{{path.id}}"}}
    put: {{operationId: edit}}
  /d/me:
    get: {{operationId: me}}
  /d/{{id}}.json:
    parameters: [{{name: id, in: path, schema: {{}}}}]
    post: {{operationId: file, x-palisade: {{public: true}}}}
  /d/{{a}}...{{b}}:
    parameters: [{{name: a, in: path, schema: {{}}}}, {{name: b, in: path, schema: {{}}}}]
    get: {{operationId: compare, x-palisade: {{public: true}}}}
  /f/{{id}}:
    parameters: [{{name: id, in: path, schema: {{}}}}]
    get: {{operationId: view, x-palisade: {{resource: "Device::{{path.id}}"}}}}
    put: {{operationId: edit, x-palisade: {{resource: "Device::{{path.id}}"}}}}
  /f/{{id}}#share:
    parameters: [{{name: id, in: path, schema: {{}}}}]
    put: {{operationId: share, x-palisade: {{resource: "Device::{{path.id}}"}}}}
  /s/{{x}}:
    get: {{operationId: one, parameters: [{{name: x, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /s/{{y}}:
    get: {{operationId: two, parameters: [{{name: y, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
    post: {{operationId: three, parameters: [{{name: y, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /c/{{e}}/me:
    get: {{operationId: ceme, parameters: [{{name: e, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /c/books/{{id}}:
    get: {{operationId: books, parameters: [{{name: id, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
    put: {{operationId: put, parameters: [{{name: id, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /shared: {{$ref: "#/components/pathItems/~1shared"}}
  /both: {{$ref: "#/components/pathItems/~1shared", get: {{}}}}
  /else: {{$ref: "paths.yaml#/else"}}
  /{{any}}:
    get: {{operationId: any, parameters: [{{name: any, in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /t/{{id:int}}:
    get: {{operationId: t, parameters: [{{name: "id:int", in: path, schema: {{}}}}], x-palisade: {{public: true}}}}
  /r/{{path*}}:
    get: {{operationId: r, parameters: [{{name: path, in: path, schema: {{type: string}}}}], x-palisade: {{public: true}}}}
  /i/{{path*}}:
    get: {{operationId: i, parameters: [{{name: path, in: path, schema: {{type: integer}}}}], x-palisade: {{public: true}}}}
components:
  pathItems:
    /shared: {{get: {{operationId: shared, x-palisade: {{public: true}}}}}}
"##
    );
    let (table, told) = read(&document).unwrap();
    for (named, reason) in [
        ("`POST /d/{id}.json` (`file`)", "a capture is a whole segment"),
        ("`GET /d/{a}...{b}` (`compare`)", "a capture is a whole segment"),
        ("`PUT /f/{id}` (`edit`)", "`PUT /f/{id}#share` (`share`) is for the same requests"),
        ("`PUT /f/{id}#share` (`share`)", "a query or a fragment"),
        ("`GET /s/{x}` (`one`)", "`GET /s/{y}` (`two`) is for the same requests"),
        ("`GET /s/{y}` (`two`)", "`GET /s/{x}` (`one`) is for the same requests"),
        ("`GET /both`", "both `$ref` and `get`"),
        ("`DELETE /else`", "`paths.yaml#/else` is in another document"),
        ("`GET /t/{id:int}` (`t`)", "the name of a capture"),
        ("`GET /i/{path*}` (`i`)", "is held to nothing"),
    ] {
        let found = told.iter().any(|told| told.contains(&format!("{named} is not mapped: ")) && told.contains(reason));
        assert!(found, "{named}: {told:#?}");
    }
    assert!(told.iter().any(|told| told.contains("both for requests such as `/c/books/me`")), "{told:#?}");
    assert!(told.iter().any(|told| told.contains("2 operations have no `x-palisade`")), "{told:#?}");
    for (request, expected) in [
        ("GET /d/7", "view Device::7"),
        ("GET /d/x", "refuse no_route"),
        // a parameter of the operation replaces that of the path
        ("POST /d/x", "edit Device::x"),
        ("PUT /d/7", "refuse no_route"),
        // what is not mapped is never taken for something wider
        ("GET /d/me", "refuse no_route"),
        ("POST /d/me", "refuse no_route"),
        ("POST /d/x.json", "refuse no_route"),
        ("POST /d/x.JSON", "refuse no_route"),
        ("POST /d/.json", "edit Device::.json"),
        ("POST /d/a...b", "refuse no_route"),
        ("GET /f/x", "view Device::x"),
        ("PUT /f/x", "refuse no_route"),
        ("GET /s/x", "refuse no_route"),
        ("POST /s/x", "public"),
        ("GET /c/books/7", "public"),
        ("GET /c/films/me", "public"),
        ("GET /c/books/me", "refuse no_route"),
        ("PUT /c/books/me", "public"),
        ("GET /shared", "public"),
        ("GET /both", "refuse no_route"),
        ("GET /else", "refuse no_route"),
        ("POST /else", "refuse no_route"),
        ("GET /other", "public"),
        ("HEAD /other", "public"),
        ("GET /t/7", "refuse no_route"),
        ("GET /r/a/b", "public"),
        ("GET /i/7", "refuse no_route"),
    ] {
        assert_eq!(
            ask(&table, request, &[("Content-Type", "application/json")], Body::Whole(b"")),
            expected,
            "{request}"
        );
    }
    assert!(table.routes().iter().all(|route| !route.to_string().starts_with("deny")));
    assert!(
        table.unmapped().iter().any(|route| route.to_string().contains("`POST /d/{id}.json` (`file`) is not mapped"))
    );
}

#[test]
fn a_file_of_routes_may_map_what_the_document_cannot() {
    let document = p("{type: string, pattern: x}");
    let by_hand = "namespace: N\nhosts: [a.test]\nroutes:\n  - match: GET /d/{id:name}\n    action: view\n    resource: Device::{path.id}\n  - match: GET /d/{id}\n    deny: no name\n";
    let files = [("d.yaml".to_owned(), document), ("r.yaml".to_owned(), by_hand.to_owned())];
    let (table, _) = compile(&files, Some(&facts())).unwrap();
    assert_eq!(get(&table, "/d/x"), "view Device::x");
    assert_eq!(get(&table, "/d/a%20b"), "refuse denied_by_route");
}

/// The hosts and paths on which the operation of a document is mapped. `{}` stands for what is tried.
fn places(document: &str) -> (Vec<String>, Vec<String>) {
    let (table, told) = read(document).unwrap_or_else(|errors| panic!("{document}\n{errors:?}"));
    let mut found = Vec::new();
    for host in ["a.test", "b.test", "c.test", "eu.test"] {
        for path in ["/x", "/v1/x", "/v2/x"] {
            let headers = Vec::<(String, String)>::new();
            let facts = RequestFacts {
                method: "GET",
                target: path.as_bytes(),
                host: Some(host),
                headers: &headers,
                body: Body::NotForwarded,
                peer: Peer::default(),
            };
            if table.find(facts).is_ok() {
                found.push(format!("{host}{path}"));
            }
        }
    }
    (found, told)
}

#[test]
fn servers_say_where_operations_are() {
    let public = "x-palisade: {public: true}";
    for (root, ours, item, operation, expected, told) in [
        // a host is a host, with and without a path
        ("[{url: 'https://a.test'}]", "", "", "", &["a.test/x"][..], ""),
        ("[{url: 'https://A.test:8443/v1/'}]", "", "", "", &["a.test/v1/x"], ""),
        ("[{url: '//a.test/v1'}]", "", "", "", &["a.test/v1/x"], ""),
        ("[{url: 'https://a.test/v1'}, {url: 'https://b.test/v2'}]", "", "", "", &["a.test/v1/x", "b.test/v2/x"], ""),
        ("[{url: 'https://a.test/v1'}]", "hosts: [b.test]", "", "", &["b.test/v1/x"], ""),
        ("[{url: 'https://a.test/v1'}]", "prefix: /v2", "", "", &["a.test/v2/x"], ""),
        ("[{url: 'https://a.test/v1'}]", "hosts: [b.test], prefix: /v2", "", "", &["b.test/v2/x"], ""),
        ("[{url: '{anything}'}]", "hosts: [b.test], prefix: /v2", "", "", &["b.test/v2/x"], ""),
        // none is named
        (
            "[{url: /v1}]",
            "",
            "",
            "",
            &["a.test/v1/x", "b.test/v1/x", "c.test/v1/x", "eu.test/v1/x"],
            "are for all hosts",
        ),
        ("[{url: /v1}]", "hosts: '*'", "", "", &["a.test/v1/x", "b.test/v1/x", "c.test/v1/x", "eu.test/v1/x"], ""),
        ("[{url: /v1}]", "hosts: [a.test]", "", "", &["a.test/v1/x"], ""),
        ("[]", "hosts: [a.test]", "", "", &["a.test/x"], ""),
        // the nearest counts
        ("[{url: 'https://a.test'}]", "", "[{url: 'https://b.test/v1'}]", "", &["b.test/v1/x"], ""),
        ("[{url: 'https://a.test'}]", "", "", "[{url: 'https://b.test/v1'}]", &["b.test/v1/x"], ""),
        ("[{url: 'https://a.test'}]", "", "[{url: 'https://c.test'}]", "[{url: 'https://b.test'}]", &["b.test/x"], ""),
        ("[{url: 'https://a.test'}]", "", "", "[{url: /v2}]", &["a.test/v2/x"], ""),
        // what the file says of hosts, it says of those of the document's servers
        ("[{url: 'https://a.test'}]", "hosts: [b.test]", "", "[{url: 'https://a.test/v2'}]", &["b.test/v2/x"], ""),
        ("[{url: 'https://a.test'}]", "hosts: [b.test]", "", "[{url: 'https://c.test/v2'}]", &["c.test/v2/x"], ""),
        (
            "[{url: 'https://a.test'}]",
            "",
            "",
            "[{url: 'https://b.test'}, {url: 'https://c.test/v1'}]",
            &["b.test/x", "c.test/v1/x"],
            "",
        ),
        // variables
        (
            "[{url: 'https://{h}.test/{v}', variables: {h: {default: a, enum: [a, b]}, v: {default: v1, enum: [v1, v2]}}}]",
            "",
            "",
            "",
            &["a.test/v1/x", "a.test/v2/x", "b.test/v1/x", "b.test/v2/x"],
            "",
        ),
        (
            "[{url: 'https://{h}.test', variables: {h: {default: eu}}}]",
            "",
            "",
            "",
            &["eu.test/x"],
            "only its default `eu` is mapped",
        ),
        (
            "[{url: 'https://a.test:{port}/v1', variables: {port: {enum: ['443', '8443'], default: '8443'}}}]",
            "",
            "",
            "",
            &["a.test/v1/x"],
            "",
        ),
        (
            "[{url: '{s}://a.test', variables: {s: {enum: [http, https], default: https}}}]",
            "",
            "",
            "",
            &["a.test/x"],
            "",
        ),
        // an operation that cannot be placed is not mapped
        ("[{url: 'https://a.test'}]", "", "", "[{url: 'https://{h}/v1'}]", &[], "not declared: `h`"),
        ("[{url: 'https://a.test'}]", "", "", "[{url: v1}]", &[], "relative to where the document"),
        ("[{url: 'https://a.test'}]", "", "", "[{url: 'ftp://a.test'}]", &[], "not reached by HTTP"),
        ("[{url: 'https://a.test'}]", "", "", "[{url: 'https://a b'}]", &[], "no host"),
        ("[{url: 'https://a.test'}]", "", "", "[]", &[], "is empty"),
        ("[{url: 'https://a.test'}]", "", "", "[{url: 'https://a.test/a/../b'}]", &[], "a path that is not valid"),
        ("[{url: 'https://a.test'}]", "", "[{url: 'https://a.test?x'}]", "", &[], "a query"),
    ] {
        let servers = |list: &str| if list.is_empty() { String::new() } else { format!("servers: {list}, ") };
        let document = format!(
            "openapi: 3.0.3\nservers: {root}\nx-palisade: {{{ours}}}\npaths:\n  /x: {{{}get: {{{}{public}}}}}\n",
            servers(item),
            servers(operation),
        );
        let (found, warnings) = places(&document);
        assert_eq!(found, expected, "{document}\n{warnings:?}");
        assert_eq!(warnings.is_empty(), told.is_empty(), "{document}\n{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains(told)), "{document}\n{warnings:?}");
    }
    // the document's own servers are those of every operation
    for (servers, message) in [
        ("[{url: 'https://{h}/v1'}]", "3: the server `https://{h}/v1` has variables"),
        ("[{url: v1}]", "relative to where the document"),
        ("[{url: 'https://a.test'}, {url: /v1}]", "names none"),
        ("[{}]", "has no `url`"),
        ("[{url: 'https://{h}.test', variables: {h: {default: c, enum: [a, b]}}}]", "not among its values"),
        ("[{url: 'https://{h}.test', variables: {h: {enum: []}}}]", "`enum` without values"),
    ] {
        let document = format!("openapi: 3.0.3\ninfo: {{}}\nservers: {servers}\npaths:\n  /x: {{get: {{{public}}}}}\n");
        let errors = read(&document).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(message)), "{servers}: {errors:?}");
    }
}

#[test]
fn what_is_no_document_that_is_read_says_so() {
    for (document, message) in [
        ("swagger: \"2.0\"\npaths: {}", "this is Swagger 2.0; OpenAPI 3.0 and 3.1 are read"),
        ("swagger: 2.0\npaths: {}", "this is Swagger 2.0"),
        ("openapi: 4.0.0", "this is OpenAPI `4.0.0`"),
        ("openapi: 3.10.0", "this is OpenAPI `3.10.0`"),
        ("openapi: 3.1.0\npaths: []", "`paths` is not a mapping"),
        ("openapi: 3.1.0\npaths: {x: {}}", "does not begin with `/`"),
        ("openapi: 3.1.0\npaths: {/x: {x-palisade: {public: true}}}", "not at a path"),
        ("openapi: 3.1.0\nx-palisade: {strict: 1}", "`true` or `false`"),
        ("openapi: 3.1.0\nx-palisade: {publik: 1}", "unknown key `publik`"),
        ("{\"openapi\": \"3.1.0\", \"openapi\": \"3.1.0\"}", "duplicate key `openapi`"),
    ] {
        let errors = read(document).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(message)), "{document}: {errors:?}");
    }
    let later = "openapi: 3.2.0\nx-palisade: {hosts: [a.test]}\npaths:\n  /x:\n    query: {x-palisade: {public: true}}\n    additionalOperations:\n      COPY: {x-palisade: {public: true}}\n";
    let (table, told) = read(later).unwrap();
    assert_eq!(told, [""; 0]);
    assert_eq!(ask(&table, "QUERY /x", &[], Body::NotForwarded), "public");
    assert_eq!(ask(&table, "COPY /x", &[], Body::NotForwarded), "public");
    let (table, told) = read(&later.replace("3.2.0", "3.1.0")).unwrap();
    assert!(told[0].contains("`query` at `/x` is not an operation"), "{told:?}");
    assert_eq!(ask(&table, "QUERY /x", &[], Body::NotForwarded), "refuse no_route");
}
