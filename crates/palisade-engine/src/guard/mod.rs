//! Bounds that are checked before Cedar sees a text, since it would abort the process or run for minutes.
//!
//! - `text` bounds the nesting of policies and schemas, and so every recursion that follows it: parsing,
//!   validating, evaluating, writing out and freeing.
//! - `statements` takes texts of policies apart and bounds each policy.
//! - `schema` bounds what a schema expands to: short texts can stand for enormous types.
//! - `hierarchy` and `closure` bound what entities cost when their ancestors are collected.

mod closure;
mod hierarchy;
mod members;
mod schema;
mod statements;
mod text;

pub(crate) use closure::check_closure;
pub(crate) use hierarchy::{HierarchyFault, check_hierarchy};
pub(crate) use members::{SecondMember, second_members};
pub(crate) use schema::{check_expansion, check_schema_size};
pub(crate) use statements::{Statement, Word, check_json, declarations, statements, words};
pub(crate) use text::{Grammar, check_text};
