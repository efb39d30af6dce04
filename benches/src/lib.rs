//! Measurements of ilot, each a program of its own that prints a table; here what they share.

pub mod dice;
pub mod process;
pub mod squad;
pub mod times;
pub mod whole;
