//! Replaying a case on a target.
