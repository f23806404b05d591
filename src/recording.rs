//! A recording: answers of one case on one target.
