//! Headers that are whole, and headers that are not.
