//! The wire: HTTP exchanges with model, retrieval and tool servers, as they were.
