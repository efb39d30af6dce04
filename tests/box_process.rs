//! The real program in folders of its own: its command line, its ends good and bad, and what outlives them.

mod audit;
mod ends;
mod line;
mod machine;
mod watchdog;
