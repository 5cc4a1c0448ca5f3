//! Evaluations that share their defaults: each part of the defaults is mapped once, and lent to every evaluation that
//! takes it.
//!
//! What an evaluation costs grows with its parts, also with those that it only takes. So what all evaluations of a
//! request take together is bounded.

use std::sync::Arc;
use std::time::Instant;

use crate::decide::{Call, CheckError};
use crate::telemetry::Transport;
use crate::telemetry::traces::Trace;
use crate::transport::Services;
use crate::transport::authzen::EvaluationBody;
use crate::transport::authzen::map::{self, Circumstances, Doing, Party};
use crate::transport::authzen::wire::{self, Partial};
use crate::transport::explain;
use crate::transport::respond::Problem;
use palisade_engine::model::{AccessRequest, RequestError, Uid, Value};
use palisade_engine::{Dropped, Snapshot};

/// How much all evaluations may take of the defaults together, in bytes, about.
const MOST_TAKEN: usize = 64 << 20;

/// The outcome of one evaluation.
pub(super) type Answered = Result<EvaluationBody, Problem>;

/// What all evaluations of a request are decided with.
pub(super) struct Asker<'s> {
    pub(super) services: &'s Services,
    pub(super) snapshot: &'s Arc<Snapshot>,
    pub(super) now: i64,
    /// Until when the reference may decide, where it has to.
    pub(super) deadline: Instant,
    pub(super) request_id: &'s str,
    pub(super) trace: Option<&'s Trace>,
}

/// The defaults, mapped. A part that cannot be mapped fails the evaluations that take it.
pub(super) struct Defaults<'a> {
    subject: Option<Result<Party<'a>, RequestError>>,
    action: Option<Result<Doing<'a>, RequestError>>,
    resource: Option<Result<Party<'a>, RequestError>>,
    /// As it was written: the action decides what happens to it.
    context: Value<'a>,
    context_weight: usize,
    /// The context for the last action that took it without properties, or for the action of the defaults.
    circumstances: Option<(Uid<'a>, Circumstances<'a>)>,
    own_circumstances: Option<Circumstances<'a>>,
    taken: usize,
}

impl<'a> Defaults<'a> {
    pub(super) fn new(asker: &Asker<'_>, defaults: Partial<'a>) -> Self {
        let settings = &asker.services.authzen;
        let party = |entity, role| map::party(settings, asker.snapshot, entity, role);
        let context = defaults.context.unwrap_or(Value::empty_object());
        Self {
            subject: defaults.subject.map(|subject| party(subject, "subject")),
            action: defaults.action.map(|action| map::action(settings, action)),
            resource: defaults.resource.map(|resource| party(resource, "resource")),
            context_weight: context.weight(),
            context,
            circumstances: None,
            own_circumstances: None,
            taken: 0,
        }
    }

    /// Answers one evaluation, with the parts that it lacks taken whole from the defaults, and says why if `explain`. The
    /// inner error is the evaluation's own.
    ///
    /// # Errors
    /// If no evaluation of the request can be answered any more.
    pub(super) async fn answer(
        &mut self,
        asker: &Asker<'_>,
        item: Partial<'a>,
        explain: bool,
    ) -> Result<Answered, Problem> {
        let failed =
            |error: RequestError| Ok(Ok(EvaluationBody::failed(asker.snapshot, &error.into(), Dropped::default())));
        let missing = |name: &str| Ok(Err(wire::missing(name).into()));
        let settings = &asker.services.authzen;
        for (name, there) in [
            ("subject", item.subject.is_some() || self.subject.is_some()),
            ("action", item.action.is_some() || self.action.is_some()),
            ("resource", item.resource.is_some() || self.resource.is_some()),
        ] {
            if !there {
                return missing(name);
            }
        }
        let mut own_action = item.action.map(|action| map::action(settings, action));
        let uid = match own_action.as_ref().or(self.action.as_ref()) {
            Some(Ok(action)) => action.uid.clone(),
            Some(Err(error)) => return failed(error.clone()),
            None => return missing("action"),
        };
        let mut own_context = None;
        let properties = match &mut own_action {
            Some(Ok(own)) => Some(std::mem::replace(&mut own.properties, Value::empty_object())),
            _ => None,
        };
        let plain = properties.as_ref().is_some_and(|own| own.as_object().is_none_or(<[_]>::is_empty));
        let circumstances = match (item.context, properties) {
            (Some(context), Some(properties)) => {
                own_context.insert(map::context(asker.snapshot, &uid, context, properties))
            }
            (Some(context), None) => {
                let properties = self.default_properties();
                self.taken += properties.weight();
                own_context.insert(map::context(asker.snapshot, &uid, context, properties))
            }
            (None, Some(properties)) if !plain => {
                self.taken += self.context_weight;
                own_context.insert(map::context(asker.snapshot, &uid, self.context.clone(), properties))
            }
            (None, Some(properties)) => {
                if self.circumstances.as_ref().is_none_or(|(action, _)| *action != uid) {
                    self.taken += self.context_weight;
                    let mapped = map::context(asker.snapshot, &uid, self.context.clone(), properties);
                    self.circumstances = Some((uid.clone(), mapped));
                }
                match &mut self.circumstances {
                    Some((_, circumstances)) => {
                        self.taken += circumstances.context.weight();
                        circumstances
                    }
                    None => return Err(Problem::unwritable()),
                }
            }
            (None, None) => {
                if self.own_circumstances.is_none() {
                    let mapped = map::context(asker.snapshot, &uid, self.context.clone(), self.default_properties());
                    self.own_circumstances = Some(mapped);
                }
                match &mut self.own_circumstances {
                    Some(circumstances) => {
                        self.taken += circumstances.context.weight();
                        circumstances
                    }
                    None => return Err(Problem::unwritable()),
                }
            }
        };
        let mut own_subject = item.subject.map(|entity| map::party(settings, asker.snapshot, entity, "subject"));
        let mut own_resource = item.resource.map(|entity| map::party(settings, asker.snapshot, entity, "resource"));
        for (own, default) in [(&own_subject, &self.subject), (&own_resource, &self.resource)] {
            if let (None, Some(Ok(default))) = (own, default) {
                self.taken += default.uid.id.len() + default.overlay.as_ref().map_or(0, |own| own.attributes.weight());
            }
        }
        if self.taken > MOST_TAKEN {
            return Err(Problem::bad_request(
                "batch_too_large",
                "the defaults count once for each evaluation that takes them, and are too large for that many; split it",
            ));
        }
        let subject = match own_subject.as_mut().or(self.subject.as_mut()) {
            Some(Ok(subject)) => subject,
            Some(Err(error)) => return failed(error.clone()),
            None => return missing("subject"),
        };
        let resource = match own_resource.as_mut().or(self.resource.as_mut()) {
            Some(Ok(resource)) => resource,
            Some(Err(error)) => return failed(error.clone()),
            None => return missing("resource"),
        };
        Ok(asker.decide(&uid, (subject, resource), circumstances, explain).await)
    }

    fn default_properties(&self) -> Value<'a> {
        match &self.action {
            Some(Ok(action)) => action.properties.clone(),
            _ => Value::empty_object(),
        }
    }
}

impl Asker<'_> {
    /// Decides one evaluation, whose parts are lent for as long as that takes. What the schema does not know is a denial
    /// that says so, not an error.
    async fn decide<'a>(
        &self,
        action: &Uid<'a>,
        (subject, resource): (&mut Party<'a>, &mut Party<'a>),
        circumstances: &mut Circumstances<'a>,
        wants_why: bool,
    ) -> Answered {
        let mut ignored = circumstances.ignored.clone();
        ignored.add(&subject.ignored);
        ignored.add(&resource.ignored);
        let mut request = AccessRequest::new(subject.uid.clone(), action.clone(), resource.uid.clone());
        request.context = std::mem::replace(&mut circumstances.context, Value::empty_object());
        let (subjects, resources) = (subject.overlay.take(), resource.overlay.take());
        let (lent_subject, lent_resource) = (subjects.is_some(), resources.is_some());
        let mut both = None;
        request.overlays = match (subjects, resources) {
            (Some(one), Some(other)) if one.entity == other.entity => {
                let (one, other) = &*both.insert((one, other));
                vec![map::merge(one.clone(), other.clone())]
            }
            (one, other) => one.into_iter().chain(other).collect(),
        };
        let call = Call { transport: Transport::Authzen, request_id: self.request_id, trace: self.trace };
        let result = self.services.pdp.check_at(self.snapshot, &request, self.now, self.deadline, call).await;
        let shown = match &result {
            Ok(_) if wants_why => {
                Some(Box::pin(explain::shown(self.services, self.snapshot, &request, self.now)).await)
            }
            _ => None,
        };
        circumstances.context = request.context;
        match both {
            Some((one, other)) => (subject.overlay, resource.overlay) = (Some(one), Some(other)),
            None => {
                let mut overlays = request.overlays.into_iter();
                subject.overlay = lent_subject.then(|| overlays.next()).flatten();
                resource.overlay = lent_resource.then(|| overlays.next()).flatten();
            }
        }
        match result {
            Ok(decision) => {
                let mut body = EvaluationBody::decided(&decision, ignored);
                shown.into_iter().for_each(|shown| body.explain(shown));
                Ok(body)
            }
            Err(CheckError::Invalid(mut error)) => {
                error.pointer = in_authzen_words(&error.pointer).to_owned();
                Ok(EvaluationBody::failed(self.snapshot, &error.into(), ignored))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Where the caller wrote what the engine calls by its own names.
fn in_authzen_words(pointer: &str) -> &str {
    match pointer {
        "/principal" => "/subject",
        "/action" => "/action/name",
        other => other,
    }
}
