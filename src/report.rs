//! Reports: verdicts, written down.
