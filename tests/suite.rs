//! One binary for all integration tests, so that they link once; each file beside this one is a chapter.

mod depot;
mod door;
mod house;
mod readers;
