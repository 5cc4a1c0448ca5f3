//! The gateways' endpoints: statuses, identity, paths, the bundle's routes, and the four products end to end.

mod bundle;
pub(crate) mod grpc;
mod identity;
mod paths;
mod products;
mod statuses;
