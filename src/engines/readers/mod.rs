//! Foreign document formats, one reader per file; each turns bytes into plain text with headings.
