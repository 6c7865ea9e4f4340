//! What every cruddur-ops tool shares, and nothing else.
//!
//! Imports run one way: `keys <- records <- conversations`, `target <- aws <-
//! dynamodb`, `target <- postgres`, `cli` on top of all. Nothing below [`ui`] prints.
//!
//! What goes through whole tables is `attributes <- item_keys <- batch` (writing)
//! and `attributes <- scan` (reading), both on `retry` and `capacity`.

pub mod account;
pub mod answers;
pub mod args;
pub mod attributes;
pub mod aws;
pub mod batch;
pub mod capacity;
pub mod cli;
pub mod confirm;
pub mod conversations;
pub mod durable;
pub mod dynamodb;
pub mod env;
pub mod error;
pub mod item_format;
pub mod item_keys;
pub mod keys;
pub mod limited_file;
pub mod net;
pub mod page_tokens;
pub mod postgres;
pub mod records;
pub mod retry;
pub mod scan;
pub mod stamp;
pub mod table;
pub mod table_identity;
pub mod table_lifecycle;
pub mod target;
pub mod terminal_safe;
pub mod times;
pub mod tls;
pub mod ui;
pub mod users;
pub mod wrap;
