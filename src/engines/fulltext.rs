//! Full text, by tantivy.
