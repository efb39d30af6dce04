//! What the box does, in columns that never import one another.

pub mod activity;
pub mod assistant;
pub mod attendance;
pub mod continuity;
pub mod handover;
pub mod identity;
