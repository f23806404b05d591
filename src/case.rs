//! A case: a compiled postmortem.
