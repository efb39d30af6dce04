//! The box's own certificate authority and the TLS settings.
