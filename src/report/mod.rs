//! What people and programs get to see: plans, progress, results, rendered files.

pub mod bar;
pub mod out;
pub mod plan;
pub mod progress;
pub mod render;
pub mod result;
pub mod style;
pub mod table;
