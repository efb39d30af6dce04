//! One foreign library per file, nothing of ours inside; engines do not know one another.

pub mod embedding;
pub mod fulltext;
pub mod generation;
pub mod language;
pub mod qr;
pub mod readers;
pub mod reranking;
pub mod second_factor;
pub mod secrets;
pub mod signing;
pub mod tls;
pub mod tokens;
pub mod upstream;
pub mod vectors;
