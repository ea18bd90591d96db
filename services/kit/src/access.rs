//! Who calls, and what of the data that caller may reach.
//!
//! In: every call, before its service sees it. Out: the same call with a [`Scope`] among its extensions, or a refusal. An rpc without a
//! row in [`comanda_proto::access::TABLE`] is denied. Every read and write of a store takes the scope, so forgetting it does not compile.
//!
//! The [`authenticator`] finds out who calls: from an API key ([`key`], kept in [`store`], seen through the [`key_cache`]), from a token of an
//! OpenID provider ([`oidc`]), or from the tracking token of an order. The [`admission`] of each call asks
//! it and the table, and holds the caller's tenant to its [`limits`], and addresses that show no good credentials to theirs ([`strangers`]). The
//! [`layer`] stands before the services. It ends a stream when the credentials that admitted it have ended ([`ending`]). What was denied is
//! noted in the audit ([`denials`]).

mod actor;
pub mod admission;
pub mod authenticator;
pub mod config;
pub mod credential;
pub mod denials;
pub mod ending;
pub mod key;
pub mod key_cache;
pub mod layer;
pub mod limits;
pub mod oidc;
pub mod principal;
pub mod refusal;
pub mod scope;
pub mod store;
pub mod strangers;

pub use self::{
    admission::Access,
    config::Config,
    layer::Scoped,
    scope::Scope,
    strangers::{Address, Strangers},
};

/// The tenant of an installation that has only one.
pub const DEFAULT_TENANT: &str = "default";
