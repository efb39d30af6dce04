//! One binary for all integration tests, so that they link once; each file beside this one is a chapter.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::large_stack_arrays,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test says what went wrong by failing where it did"
)]

mod activity;
mod api;
mod box_process;
mod depot;
mod door;
mod generation;
mod golden;
mod handover;
mod house;
mod model_files;
mod planb;
mod quality;
mod readers;
mod store;
mod upstream;
