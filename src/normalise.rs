//! From spans and log records to one trace.
