//! The continuity pack: what a site needs to go on, kept fresh in files and signed.

pub mod part;
