//! What the operator chose about building and evaluating.

/// How bundles are built and requests evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Which engine decides.
    pub kind: EngineKind,
    /// What happens to policies that do not validate against the schema.
    pub validation: Validation,
    /// Cedar's semantics, or the stricter ones.
    pub semantics: Semantics,
    /// Where `context.now` comes from.
    pub now: NowPolicy,
    /// Bounds on what is loaded.
    pub limits: Limits,
    /// Whether names that nothing has, and other oddities, are warned of. It walks over everything: for validation alone.
    pub lints: bool,
    /// How large policies may be together, in words and signs, for Cedar's trees of them to be kept.
    pub kept: KeptTrees,
}

/// Up to how many words and signs of policies Cedar's trees are kept; each takes some 600 bytes. Where there are more, the
/// reference parses the policies that can apply to a request when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTrees(pub usize);

impl Default for KeptTrees {
    fn default() -> Self {
        Self(100_000)
    }
}

/// Which engine decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// The compiled one.
    #[default]
    Compiled,
    /// Cedar's own authorizer over all entities, which are then held twice.
    Reference,
}

/// What happens to policies that do not validate against the schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Validation {
    /// The bundle is refused.
    #[default]
    Strict,
    /// The bundle is loaded, the findings are reported.
    Warn,
    /// Policies are not validated.
    Off,
}

/// How a decision is derived from the policies: by Cedar's semantics, and by two rules beside them that only deny more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Semantics {
    /// Both rules: a denial where a `forbid` fails, or an entity of the request is unknown.
    #[default]
    Strict,
    /// Cedar's alone.
    Cedar,
    /// A denial where a `forbid` fails; entities may be unknown, as where ids name what is stored nowhere.
    StrictForbids,
    /// A denial where an entity of the request is unknown; a `forbid` that fails is skipped, as by Cedar.
    StrictEntities,
}

impl Semantics {
    /// Those with the rules that are chosen.
    #[must_use]
    pub fn of(forbid_errors_deny: bool, unknown_entities_deny: bool) -> Self {
        match (forbid_errors_deny, unknown_entities_deny) {
            (true, true) => Self::Strict,
            (true, false) => Self::StrictForbids,
            (false, true) => Self::StrictEntities,
            (false, false) => Self::Cedar,
        }
    }

    /// Whether a `forbid` that fails to evaluate denies.
    #[must_use]
    pub fn forbid_errors_deny(self) -> bool {
        matches!(self, Self::Strict | Self::StrictForbids)
    }

    /// Whether an entity that is not stored denies.
    #[must_use]
    pub fn unknown_entities_deny(self) -> bool {
        matches!(self, Self::Strict | Self::StrictEntities)
    }
}

/// Where `context.now` comes from, for actions whose context declares it as a `datetime`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NowPolicy {
    /// The caller's, or else the sidecar's clock.
    #[default]
    Fill,
    /// The sidecar's clock, whatever the caller sent.
    Override,
    /// The caller's alone.
    Off,
}

/// Bounds on what is loaded. They keep hostile input from costing more than its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Levels of parents above an entity.
    pub max_depth: usize,
    /// Direct parents of one entity.
    pub max_parents: usize,
    /// Levels of brackets in the text of a policy or schema.
    pub max_nesting: usize,
    /// Levels of an expression, a chain of `||` or `&&` counting one a term.
    pub max_expression_depth: usize,
    /// Words and signs of one policy: Cedar's parser takes up to 900 bytes for each.
    pub max_policy_tokens: usize,
    /// Bytes of all texts of policies together.
    pub max_policies_bytes: usize,
    /// Policies, templates and links by hand together.
    pub max_policies: usize,
    /// Links that data make.
    pub max_links_from_data: usize,
    /// What validating all policies may cost, in steps of about 0.25 µs.
    pub max_validation_steps: u64,
    /// Changes of one transaction, and entities that it touches.
    pub max_changes: usize,
    /// Bytes of the text of one entity: where only Cedar can read it, that takes up to 150 times as much.
    pub max_entity_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: 64,
            max_parents: 1_000,
            max_nesting: 400,
            max_expression_depth: 5_000,
            max_policy_tokens: 100_000,
            max_policies_bytes: 32 << 20,
            max_policies: 200_000,
            max_links_from_data: 10_000_000,
            max_validation_steps: 8_000_000,
            max_changes: 1_000_000,
            max_entity_bytes: 1 << 20,
        }
    }
}
