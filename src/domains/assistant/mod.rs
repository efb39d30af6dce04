//! Documents, passages and search: the person with a question gets passages with their sources.

pub mod fusion;
pub mod passages;
