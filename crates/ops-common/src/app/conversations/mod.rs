//! The app's access patterns on the messages table, one function for each: what it
//! reads, and what it writes when a person sends a message.

mod read;
mod repair;
mod write;

pub use read::{Found, Period, message_groups, messages, newest_message, partition, rows_of_group};
pub use repair::{Repair, plan_erasure, plan_removal, plan_repair, repair};
pub use write::{NotSent, Sent, conversation_of, create_message, create_message_group};
