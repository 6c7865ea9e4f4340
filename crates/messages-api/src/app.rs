//! What all requests share.

use ops_common::consent::Permit;
use ops_common::dynamodb::table::Table;
use uuid::Uuid;

use crate::log::Log;
use crate::people::People;
use crate::remembered::Remembered;
use crate::token::Verifier;

/// What all requests share.
pub(crate) struct App {
    pub(crate) table: Table,
    /// to write messages, as it was given at the start
    pub(crate) permit: Permit,
    pub(crate) people: People,
    /// who takes part in which conversation, in this order
    pub(crate) participants: Remembered<(Uuid, Uuid), ()>,
    pub(crate) verifier: Verifier,
    pub(crate) log: Log,
}
