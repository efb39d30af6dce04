//! The one integration-test binary: each file beside this one is a chapter of it.

mod store;
