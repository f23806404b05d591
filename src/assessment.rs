//! An assessment: a case held against what one candidate did.
