//! Sealing, hashing and deriving keys.
