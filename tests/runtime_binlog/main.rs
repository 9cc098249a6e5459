//! The service `binlog` as it is deployed: the real binary, real servers, a real stream.
//!
//! Needs a Python with ministack (`PIPECTL_TEST_PYTHON`) and the servers that `scripts/mysql.sh` installs.

#[allow(dead_code)]
#[path = "../runtime_copy/cloud.rs"]
mod cloud;
mod drain;
#[allow(dead_code)]
#[path = "../runtime_copy/function.rs"]
mod function;
mod large;
#[path = "../shared/log.rs"]
mod log;
mod lost;
#[path = "../servers/mod.rs"]
mod servers;
mod service;
#[allow(dead_code)]
#[path = "../shared/session.rs"]
mod session;
mod types;
mod workload;
#[allow(dead_code)]
#[path = "../runtime_extract/world.rs"]
mod world;
