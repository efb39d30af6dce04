//! The journal as auditors need it: every tampering is found, named, and tied to its number.

mod tampering;
