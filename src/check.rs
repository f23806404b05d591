//! A check: what must hold, and the evidence for it.
