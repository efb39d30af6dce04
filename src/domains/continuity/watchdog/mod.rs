//! The watchdog: starts the main program, sees that it is well, and lets Plan B stand in for it.

pub mod state;
