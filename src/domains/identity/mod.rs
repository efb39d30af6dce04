//! Who: users, logins, sessions and rights.
