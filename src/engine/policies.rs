//! From texts of policies to one policy set with stable ids.

mod json;

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid, Policy, PolicySet, SlotId, Template};
use cedar_policy_core::ast::{Expr, ExprKind, Var};

use crate::domain::{Bundle, Diagnostic, Link, PolicyId, PolicyNaming, PolicyText};
use crate::engine::diagnose;
use crate::engine::guard::{self, Grammar};
use crate::engine::settings::Limits;
use crate::engine::stack::Deep;

/// All policies of a bundle, under the ids that decisions name.
#[derive(Debug)]
pub struct Policies {
    /// Cedar's set, in the order of the bundle: texts first, links after them.
    pub set: Deep<PolicySet>,
    /// Where each policy and template stands.
    pub sites: HashMap<PolicyId, Site>,
    /// The links, each naming its template by the template's policy id.
    pub links: Vec<Link>,
    /// Whether some policy may read `context.now`.
    pub reads_now: bool,
}

/// Where a policy or template stands in the bundle.
#[derive(Debug, Clone)]
pub struct Site {
    /// The file or member.
    pub origin: Arc<str>,
    /// The whole text of it.
    pub source: Arc<str>,
    /// The policy's bytes in that text.
    pub span: std::ops::Range<usize>,
    /// Whether it forbids.
    pub forbids: bool,
}

impl Site {
    /// The policy's own text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.get(self.span.clone()).unwrap_or(&self.source)
    }
}

/// A policy whose text is no longer than this fits any stack.
const DEEP_BYTES: usize = 1_000;

/// A static policy or a template, as one text yields them.
enum Statement {
    Policy(Policy),
    Template(Template),
}

impl Policies {
    /// Parses, names and links all policies of `bundle`.
    ///
    /// # Errors
    /// Every problem found.
    pub fn build(bundle: &Bundle, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let mut builder = Builder {
            set: PolicySet::new(),
            sites: HashMap::new(),
            aliases: HashMap::new(),
            links: Vec::new(),
            problems: Vec::new(),
            ordinal: 0,
        };
        for text in &bundle.policies {
            builder.add_text(text, limits);
        }
        if builder.problems.is_empty() {
            for (i, link) in bundle.links.iter().enumerate() {
                builder.add_link(&format!("links[{i}]"), link);
            }
        }
        if !builder.problems.is_empty() {
            return Err(builder.problems);
        }
        let reads_now = builder.set.policies().any(|policy| {
            let policy: &cedar_policy_core::ast::Policy = policy.as_ref();
            reads_now(&policy.condition())
        });
        Ok(Self { set: Deep::new(builder.set), sites: builder.sites, links: builder.links, reads_now })
    }

    /// Whether the policy forbids.
    #[must_use]
    pub fn forbids(&self, id: &str) -> bool {
        self.sites.get(id).is_some_and(|site| site.forbids)
    }

    /// Whether the text of a policy is so long that its tree may be deep.
    pub fn is_deep(&self, id: &str) -> bool {
        self.sites.get(id).is_some_and(|site| site.span.len() > DEEP_BYTES)
    }

    /// The policies that can decide and forbid, links among them, sorted.
    #[must_use]
    pub fn forbidding(&self) -> BTreeSet<PolicyId> {
        let forbids = self.set.policies().filter(|policy| policy.effect() == Effect::Forbid);
        forbids.map(|policy| PolicyId::from(AsRef::<str>::as_ref(policy.id()))).collect()
    }

    /// How many policies can decide: static ones and links, templates not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.set.num_of_policies()
    }
}

struct Builder {
    set: PolicySet,
    sites: HashMap<PolicyId, Site>,
    /// `@id` of templates in texts that are numbered, each with all templates that have it.
    aliases: HashMap<String, Vec<PolicyId>>,
    links: Vec<Link>,
    problems: Vec<Diagnostic>,
    /// Counter of `policy0`, `policy1`, …, over all texts that are numbered.
    ordinal: usize,
}

impl Builder {
    fn add_text(&mut self, text: &PolicyText, limits: &Limits) {
        if json::is_json(&text.text) {
            return self.add_json(text, limits);
        }
        if let Err(problem) = guard::check_text(&text.origin, &text.text, Grammar::Policies, limits) {
            self.problems.push(problem);
            return;
        }
        let set = match PolicySet::from_str(&text.text) {
            Ok(set) => set,
            Err(errors) => {
                self.problems.extend(errors.iter().map(|error| diagnose::one(&text.origin, &text.text, error)));
                return;
            }
        };
        let origin: Arc<str> = text.origin.as_str().into();
        let source: Arc<str> = text.text.as_str().into();
        let statements = in_order(&set);
        if let PolicyNaming::Exactly(id) = &text.naming
            && statements.len() != 1
        {
            self.problems.push(
                Diagnostic::error(&*origin, format!("`{id}` must be exactly one policy, not {}", statements.len()))
                    .help("give each policy its own member, or send all of them as one text"),
            );
            return;
        }
        for (n, statement) in statements.into_iter().enumerate() {
            self.add_statement(&text.naming, n, &statement, &origin, &source);
        }
    }

    /// Adds a policy in the JSON form. Whoever read it has named it.
    fn add_json(&mut self, text: &PolicyText, limits: &Limits) {
        if !matches!(text.naming, PolicyNaming::Exactly(_)) {
            let message = "a policy in the JSON form must have a name of its own";
            let help = "send it as a member of `policies`, or put it into a file named `*.cedar.json`";
            return self.problems.push(Diagnostic::error(&text.origin, message).help(help));
        }
        match json::read(text, limits) {
            Ok(statement) => {
                let (origin, source) = (text.origin.as_str().into(), text.text.as_str().into());
                self.add_statement(&text.naming, 0, &statement, &origin, &source);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn add_statement(
        &mut self,
        naming: &PolicyNaming,
        n: usize,
        statement: &Statement,
        origin: &Arc<str>,
        source: &Arc<str>,
    ) {
        let (annotated, effect, core) = match statement {
            Statement::Policy(policy) => {
                let core: &cedar_policy_core::ast::Policy = policy.as_ref();
                (policy.annotation("id"), policy.effect(), core.loc())
            }
            Statement::Template(template) => {
                let core: &cedar_policy_core::ast::Template = template.as_ref();
                (template.annotation("id"), template.effect(), core.loc())
            }
        };
        let span = core.map_or(0..source.len(), |loc| loc.span.offset()..loc.span.offset() + loc.span.len());
        let id: PolicyId = match naming {
            PolicyNaming::Exactly(id) => id.as_str().into(),
            PolicyNaming::Stem(stem) => match annotated {
                Some("") => {
                    self.problems.push(
                        Diagnostic::error(&**origin, "an empty `@id`")
                            .at(source, span.start)
                            .help("name the policy, or leave the annotation out"),
                    );
                    return;
                }
                Some(id) => id.into(),
                None => format!("{stem}.{n}").into(),
            },
            PolicyNaming::Ordinal => {
                let id: PolicyId = format!("policy{}", self.ordinal).into();
                self.ordinal += 1;
                if let (Statement::Template(_), Some(alias)) = (statement, annotated) {
                    self.aliases.entry(alias.to_owned()).or_default().push(id.clone());
                }
                id
            }
        };
        let site = Site {
            origin: origin.clone(),
            source: source.clone(),
            span: span.clone(),
            forbids: effect == Effect::Forbid,
        };
        if let Some(first) = self.sites.get(&id) {
            let place = Diagnostic::error(&*first.origin, "").at(&first.source, first.span.start);
            self.problems.push(
                Diagnostic::error(
                    &**origin,
                    format!(
                        "a second policy has the id `{id}`; the first is at {}:{}",
                        place.origin,
                        place.line.unwrap_or(1)
                    ),
                )
                .at(source, span.start)
                .policy(&*id)
                .help("ids must be unique over all files"),
            );
            return;
        }
        let added = match statement {
            Statement::Policy(policy) => self.set.add(policy.new_id(cedar_policy::PolicyId::new(&*id))),
            Statement::Template(template) => self.set.add_template(template.new_id(cedar_policy::PolicyId::new(&*id))),
        };
        match added {
            Ok(()) => {
                self.sites.insert(id, site);
            }
            Err(error) => self
                .problems
                .push(Diagnostic::error(&**origin, diagnose::message(&error)).at(source, span.start).policy(&*id)),
        }
    }

    fn add_link(&mut self, origin: &str, link: &Link) {
        let fail = |message: String| Diagnostic::error(origin, message).policy(&link.link_id);
        // a policy id, or the `@id` of a template that has a number for its id; never one where it could be the other
        let by_id = self.sites.get_key_value(link.template_id.as_str()).map(|(id, _)| id);
        let mut candidates: Vec<&PolicyId> = self.aliases.get(&link.template_id).into_iter().flatten().collect();
        candidates.extend(by_id.filter(|id| !self.aliases.get(&link.template_id).is_some_and(|ids| ids.contains(id))));
        let (template_id, site) = match candidates.as_slice() {
            [] => {
                self.problems.push(fail(format!("there is no template `{}` to link", link.template_id)));
                return;
            }
            [one] => ((*one).clone(), self.sites[*one].clone()),
            several => {
                let names: Vec<String> = several.iter().map(|id| format!("`{id}`")).collect();
                let message = format!(
                    "`{}` is ambiguous: it is the id or the `@id` of {}",
                    link.template_id,
                    names.join(" and of ")
                );
                self.problems.push(fail(message).help("name the template by its policy id, and give each `@id` once"));
                return;
            }
        };
        if self.sites.contains_key(link.link_id.as_str()) {
            self.problems.push(fail(format!("a policy with the id `{}` exists already", link.link_id)));
            return;
        }
        let mut values = HashMap::new();
        for (slot, entity) in &link.args {
            let slot_id = match slot.as_str() {
                "?principal" => SlotId::principal(),
                "?resource" => SlotId::resource(),
                _ => {
                    self.problems.push(fail(format!("`{slot}` is not a slot; slots are `?principal` and `?resource`")));
                    return;
                }
            };
            let uid = crate::domain::Uid::parse(entity).map_err(|error| error.to_string());
            match uid.and_then(|uid| entity_uid(&uid)) {
                Ok(uid) => values.insert(slot_id, uid),
                Err(message) => {
                    self.problems.push(fail(message));
                    return;
                }
            };
        }
        let (template, link_id) =
            (cedar_policy::PolicyId::new(&*template_id), cedar_policy::PolicyId::new(&link.link_id));
        match self.set.link(template, link_id, values) {
            Ok(()) => {
                self.sites.insert(link.link_id.as_str().into(), site);
                self.links.push(Link { template_id: template_id.to_string(), ..link.clone() });
            }
            Err(error) => self.problems.push(fail(diagnose::message(&error))),
        }
    }
}

/// Cedar's uid for ours.
pub(super) fn entity_uid(uid: &crate::domain::Uid<'_>) -> Result<EntityUid, String> {
    let type_name = cedar_policy::EntityTypeName::from_str(&uid.type_name)
        .map_err(|_| format!("`{}` is not an entity type name", uid.type_name))?;
    Ok(EntityUid::from_type_name_and_id(type_name, cedar_policy::EntityId::new(&*uid.id)))
}

/// The statements of a text as they stand in it: Cedar numbers them `policy0`, `policy1`, … .
fn in_order(set: &PolicySet) -> Vec<Statement> {
    let number = |id: &cedar_policy::PolicyId| {
        let id: &str = id.as_ref();
        id.strip_prefix("policy").and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX)
    };
    let mut statements: Vec<(usize, Statement)> = set
        .policies()
        .map(|policy| (number(policy.id()), Statement::Policy(policy.clone())))
        .chain(set.templates().map(|template| (number(template.id()), Statement::Template(template.clone()))))
        .collect();
    statements.sort_by_key(|(n, _)| *n);
    statements.into_iter().map(|(_, statement)| statement).collect()
}

/// Whether an expression may read `context.now`: it names that member, or uses the context as a whole.
fn reads_now(condition: &Expr) -> bool {
    // a member access names the context once itself, and its own sub-expression names it again
    let mut whole = 0_isize;
    for expression in condition.subexpressions() {
        match expression.expr_kind() {
            ExprKind::Var(Var::Context) => whole += 1,
            ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr }
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) =>
            {
                if attr == "now" {
                    return true;
                }
                whole -= 1;
            }
            _ => {}
        }
    }
    whole > 0
}
