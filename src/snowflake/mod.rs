//! The Snowflake side: identifiers, SQL, client, and the verbs observe, diff and apply.

pub mod adopt;
pub mod cast;
pub mod check;
pub mod client;
pub mod credentials;
pub mod diff;
pub mod expressions;
pub mod grant;
pub mod ident;
pub mod mark;
pub mod observe;
mod shown;
pub mod sql;
pub mod types;
