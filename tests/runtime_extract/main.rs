//! The handler `extract` as it is deployed: the real binary, real servers, a real stream.
//!
//! Needs a Python with ministack (`PIPECTL_TEST_PYTHON`) and the servers that `scripts/mysql.sh` installs.

mod audit;
#[allow(dead_code)]
#[path = "../runtime_copy/cloud.rs"]
mod cloud;
mod compare;
#[allow(dead_code)]
#[path = "../runtime_copy/function.rs"]
mod function;
#[allow(dead_code)]
#[path = "../shared/log.rs"]
mod log;
mod login;
mod million;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../shared/session.rs"]
mod session;
mod throttled;
mod types;
mod watermark;
mod world;
