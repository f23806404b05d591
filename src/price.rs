//! Prices: what tokens cost, as a versioned table.

use crate::wire::call::Usage;
use std::sync::LazyLock;

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Of the part of the prompt that was read from a cache.
    pub cached: f64,
    /// Of the answer.
    pub output: f64,
}

const TABLE: &str = include_str!("prices.csv");

static PRICES: LazyLock<Vec<(&str, Price)>> =
    LazyLock::new(|| TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect());

fn row(line: &'static str) -> Option<(&'static str, Price)> {
    let mut cells = line.split(',');
    let model = cells.next()?;
    let mut number = || cells.next()?.parse().ok();
    Some((model, Price { input: number()?, cached: number()?, output: number()? }))
}

impl Price {
    /// The price of a model by its name, with or without a date; none for one that is not listed.
    pub fn of(model: &str) -> Option<Self> {
        let find = |name: &str| PRICES.iter().find(|(known, _)| *known == name && name != "*").map(|(_, price)| *price);
        find(model).or_else(|| find(undated(model)?))
    }

    /// What a model counts that is not listed: more than nearly all of them cost.
    pub fn ceiling() -> Self {
        PRICES.iter().find(|(known, _)| *known == "*").map(|(_, price)| *price).unwrap_or_default()
    }

    /// What some tokens cost; none when the provider did not tell both counts.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        let (input, output) = (usage.input? as f64, usage.output? as f64);
        let cached = (usage.cached.unwrap_or(0) as f64).min(input);
        Some(((input - cached) * self.input + cached * self.cached + output * self.output) / 1e6)
    }
}

/// The name without `-2024-07-18`, `-20250514` or `-latest`.
fn undated(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let dashed = model.len().checked_sub(11).and_then(|at| model.split_at_checked(at));
    let is_date = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, form)| if form == b'9' { byte.is_ascii_digit() } else { byte == form })
    };
    if let Some((name, date)) = dashed
        && is_date(date, "-9999-99-99")
    {
        return Some(name);
    }
    let (name, date) = model.rsplit_once('-')?;
    is_date(date, "99999999").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_with_and_without_its_date() {
        let mini = Price::of("gpt-4o-mini");
        assert_eq!(mini, Some(Price { input: 0.15, cached: 0.075, output: 0.6 }));
        assert_eq!(Price::of("gpt-4o-mini-2024-07-18"), mini);
        assert_eq!(Price::of("claude-sonnet-4-20250514"), Price::of("claude-sonnet-4"));
        assert_eq!(Price::of("claude-3-5-haiku-latest"), Price::of("claude-3-5-haiku"));
    }

    #[test]
    fn a_name_that_only_begins_alike_is_another_model() {
        for model in ["gpt-5-pro", "gpt-4o-mini-tts", "o1-pro", "gpt", "", "*", "é-2024-07-18", "-latest"] {
            assert_eq!(Price::of(model), None, "{model}");
        }
    }

    #[test]
    fn cached_tokens_cost_less_and_an_unknown_count_is_an_unknown_cost() {
        let price = Price { input: 2.0, cached: 1.0, output: 10.0 };
        let usage = Usage { input: Some(1_000_000), output: Some(100_000), cached: Some(500_000), reasoning: None };
        assert_eq!(price.cost(&usage), Some(2.5));
        assert_eq!(price.cost(&Usage { output: None, ..usage }), None);
    }

    #[test]
    fn every_row_of_the_table_is_read_and_none_stands_twice() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        let mut names: Vec<&str> = PRICES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), rows);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows);
        assert!(Price::ceiling().output > 0.0);
    }
}
