//! pipectl as a user runs it: the built program against local clouds of their own. A file for each feature.

mod client;
mod cloud;
mod database;
#[path = "../shared/message.rs"]
mod message;
mod policies;
mod run;
#[path = "../shared/runtime.rs"]
mod runtime;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../shared/session.rs"]
mod session;
mod stand_in;

mod adopt;
mod again;
mod alerts;
mod apply;
mod backfill;
mod binlog;
mod call_count;
mod changes;
mod chinook;
mod columns;
mod command_line;
mod database_alarms;
mod destroy;
mod doctor;
mod drift;
mod first_steps;
mod folders;
mod handshake;
mod interrupt;
mod kinesis;
mod lease;
mod least_privilege;
mod main_job;
mod mysql;
mod mysql_privilege;
mod pipes;
mod redrive;
mod render;
mod running_graph;
mod saved_plan;
mod second_deploy;
mod secrets;
mod stack_status;
mod star;
mod there_and_back;
mod verify;
mod workload;
