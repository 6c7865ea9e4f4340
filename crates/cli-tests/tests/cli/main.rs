//! Each tool as its user runs it: the built binary against a throw-away stack,
//! with stdout, stderr and exit status looked at.

mod account;
mod boto3;
mod bulk;
mod bulk_faults;
mod cognito_ids;
mod cognito_list;
mod compose;
mod connect;
mod conversations;
mod db_setup;
mod docs;
mod drop_table;
mod dynalite;
mod export;
mod fault_table;
mod faults;
mod help;
mod identities;
mod import;
mod in_the_hand;
mod list_tables;
mod local_stack;
mod readme;
mod round_trip;
mod scan;
mod schema_load;
mod seed;
mod send_message;
mod services;
mod sessions;
mod sg_rule;
mod targets;
mod terminal;
mod tls;
