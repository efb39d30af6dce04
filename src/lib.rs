//! The map of ilot, in reading order from the roof to the ground; it defines nothing.
//!
//! `main → app → domains/* → engines · store · web → base`: a file uses floors below its own, or
//! files below it in its own folder. `tests/house.rs` holds this as a test.

/// Floor 4: opens, listens, closes; the only place where domains meet.
pub mod app;
/// Floor 1: the ground.
pub mod base;
/// Floor 3: what the box does, in columns that never import one another.
pub mod domains;
/// Floor 2: one foreign library per file, nothing of ours inside.
pub mod engines;
/// Floor 2: redb and nothing but redb.
pub mod store;
/// Floor 2: what every HTTP route leans on.
pub mod web;
