//! Evidence: files of telemetry and wire, read and joined into requests.
