//! Explanations against Cedar: what they say of policies, of clauses and of changes.

mod masked;
mod say;
