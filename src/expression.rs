//! An expression over signals and fields, with three truth values.
