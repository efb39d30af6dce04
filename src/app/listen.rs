//! Binds every address first, then serves, then drains.
