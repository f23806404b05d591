//! The suite: every compiled case, each as fresh as its postmortem.
