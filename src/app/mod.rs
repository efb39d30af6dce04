//! Opens, listens, closes; the only place where domains meet.

pub mod listen;
pub mod logs;
