//! The project: targets, telemetry aliases, waivers and budgets of `relapse.yaml`.
