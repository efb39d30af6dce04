//! The ground floor: words every other floor uses, and the outside world behind interfaces.

pub mod caller;
pub mod clock;
pub mod config;
pub mod confine;
pub mod day;

pub mod disk;
pub mod fault;
pub mod health;
pub mod id;
pub mod mark;
pub mod memory;
pub mod paths;
pub mod tasks;
