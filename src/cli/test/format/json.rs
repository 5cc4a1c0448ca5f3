//! Reports for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::test::mutate;
use crate::cli::test::report::{Got, Report, TestResult};
use crate::cli::why;

pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let mut document = json!({
        "passed": report.passed(),
        "failed": report.failed(),
        "not_run": report.not_run,
        "not_selected": report.unselected,
        "tests": report.results.iter().map(test).collect::<Vec<_>>(),
    });
    if let Some(mutation) = &report.mutation {
        document["mutation"] = mutate::json(mutation);
    }
    serde_json::to_writer_pretty(&mut *to, &document)?;
    writeln!(to)
}

fn test(result: &TestResult) -> Value {
    let mut test = json!({
        "file": result.path,
        "id": result.id(),
        "name": result.name,
        "passed": result.passed(),
        "got": got(&result.got),
        "seconds": result.took.as_secs_f64(),
    });
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            test[key] = value;
        }
    };
    set("line", result.line.map(Value::from));
    set("why", result.why.as_deref().map(Value::from));
    set("problems", (!result.passed()).then(|| json!(result.faults)));
    set(
        "expected",
        result.check.as_ref().map(|check| {
            let mut expected = json!({"decision": check.expect.to_string()});
            if let Some(reasons) = &check.reasons {
                expected["reason"] = json!(reasons.ids);
            }
            if let Some(errors) = check.errors {
                expected["num_errors"] = errors.into();
            }
            expected
        }),
    );
    set(
        "request",
        result.check.as_ref().filter(|_| !result.passed()).map(|check| {
            let request = &check.request;
            json!({
                "principal": request.principal.to_string(),
                "action": request.action.to_string(),
                "resource": request.resource.to_string(),
                "context": request.context.to_json(),
            })
        }),
    );
    set("explanation", result.explanation.as_deref().map(why::json));
    test
}

fn got(got: &Got) -> Value {
    match got {
        Got::Decision(decision) => {
            let mut got = json!({"decision": got.word(), "reason": decision.reasons.iter().map(|id| &**id).collect::<Vec<_>>(), "errors": decision.errors});
            if let Some(denied) = &decision.denied_by {
                got["denied_by"] = json!(denied);
            }
            got
        }
        Got::Refused(error) => json!({"decision": "error", "code": error.code, "message": error.message}),
        Got::Broken(message) => json!({"decision": "broken", "message": message}),
    }
}
