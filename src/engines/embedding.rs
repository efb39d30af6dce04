//! The sentence transformer, by candle.
