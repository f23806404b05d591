//! The mapping from names on the wire to fields, as data.
