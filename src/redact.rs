//! The redactor: secrets never reach a file.
