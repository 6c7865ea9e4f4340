//! What every cruddur-ops tool shares, and nothing else. A room is a module that is a
//! folder; its name says what belongs there.
//!
//! Imports run one way: `error`, `env`, `text` <- [`target`] <- [`ui`] <- [`consent`] <-
//! [`aws`] <- [`dynamodb`], and `consent` <- [`postgres`]; both <- [`app`] <- `complete`
//! <- [`cli`]. [`files`] stands beside [`ui`]. Nothing below [`ui`] prints.

pub mod app;
pub mod args;
pub mod aws;
pub mod cli;
mod complete;
pub mod consent;
pub mod dynamodb;
pub mod env;
pub mod error;
pub mod files;
pub mod postgres;
pub mod target;
pub mod text;
pub mod ui;
