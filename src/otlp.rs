//! OTLP: spans and log records as they were exported.
