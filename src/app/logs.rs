//! Structured logs, rotated inside the binary by size and days.
