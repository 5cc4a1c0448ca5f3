//! What a review finds: the principals of a tenant, what they are in, what was allowed them, and which grants decided it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use palisade_engine::model::{AccessRequest, RequestError, Uid, Value};
use palisade_engine::{MemberKind, SchemaFacts, Snapshot};

/// Entities that are read at a time.
const PAGE: usize = 10_000;

/// What is reviewed.
#[derive(Debug)]
pub(super) struct Wanted<'w> {
    /// The tenant.
    pub(super) tenant: Uid<'static>,
    /// Only these principals, unless none is named.
    pub(super) principals: Vec<Uid<'static>>,
    /// Only these actions, unless none is named.
    pub(super) actions: Vec<Uid<'static>>,
    /// The context of each question.
    pub(super) context: Value<'w>,
    /// The time of each, in milliseconds since 1970.
    pub(super) now: i64,
    /// How many questions are asked at most.
    pub(super) limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) principals: Vec<Principal>,
    /// What principals are in that is not in the tenant, such as a role: what it is in itself, and who is in it.
    pub(super) roles: BTreeMap<Uid<'static>, Role>,
    pub(super) grants: Vec<Grant>,
    /// How many questions were asked.
    pub(super) asked: usize,
    /// Whether all of them were, and not only those about some principals and actions.
    pub(super) is_whole: bool,
    /// Members that some policy looks for in the context, and that this one does not have.
    pub(super) not_tried: BTreeSet<String>,
    /// Actions that could not be asked about with this context, and why.
    pub(super) not_asked: BTreeMap<Uid<'static>, String>,
}

/// A principal of the tenant.
#[derive(Debug)]
pub(super) struct Principal {
    pub(super) uid: Uid<'static>,
    pub(super) parents: Vec<Uid<'static>>,
    pub(super) rights: Vec<Right>,
}

/// An action that a principal may take on some resources of a type.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) action: Uid<'static>,
    pub(super) resource_type: String,
    pub(super) allowed: Vec<Uid<'static>>,
    /// How many resources of the type the tenant has.
    pub(super) of: usize,
}

/// What a role has, and who has it.
#[derive(Debug, Default)]
pub(super) struct Role {
    pub(super) parents: Vec<Uid<'static>>,
    pub(super) members: Vec<Uid<'static>>,
}

/// An entity whose type makes links.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) uid: Uid<'static>,
    /// What its attributes refer to.
    pub(super) refers: BTreeMap<String, Uid<'static>>,
    pub(super) links: usize,
    /// How many answers one of its links determined, of whatever principal of the tenant: an allow, or a deny that it caused.
    pub(super) decided: usize,
    /// What its links do.
    pub(super) effect: Effect,
    /// Members that its templates look for in the context, and that this one does not have: with them it may decide more.
    pub(super) needs: BTreeSet<String>,
}

/// Whether links permit or forbid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) permits: bool,
    pub(super) forbids: bool,
}

/// Why there is no review.
#[derive(Debug)]
pub(super) enum Fault {
    /// The tenant is not stored.
    NoTenant(Uid<'static>),
    /// Nothing in the tenant has this name.
    Unknown(Uid<'static>),
    /// The schema has no such action.
    NoAction(Uid<'static>),
    /// It takes so many questions.
    TooMany(usize),
    /// No question fits the schema, for this reason.
    Refused(Box<RequestError>),
}

/// Reviews a tenant. Recurses with the nesting of policies: call it with a big stack.
///
/// # Errors
/// If the tenant or a principal is not stored, if it takes too many questions, or if none can be asked.
pub(super) fn look(
    snapshot: &Snapshot,
    facts: &SchemaFacts,
    wanted: &Wanted<'_>,
    progress: &dyn Fn(usize, usize),
) -> Result<Found, Fault> {
    if snapshot.entity(&wanted.tenant).is_none() {
        return Err(Fault::NoTenant(wanted.tenant.clone()));
    }
    let inside = stored(snapshot, None, Some(&wanted.tenant));
    let uids: HashSet<&Uid<'static>> = inside.iter().map(|(uid, _)| uid).collect();
    if let Some(unknown) = wanted.principals.iter().find(|uid| !uids.contains(uid)) {
        return Err(Fault::Unknown(unknown.clone()));
    }
    if let Some(unknown) = wanted.actions.iter().find(|action| facts.action(action).is_none()) {
        return Err(Fault::NoAction(unknown.clone()));
    }
    let mut of_type: BTreeMap<&str, Vec<&Uid<'static>>> = BTreeMap::new();
    for (uid, _) in &inside {
        of_type.entry(&uid.type_name).or_default().push(uid);
    }
    of_type.values_mut().for_each(|uids| uids.sort_unstable());
    let actions: Vec<Uid<'static>> = facts
        .actions()
        .filter_map(|(type_name, id)| Uid::new(type_name.to_owned(), id.to_owned()).ok())
        .filter(|action| wanted.actions.is_empty() || wanted.actions.contains(action))
        .collect();
    let takes_part = |uid: &Uid<'_>| {
        let named = wanted.principals.is_empty() || wanted.principals.contains(uid);
        let asks = |action: &Uid<'_>| facts.action(action).is_some_and(|of| of.principals.contains(&*uid.type_name));
        named && actions.iter().any(asks)
    };
    let mut principals: Vec<Principal> = inside
        .iter()
        .filter(|(uid, _)| takes_part(uid))
        .map(|(uid, parents)| Principal { uid: uid.clone(), parents: parents.clone(), rights: Vec::new() })
        .collect();
    principals.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
    let sized = |ty: &String| of_type.get(ty.as_str()).map_or(0, Vec::len);
    let takes = |principal: &Principal, action: &Uid<'_>| {
        let of = facts.action(action).filter(|of| of.principals.contains(&*principal.uid.type_name));
        of.map_or(0, |of| of.resources.iter().map(sized).sum())
    };
    let whole: usize =
        principals.iter().map(|principal| actions.iter().map(|action| takes(principal, action)).sum::<usize>()).sum();
    if whole > wanted.limit {
        return Err(Fault::TooMany(whole));
    }
    let made_by: HashMap<String, Uid<'static>> = snapshot
        .links()
        .into_iter()
        .filter_map(|listed| Some((listed.link.link_id.clone(), listed.made_by?)))
        .collect();
    let is_whole = wanted.principals.is_empty() && wanted.actions.is_empty();
    let found = Found { is_whole, ..Found::default() };
    let mut asking = Asking { snapshot, wanted, made_by: &made_by, found, decided: HashMap::new(), refused: None };
    for principal in &mut principals {
        for action in &actions {
            let of = facts.action(action).filter(|of| of.principals.contains(&*principal.uid.type_name));
            for resource_type in of.into_iter().flat_map(|of| &of.resources) {
                let resources = of_type.get(resource_type.as_str()).map_or(&[][..], Vec::as_slice);
                let allowed = asking.allowed(&principal.uid, action, resources);
                if !allowed.is_empty() {
                    let (action, resource_type) = (action.clone(), resource_type.clone());
                    principal.rights.push(Right { action, resource_type, allowed, of: resources.len() });
                }
            }
        }
        progress(asking.found.asked, whole);
    }
    progress(whole, whole);
    let Asking { mut found, decided, refused, .. } = asking;
    if let Some(error) = refused.filter(|_| found.asked == 0) {
        return Err(Fault::Refused(Box::new(error)));
    }
    let missing = Missing::of(facts, &wanted.context);
    found.not_tried = snapshot.policy_texts().into_iter().flat_map(|(_, text)| missing.looked_for(text)).collect();
    found.grants = grants(snapshot, facts, &uids, &missing, &decided);
    for principal in &principals {
        for parent in principal.parents.iter().filter(|parent| !uids.contains(parent)) {
            let role = found.roles.entry(parent.clone()).or_insert_with(|| Role {
                parents: snapshot.entity(parent).map(|listed| parents_of(&listed.entity)).unwrap_or_default(),
                members: Vec::new(),
            });
            role.members.push(principal.uid.clone());
        }
    }
    found.principals = principals;
    Ok(found)
}

/// The questions of a review, and what the answers add up to.
struct Asking<'a> {
    snapshot: &'a Snapshot,
    wanted: &'a Wanted<'a>,
    /// By the id of a link the entity that made it.
    made_by: &'a HashMap<String, Uid<'static>>,
    found: Found,
    /// How many answers the links of an entity determined.
    decided: HashMap<&'a Uid<'static>, usize>,
    /// Why a question could not be asked, the last time.
    refused: Option<RequestError>,
}

impl Asking<'_> {
    /// The resources on which a principal may take an action. With the first that cannot be asked about the others are not.
    fn allowed(
        &mut self,
        principal: &Uid<'static>,
        action: &Uid<'static>,
        among: &[&Uid<'static>],
    ) -> Vec<Uid<'static>> {
        let mut allowed = Vec::new();
        for resource in among {
            let mut request = AccessRequest::new(principal.clone(), action.clone(), (*resource).clone());
            request.context = self.wanted.context.clone();
            let decision = match self.snapshot.decide(&request, self.wanted.now) {
                Ok(decision) => decision,
                Err(error) => {
                    self.found.not_asked.entry(action.clone()).or_insert_with(|| error.to_string());
                    self.refused = Some(error);
                    break;
                }
            };
            self.found.asked += 1;
            let makers: BTreeSet<_> = decision.reasons.iter().filter_map(|id| self.made_by.get(&**id)).collect();
            makers.into_iter().for_each(|maker| *self.decided.entry(maker).or_default() += 1);
            if decision.outcome.is_allow() {
                allowed.push((*resource).clone());
            }
        }
        allowed
    }
}

/// The entities of the types that make links which are of the tenant: they are in it, or refer to what is, or to what
/// refers to that.
fn grants(
    snapshot: &Snapshot,
    facts: &SchemaFacts,
    inside: &HashSet<&Uid<'static>>,
    missing: &Missing,
    decided: &HashMap<&Uid<'static>, usize>,
) -> Vec<Grant> {
    let mut made: HashMap<Uid<'static>, Made> = HashMap::new();
    for listed in snapshot.links() {
        let Some(maker) = listed.made_by else { continue };
        let made = made.entry(maker).or_default();
        made.links += 1;
        made.templates.insert(listed.link.template_id.clone());
    }
    let mut read: HashMap<String, BTreeSet<String>> = HashMap::new();
    let refers = |uid: &Uid<'_>| -> BTreeMap<String, Uid<'static>> {
        let attributes = facts.attributes(&uid.type_name).into_iter().flatten();
        let entities = attributes.filter(|(_, member)| matches!(member.kind, MemberKind::Entity(_)));
        entities.filter_map(|(name, _)| Some((name.clone(), snapshot.reference(uid, name)?))).collect()
    };
    let is_inside = |uid: &Uid<'static>| inside.contains(uid);
    let texts = snapshot.texts();
    let types: BTreeSet<&str> = texts.for_each.links.iter().map(|declaration| &*declaration.each).collect();
    let mut found = Vec::new();
    for (uid, _) in types.into_iter().flat_map(|each| stored(snapshot, Some(each), None)) {
        let refers_to = refers(&uid);
        let near = |to: &Uid<'static>| is_inside(to) || refers(to).values().any(is_inside);
        let Made { links, templates } = made.remove(&uid).unwrap_or_default();
        // what is in the tenant itself is a grant where it makes a link, such as a closed customer
        if (is_inside(&uid) && links > 0) || (!is_inside(&uid) && refers_to.values().any(near)) {
            let decided = decided.get(&uid).copied().unwrap_or_default();
            let (mut effect, mut needs) = (Effect::default(), BTreeSet::new());
            for template in templates {
                match snapshot.policy_forbids(&template) {
                    Some(true) => effect.forbids = true,
                    Some(false) => effect.permits = true,
                    None => {}
                }
                let text = snapshot.policy_text(&template).unwrap_or_default();
                let of_template = read.entry(template).or_insert_with(|| missing.looked_for(text).collect());
                needs.extend(of_template.iter().cloned());
            }
            found.push(Grant { uid, refers: refers_to, links, decided, effect, needs });
        }
    }
    found.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
    found
}

/// The links of one entity.
#[derive(Debug, Default)]
struct Made {
    links: usize,
    templates: BTreeSet<String>,
}

/// The members of contexts that the schema leaves open and that a context does not have.
struct Missing(BTreeSet<String>);

impl Missing {
    fn of(facts: &SchemaFacts, context: &Value<'_>) -> Self {
        let actions = facts.actions().filter_map(|(ty, id)| Uid::new(ty.to_owned(), id.to_owned()).ok());
        let of_actions = actions.filter_map(|action| facts.action(&action));
        let open = of_actions.flat_map(|of| &of.context).filter(|(_, member)| !member.required);
        Self(open.filter(|(name, _)| context.get(name).is_none()).map(|(name, _)| name.clone()).collect())
    }

    /// Those that the text of a policy looks for.
    fn looked_for<'m>(&'m self, text: &str) -> impl Iterator<Item = String> + use<'m> {
        let text = without_comments(text);
        let asks = move |name: &&String| {
            let ways = [format!("context has {name}"), format!("context.{name}"), format!("context has \"{name}\"")];
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            ways.iter().any(|way| text.match_indices(way.as_str()).any(|(at, _)| ends(&text[at + way.len()..])))
        };
        self.0.iter().filter(asks).cloned()
    }
}

/// The text of a policy in one line, without comments.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// Stored entities with their parents, page by page.
fn stored(
    snapshot: &Snapshot,
    type_name: Option<&str>,
    within: Option<&Uid<'_>>,
) -> Vec<(Uid<'static>, Vec<Uid<'static>>)> {
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let (page, next) = snapshot.list(type_name, within, place, PAGE);
        let read = |entity: &Value<'static>| Some((uid_of(entity.get("uid")?)?, parents_of(entity)));
        found.extend(page.iter().filter_map(|listed| read(&listed.entity)));
        from = next;
    }
    found
}

fn parents_of(entity: &Value<'static>) -> Vec<Uid<'static>> {
    let parents = entity.get("parents").and_then(Value::as_array).unwrap_or_default();
    let mut parents: Vec<Uid<'static>> = parents.iter().filter_map(uid_of).collect();
    parents.sort_unstable();
    parents
}

fn uid_of(value: &Value<'static>) -> Option<Uid<'static>> {
    Uid::new(value.get("type")?.as_str()?.to_owned(), value.get("id")?.as_str()?.to_owned()).ok()
}
