//! From texts of policies to policies with stable ids, one tree at a time.
//!
//! Cedar's trees take hundreds of times the bytes of their text. So each policy is parsed on its own, handed to all who
//! need its tree (see [`Work`]), and dropped. What stays is its text and where it stands in it; `trees` makes trees
//! of it again for the reference.

mod about;
mod data;
mod edit;
mod json;
mod link;
pub(crate) mod named;
mod totals;
mod trees;

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy_core::ast::{AnyId, Effect, Expr, ExprKind, PolicyID, Template, Var};
use cedar_policy_core::parser::err::ParseErrors;
use cedar_policy_core::parser::{parse_policy_or_template, parse_policyset};

use crate::compiled::Compiling;
use crate::derived::Maker;
use crate::diagnose::{self, syntax};
use crate::guard::{self, Grammar, Statement};
use crate::model::json::without_byte_order_mark;
use crate::model::{Bundle, Diagnostic, Link, MAX_LISTED, PolicyId, PolicyNaming, PolicyText};
use crate::settings::Limits;
use crate::shared::{List, Map};
use crate::site::{Kind, Site, on_line};
use crate::validating::Validating;
pub use about::AboutPolicy;
pub(crate) use about::{annotations, tree};
pub(crate) use data::{FromData, IN_USE, NewLink, made_twice, too_many};
pub(crate) use edit::SetEdits;
use link::Linkable;
pub(crate) use link::{scope_of, values};
use named::Named;
use totals::Totals;
use trees::Keeping;
pub(crate) use trees::{Parsing, Trees};

/// All policies of a bundle, under the ids that decisions name. What is the same in the set after a change is shared with it.
#[derive(Debug)]
pub(crate) struct Policies {
    /// Where each policy and template stands.
    pub sites: Map<PolicyId, Site>,
    /// The links by hand, each naming its template by the template's policy id.
    pub links: List<Arc<Linked>>,
    /// The ids that may be those of links that data make.
    pub like_made: Arc<BTreeSet<PolicyId>>,
    /// Cedar's trees of all policies, where they are kept.
    pub trees: Trees,
    /// `@id` of templates in texts that are numbered, each with all templates that have it.
    aliases: Arc<HashMap<String, Vec<PolicyId>>>,
    /// What links need of templates.
    templates: Map<PolicyId, Arc<Linkable>>,
    totals: Totals,
}

/// A link of the set.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    /// The link.
    pub link: Link,
    /// What made it; nothing where it was written by hand.
    pub maker: Option<Maker>,
}

impl Linked {
    /// The template that it links.
    pub(crate) fn template(&self) -> PolicyId {
        self.link.template_id.as_str().into()
    }
}

/// What is done with each policy while its tree is there.
pub(crate) struct Work<'w> {
    /// Validates it.
    pub validating: Option<Validating<'w>>,
    /// Compiles it.
    pub compiling: Option<Compiling<'w>>,
    /// Notes what it names.
    pub naming: Option<Named>,
    /// Up to how many words and signs trees are kept.
    pub keep: usize,
    /// What the author should look at in what data say of templates.
    pub warnings: Vec<Diagnostic>,
    /// Whether the result is not wanted any more.
    pub stop: &'w dyn Fn() -> bool,
}

impl Policies {
    /// Parses, names and links all policies of `bundle`, with the links that its data make, and does the `work` on each.
    ///
    /// # Errors
    /// Every problem found, up to a bound. Problems that the work finds are reported by the work.
    pub(crate) fn build(
        bundle: &Bundle,
        from_data: &FromData,
        limits: &Limits,
        work: &mut Work<'_>,
    ) -> Result<Self, Vec<Diagnostic>> {
        check_size(bundle, limits)?;
        let mut builder = Builder {
            sites: Map::default(),
            like_made: Arc::default(),
            aliases: Arc::default(),
            templates: Map::default(),
            links: List::default(),
            problems: Vec::new(),
            ordinal: 0,
            totals: Totals::default(),
            templates_are_whole: true,
            is_change: false,
            keeping: Keeping::new(work.keep),
            limits,
            work,
        };
        for text in &bundle.policies {
            if builder.is_over() {
                break;
            }
            builder.add_text(text);
        }
        builder.templates_are_whole = builder.problems.is_empty();
        for (i, link) in bundle.links.iter().enumerate() {
            if builder.is_over() {
                break;
            }
            builder.add_link(&NewLink { origin: format!("links[{i}]"), link: link.clone(), maker: None });
        }
        let declared = &from_data.declared;
        builder.check_declared(declared, None);
        for link in &from_data.links {
            if builder.is_over() {
                break;
            }
            builder.add_made(link, declared);
        }
        builder.name_made(&from_data.named);
        if (builder.work.stop)() {
            return Err(vec![abandoned()]);
        }
        builder.finish()
    }
}

/// The error where no caller waits for the result any more.
pub(crate) fn abandoned() -> Diagnostic {
    let message = "abandoned: its client disconnected, or the sidecar is stopping";
    Diagnostic::error("bundle", message).help("send it again, and wait for the answer").passing()
}

/// Refuses what could not be held, before any of it is parsed.
fn check_size(bundle: &Bundle, limits: &Limits) -> Result<(), Vec<Diagnostic>> {
    let refuse = |message: String, help: &str| Err(vec![Diagnostic::error("policies", message).help(help)]);
    let bytes: usize = bundle.policies.iter().map(|text| text.text.len()).sum();
    if bytes > limits.max_policies_bytes {
        let largest = bundle.policies.iter().max_by_key(|text| text.text.len());
        let largest = largest.map(|text| format!("; the largest is {} ({} bytes)", text.origin, text.text.len()));
        let message = format!(
            "the policies have {bytes} bytes of text, more than {}{}",
            limits.max_policies_bytes,
            largest.unwrap_or_default()
        );
        return refuse(
            message,
            "make templates and links of policies that differ in ids alone, or raise `limits.max_policies_bytes`",
        );
    }
    let count = bundle.policies.len() + bundle.links.len();
    if count > limits.max_policies {
        return refuse(format!("{count} policies and links, more than {}", limits.max_policies), RAISE_COUNT);
    }
    Ok(())
}

const RAISE_COUNT: &str =
    "use policies on groups and attributes instead of one for each entity, or raise `limits.max_policies`";

struct Builder<'b, 'w> {
    sites: Map<PolicyId, Site>,
    /// The ids among them that may be those of links that data make.
    like_made: Arc<BTreeSet<PolicyId>>,
    /// `@id` of templates in texts that are numbered, each with all templates that have it.
    aliases: Arc<HashMap<String, Vec<PolicyId>>>,
    /// What links need of templates.
    templates: Map<PolicyId, Arc<Linkable>>,
    links: List<Arc<Linked>>,
    problems: Vec<Diagnostic>,
    /// Counter of `policy0`, `policy1`, …, over all texts that are numbered.
    ordinal: usize,
    totals: Totals,
    /// Whether every template could be read. Else a link may be of one that could not.
    templates_are_whole: bool,
    /// Whether a set is changed, and not made.
    is_change: bool,
    keeping: Keeping,
    limits: &'b Limits,
    work: &'b mut Work<'w>,
}

impl Builder<'_, '_> {
    /// The set.
    ///
    /// # Errors
    /// Every problem found.
    fn finish(self) -> Result<Policies, Vec<Diagnostic>> {
        if !self.problems.is_empty() {
            return Err(Diagnostic::about("policy", self.problems));
        }
        Ok(Policies {
            like_made: self.like_made,
            sites: self.sites,
            links: self.links,
            trees: self.keeping.finish(),
            aliases: self.aliases,
            templates: self.templates,
            totals: self.totals,
        })
    }

    /// Puts a policy, template or link among the others.
    fn put(&mut self, id: PolicyId, site: Site) {
        self.totals.add(&site);
        self.sites.insert(id, site);
    }

    /// Whether there is no use in going on.
    fn is_over(&self) -> bool {
        self.problems.len() >= MAX_LISTED || (self.work.stop)()
    }

    fn add_text(&mut self, text: &PolicyText) {
        let given = without_byte_order_mark(&text.text);
        if json::is_json(given) {
            return self.add_json(text);
        }
        let checked = guard::check_text(&text.origin, given, Grammar::Policies, self.limits)
            .and_then(|()| guard::statements(&text.origin, given, self.limits));
        let statements = match checked {
            Ok(statements) => statements,
            Err(problem) => return self.problems.push(problem),
        };
        let (origin, source): (Arc<str>, Arc<str>) = (text.origin.as_str().into(), given.into());
        let exactly = text.naming.exactly().is_some();
        let before = self.problems.len();
        let mut n = 0;
        for group in groups(&statements) {
            for (parsed, statement) in parse(&origin, &source, group).into_iter().zip(group) {
                if self.is_over() {
                    return;
                }
                match parsed {
                    // where it is not the only one it has no name, and only its syntax is of interest
                    Ok(_) if exactly && statements.len() != 1 => {}
                    Ok(parsed) => self.add_statement(&text.naming, n, parsed, statement.tokens, &origin, &source),
                    Err(found) => self.problems.extend(found),
                }
                n += 1;
            }
        }
        if let Some(id) = text.naming.exactly()
            && statements.len() != 1
            && self.problems.len() == before
        {
            let (what, help) = match statements.len() {
                0 => (", and there is none in this text".to_owned(), "write one, or delete it if it is not needed"),
                n => (format!(", not {n}"), "give each policy its own member, or send all of them as one text"),
            };
            let message = format!("`{id}` must be exactly one policy{what}");
            self.problems.push(Diagnostic::error(&*origin, message).help(help));
        }
    }

    /// Adds a policy in the JSON form. Its reader has named it.
    fn add_json(&mut self, text: &PolicyText) {
        let Some(id) = text.naming.exactly() else {
            let message = "a policy in the JSON form must have a name of its own";
            let help = "send it as a member of `policies`, or put it into a file named `*.cedar.json`";
            return self.problems.push(Diagnostic::error(&text.origin, message).help(help));
        };
        let given = without_byte_order_mark(&text.text);
        let read = guard::check_json(&text.origin, given, self.limits)
            .map_err(|problem| vec![problem])
            .and_then(|tokens| Ok((tokens, json::read(&text.origin, given, self.limits)?)));
        match read {
            Ok((tokens, template)) => {
                let (origin, source) = (text.origin.as_str().into(), given.into());
                self.add_statement(&text.naming, 0, Parsed { template, start: 0 }, tokens, &origin, &source);
            }
            Err(problems) => {
                let line = text.naming.line();
                // where it stands by its id that is said
                let named = |problem: Diagnostic| if line.is_none() { problem } else { problem.policy(id) };
                self.problems.extend(problems.into_iter().map(|problem| named(on_line(problem, line))));
            }
        }
    }

    fn add_statement(
        &mut self,
        naming: &PolicyNaming,
        n: usize,
        Parsed { template, start }: Parsed,
        tokens: usize,
        origin: &Arc<str>,
        source: &Arc<str>,
    ) {
        // from Cedar's own place on: without comments before the policy
        let span = template.loc().map_or(0..source.len(), |loc| {
            let start = start + loc.span.offset();
            start..start + loc.span.len()
        });
        let is_static = template.is_static();
        let Some(id) = self.name(naming, n, &template, (origin, source, span.start)) else { return };
        let kind = if is_static { Kind::Static } else { Kind::Template };
        let forbids = template.effect() == Effect::Forbid;
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let reads_now = reads_now(&template.condition());
        let (origin, source, line) = (origin.clone(), source.clone(), naming.line());
        self.enter(id, Site { origin, source, span, tokens, forbids, reads_now, kind, line, steps: 0 }, &template);
    }

    /// Adds a policy or template under its id.
    fn enter(&mut self, id: PolicyId, mut site: Site, template: &Template) {
        let (origin, start) = (site.origin.clone(), site.span.start);
        let template = Arc::new(template.new_id(PolicyID::from_string(&*id)));
        // what is wrong elsewhere hides nothing that is wrong here
        if let Some(validating) = &mut self.work.validating {
            site.steps = validating.policy(&template, &site, self.work.stop);
        }
        if let Some(first) = self.sites.get(&id) {
            let place = first.point(Diagnostic::error(&*first.origin, ""), first.span.start);
            let line = place.line.unwrap_or(1);
            let message = format!("a second policy has the id `{id}`; the first is at {}:{line}", place.origin);
            let second = site.point(Diagnostic::error(&*origin, message), start);
            self.problems.push(second.policy(&*id).help("ids must be unique over all files"));
            return;
        }
        if self.sites.len() >= self.limits.max_policies {
            let message = format!("more than {} policies and templates", self.limits.max_policies);
            let found = site.point(Diagnostic::error(&*origin, message), start);
            return self.problems.push(found.help(RAISE_COUNT));
        }
        if let Some(naming) = &mut self.work.naming {
            naming.policy(&template, &site, &id);
        }
        self.keeping.add(&template, site.tokens as usize);
        if self.problems.is_empty()
            && let Some(compiling) = &mut self.work.compiling
        {
            compiling.policy(&template, &id);
        }
        if site.kind == Kind::Template {
            self.templates.insert(id.clone(), Arc::new(Linkable::new(&template, site.reads_now)));
        }
        self.note(&id);
        self.put(id, site);
    }

    /// Notes an id that may be that of a link that data make.
    fn note(&mut self, id: &PolicyId) {
        if id.contains('@') {
            Arc::make_mut(&mut self.like_made).insert(id.clone());
        }
    }

    /// The id of a policy or template; `None` where it cannot have one.
    fn name(
        &mut self,
        naming: &PolicyNaming,
        n: usize,
        template: &Template,
        (origin, source, at): (&Arc<str>, &Arc<str>, usize),
    ) -> Option<PolicyId> {
        let annotated = AnyId::from_str("id").ok().and_then(|key| template.annotation(&key)).map(AsRef::<str>::as_ref);
        Some(match naming {
            PolicyNaming::Exactly(id) | PolicyNaming::Part { id, .. } => {
                if let Some(other) = annotated.filter(|other| self.is_change && other != id) {
                    let message = format!("the text of `{id}` has `@id({other:?})`, which is not its id");
                    let found = Diagnostic::error(&**origin, message).at(source, at).policy(id);
                    let help = "name it in the change as the text does, or leave `@id` out";
                    self.work.warnings.push(found.warning().help(help));
                }
                id.as_str().into()
            }
            PolicyNaming::Stem(stem) => match annotated {
                Some("") => {
                    self.problems.push(
                        Diagnostic::error(&**origin, "an empty `@id`")
                            .at(source, at)
                            .help("name the policy, or leave the annotation out"),
                    );
                    return None;
                }
                Some(id) => id.into(),
                None => format!("{stem}.{n}").into(),
            },
            PolicyNaming::Ordinal => {
                let id: PolicyId = format!("policy{}", self.ordinal).into();
                self.ordinal += 1;
                if let (false, Some(alias)) = (template.is_static(), annotated) {
                    Arc::make_mut(&mut self.aliases).entry(alias.to_owned()).or_default().push(id.clone());
                }
                id
            }
        })
    }
}

/// The tree of one policy or template, with a name that is not its own.
struct Parsed {
    template: Template,
    /// Where in the text the part begins that it was parsed with.
    start: usize,
}

/// How many words and signs are parsed at a time: a parser for each policy would take longer than the policy.
const GROUP: usize = 4_000;

/// Statements that are parsed together.
fn groups(statements: &[Statement]) -> impl Iterator<Item = &[Statement]> {
    let mut rest = statements;
    std::iter::from_fn(move || {
        let mut room = GROUP;
        let fits = |statement: &&Statement| {
            let left = room.checked_sub(statement.tokens);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let few = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (group, others) = rest.split_at(few);
        rest = others;
        (!group.is_empty()).then_some(group)
    })
}

/// The trees of some statements, or what is wrong with each.
fn parse(origin: &str, source: &str, group: &[Statement]) -> Vec<Result<Parsed, Vec<Diagnostic>>> {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return Vec::new() };
    let text = |start: usize, end: usize| source.get(start..end).unwrap_or_default();
    if group.len() > 1
        && let Ok(set) = parse_policyset(text(first.start, last.end))
    {
        let number = |template: &Template| {
            let id: &str = template.id().as_ref();
            id.strip_prefix("policy").and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX)
        };
        let mut templates: Vec<Template> = set.all_templates().cloned().collect();
        if templates.len() == group.len() {
            // Cedar numbers them as they stand in the text
            templates.sort_by_key(number);
            return templates.into_iter().map(|template| Ok(Parsed { template, start: first.start })).collect();
        }
    }
    let one = |statement: &Statement| {
        let Statement { start, end, .. } = *statement;
        match parse_policy_or_template(None, text(start, end)) {
            Ok(template) => Ok(Parsed { template, start }),
            Err(errors) => Err(faults(origin, source, start..end, errors)),
        }
    };
    group.iter().map(one).collect()
}

/// How many policies are looked for in what was cut as one: each takes a parser.
const MAX_IN_ONE: usize = 20;

/// Every fault of syntax in what was cut as one policy. It is several where one of them has no `;`.
fn faults(origin: &str, source: &str, span: std::ops::Range<usize>, errors: ParseErrors) -> Vec<Diagnostic> {
    let (mut start, mut errors, mut found) = (span.start, Some(errors), Vec::new());
    for _ in 0..MAX_IN_ONE {
        let Some(these) = errors.take() else { break };
        let mut next = None;
        for error in these.iter().take(MAX_LISTED) {
            let at = diagnose::offset(error).map(|offset| start + offset);
            let problem = diagnose::one_within(origin, source, start, error);
            found.push(syntax::told(Grammar::Policies, source, start, at, problem));
            next = next.or_else(|| syntax::next_statement(Grammar::Policies, source, start, at?));
        }
        let Some(begin) = next else { break };
        start = begin;
        errors = parse_policy_or_template(None, source.get(start..span.end).unwrap_or_default()).err();
    }
    found.sort_by_key(|problem| (problem.line, problem.column));
    found
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
