//! Compiling a postmortem, and the proof.
