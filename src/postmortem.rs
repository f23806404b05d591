//! A postmortem: what a person wrote after an incident.
