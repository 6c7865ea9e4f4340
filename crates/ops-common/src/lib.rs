//! What every cruddur-ops tool shares, and nothing else.
//!
//! Imports run one way: `keys <- records <- conversations`, `target <- aws <-
//! dynamodb`, `target <- postgres`, `cli` on top of all. Nothing below [`ui`] prints.

pub mod args;
pub mod aws;
pub mod batch;
pub mod cli;
pub mod confirm;
pub mod conversations;
pub mod dynamodb;
pub mod env;
pub mod error;
pub mod keys;
pub mod net;
pub mod postgres;
pub mod records;
pub mod stamp;
pub mod table;
pub mod table_lifecycle;
pub mod target;
pub mod times;
pub mod ui;
pub mod users;
