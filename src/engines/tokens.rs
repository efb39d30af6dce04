//! Signed access tokens (JWT), by jsonwebtoken.
