//! Which language a text is in, by whatlang.
