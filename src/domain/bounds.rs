//! Bounds that the configuration checks and the engine's stacks are made for.

/// The most that `limits.max_nesting` can be: parsing, validating and freeing have room for it.
pub const MAX_NESTING: usize = 1_000;

/// The most that `limits.max_expression_depth` can be, for the same reason.
pub const MAX_EXPRESSION_DEPTH: usize = 10_000;
