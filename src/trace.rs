//! A trace: what one request did, in one normalised model.
