//! What all requests share.

use ops_common::consent::Permit;
use ops_common::dynamodb::table::Table;

use crate::log::Log;
use crate::people::People;
use crate::token::Verifier;

/// What all requests share.
pub(crate) struct App {
    pub(crate) table: Table,
    /// to write messages, as it was given at the start
    pub(crate) permit: Permit,
    pub(crate) people: People,
    pub(crate) verifier: Verifier,
    pub(crate) log: Log,
}
