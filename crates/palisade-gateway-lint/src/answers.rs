//! Who answers the check: the sidecar, and nothing beside it. What else answers 2xx lets everything pass.

use std::collections::HashSet;

/// One address in its common form: without a scheme, and with one name for this machine.
pub(super) fn normal(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest).trim_end_matches('/').to_ascii_lowercase();
    match rest.rsplit_once(':') {
        // to reach any address of this machine is to reach this one
        Some(("localhost" | "[::1]" | "[::]" | "0.0.0.0" | "", port)) => format!("127.0.0.1:{port}"),
        _ => rest,
    }
}

/// Whether an address is the sidecar's, as its port or its name says.
pub(super) fn is_sidecar(address: &str) -> bool {
    has_its_port(address) || address.contains("palisade")
}

fn has_its_port(address: &str) -> bool {
    address.ends_with(":8180") || address.ends_with(":9191")
}

/// What is wrong with the addresses that a check may go to, where these are those of services.
pub(super) fn wrong(check: &[&str], services: &HashSet<String>) -> Option<String> {
    let check: Vec<String> = check.iter().map(|address| normal(address)).collect();
    // the sidecar's own interface may be passed on too
    if let Some(own) = check.iter().find(|address| services.contains(*address) && !has_its_port(address)) {
        return Some(format!("the service itself answers checks at `{own}`: each 2xx of it lets a request pass"));
    }
    let other =
        check.iter().find(|address| !is_sidecar(address)).filter(|_| check.iter().any(|one| is_sidecar(one)))?;
    Some(format!("not only the sidecar answers checks, `{other}` does too: each 2xx of it lets a request pass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidecar_alone_answers() {
        let services: HashSet<String> =
            [normal("http://localhost:9000/"), normal("unix:/run/app.sock"), normal("127.0.0.1:8180")].into();
        for (check, good) in [
            (&["127.0.0.1:8180"][..], true),
            (&["10.0.0.1:8180", "10.0.0.2:8180"], true),
            (&["unix:/run/palisade/a.sock", "127.0.0.1:8180"], true),
            (&["auth.internal:7000"], true),
            (&["auth.internal:7000", "auth.internal:7001"], true),
            (&["127.0.0.1:9000"], false),
            (&["unix:/run/app.sock"], false),
            (&["127.0.0.1:8180", "127.0.0.1:9001"], false),
            (&["127.0.0.1:8180", ":9000"], false),
            (&["0.0.0.0:9000"], false),
            (&["[::]:9000"], false),
        ] {
            assert_eq!(wrong(check, &services).is_none(), good, "{check:?}");
        }
    }
}
