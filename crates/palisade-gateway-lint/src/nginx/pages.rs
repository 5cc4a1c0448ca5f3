//! `error_page`: where errors go, and whether one of the check becomes a yes.

use crate::directive::Directive;
use crate::nginx::known::Known;
use crate::nginx::scope::{Block, Server};
use crate::nginx::{pass, target};
use crate::report::Report;

pub(super) fn lint(server: &Server<'_>, known: &Known<'_>, report: &mut Report<'_>) {
    // what a page itself is sent through asks again
    let asks = |block: &Block<'_>| pass::passes(block).is_none() || target::of_sidecar(block) || block.asks().is_some();
    let all_ask = server.blocks.iter().all(asks);
    for block in &server.blocks {
        let check = known.answers_one(block);
        // a page of the server counts for its check too
        let pages = if check { block.all("error_page") } else { own(block) };
        // an answer of the sidecar is no error of nginx, unless `proxy_intercept_errors` makes it one
        let intercepts = block.nearest("proxy_intercept_errors").is_some_and(|set| set.argument(1) == "on");
        let concerns = |page: &Directive| {
            !check || intercepts || page.words.iter().any(|word| matches!(word.as_str(), "500" | "502" | "503" | "504"))
        };
        for page in pages.into_iter().filter(|page| changes_status(page) && concerns(page)) {
            if answers(server, page, check, all_ask, known) {
                continue;
            }
            report.warn(
                "nginx-error-page",
                page.at,
                "an error of the check must not become an answer that lets the request pass",
                "leave errors of the check alone, or answer them with a redirect",
            );
        }
    }
}

fn own<'t>(block: &Block<'t>) -> Vec<&'t Directive> {
    block.body().iter().filter(|directive| directive.name() == "error_page").collect()
}

/// Whether an `error_page` may answer an error with a success: `=200`, or `=` for whatever the page says. A page that
/// keeps the status, as every installation has one for 500, makes nothing pass.
fn changes_status(page: &Directive) -> bool {
    page.words.iter().any(|word| word == "=" || word.starts_with("=2"))
}

/// Whether an error only becomes an answer of nginx itself: of the check's own, one that is no success.
fn answers(server: &Server<'_>, page: &Directive, check: bool, all_ask: bool, known: &Known<'_>) -> bool {
    let success = page.words.iter().any(|word| word.starts_with("=2"));
    let Some(to) = page.words.last() else { return false };
    if to.contains("://") || to.starts_with("$scheme") {
        return !success;
    }
    // the request itself again asks again
    let local = to.starts_with('/') || matches!(to.as_str(), "$uri" | "$request_uri" | "$document_uri");
    let Some(to) = server.page(to) else {
        // the page for signing in of another program, say
        let below = server.longest(to.split('?').next().unwrap_or_default());
        let elsewhere = below.is_some_and(|below| pass::passes(below).is_some() && !known.leads_to_checked(below));
        return !check && local && (all_ask || elsewhere);
    };
    let refuses = to.own("return").is_some_and(|answer| !answer.argument(1).starts_with('2') && answer.words.len() > 1);
    if check { refuses && !success } else { to.asks().is_some() || !pass::pass_on(to.body()) }
}
