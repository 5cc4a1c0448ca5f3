//! A change on its way to the state: once, however often it is sent with the same key.

use crate::state::{Applied, Named, Sent};
use crate::transport::Services;
use crate::transport::conditions;
use crate::transport::exchange::Exchange;
use crate::transport::idempotency::{Begun, BodyDigest};
use crate::transport::respond::Problem;

/// What a change became.
pub(super) struct Became {
    pub(super) applied: Applied,
    /// It was made when it was sent before.
    pub(super) again: bool,
}

/// Makes a change of what `named` is, unless it was sent before with the same key and body, and where the request's
/// conditions hold. One with a key goes on if its client leaves, which will ask again what it became.
///
/// # Errors
/// If it is not made, or its key was sent with another body.
pub(super) async fn submit(
    services: &Services,
    exchange: &Exchange,
    body: BodyDigest,
    named: &Named,
    mut sent: Sent,
) -> Result<Became, Problem> {
    let begun = if sent.dry_run { None } else { services.idempotency.begin(exchange, body).await? };
    if let Some(Begun::Again(applied)) = begun {
        return Ok(Became { applied, again: true });
    }
    sent.expected.extend(conditions::expected(exchange.headers(), named)?);
    sent.key = match &begun {
        Some(Begun::First(ticket)) => Some(ticket.key()),
        _ => None,
    };
    let made = services.pdp.state().send(sent)?;
    let Some(Begun::First(ticket)) = begun else { return Ok(Became { applied: made.await?, again: false }) };
    let made = tokio::spawn(async move {
        let applied = made.await;
        if let Ok(applied) = &applied {
            ticket.done(applied);
        }
        applied
    });
    Ok(Became { applied: made.await.map_err(|_| Problem::unwritable())??, again: false })
}
