//! The app that these tools serve: its keys and rows, its people, its conversations.

pub mod conversations;
pub mod keys;
pub mod mentions;
pub mod partition;
pub mod pseudonym;
pub mod records;
pub mod shown;
pub mod times;
pub mod users;
