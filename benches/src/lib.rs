//! Measurements of ilot, each a program of its own that prints a table.
