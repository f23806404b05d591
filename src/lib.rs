//! relapse keeps an LLM application from failing the same way twice.
//!
//! A [`postmortem`] names its evidence: telemetry ([`otlp`], or a [`vendor`]'s export) and HTTP exchanges ([`wire`]). Both are normalised into
//! one [`trace`], from which [`signal`]s are computed. [`compile`] proves that each [`check`] fails on the incident and
//! passes when healthy, and writes a [`case`]. [`replay`] runs a case on a target of the [`project`], and what it
//! observed becomes a [`verdict`]. A [`report`] writes verdicts down. What goes over the network goes through [`egress`].
//!
//! **A module may import only from modules above it in this list.** `tests/architecture.rs` holds that rule, so this
//! file is the architecture document.

pub mod fault;

pub mod limit;

pub mod inert;

pub mod canonical;

pub mod token;

pub mod tree;

pub mod redact;

pub mod disk;

pub mod yaml;

pub mod wire;

pub mod egress;

pub mod price;

pub mod otlp;

pub mod vendor;

pub mod receiver;

pub mod field;

pub mod signal;

pub mod change;

pub mod diagnosis;

pub mod gate;

pub mod comparison;

pub mod shard;

pub mod verdict;

pub mod mapping;

pub mod trace;

pub mod normalise;

pub mod request;

pub mod evidence;

pub mod expression;

pub mod grade;

pub mod judge;

pub mod check;

pub mod postmortem;

pub mod project;

pub mod waiver;

pub mod judgement;

pub mod application;

pub mod case;

pub mod provider;

pub mod client;

pub mod contrast;

pub mod runbook;

pub mod suite;

pub mod revision;

pub mod compile;

pub mod prompt;

pub mod recording;

pub mod condition;

pub mod proxy;

pub mod session;

pub mod snapshot;

pub mod assessment;

pub mod grading;

pub mod replay;

pub mod confirmation;

pub mod report;

pub mod draft;

pub mod starter;

pub mod schema;

pub mod cli;
