//! Cutting a text into passages that follow its sentences and headings.
