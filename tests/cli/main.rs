//! pipectl as a user runs it: the built program against local clouds of their own. A file for each feature.

mod client;
mod cloud;
mod run;

mod columns;
mod command_line;
mod destroy;
mod doctor;
mod drift;
mod first_steps;
mod folders;
mod handshake;
mod interrupt;
mod lease;
mod least_privilege;
mod main_job;
mod render;
mod saved_plan;
mod second_deploy;
mod secrets;
mod there_and_back;
