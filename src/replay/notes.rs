//! Notes: what a reader should know of the trials of a case, each thing said once.

/// Notes in the order in which they first came, each with the trials of which it is true.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<(String, Vec<u32>)>);

impl Notes {
    pub(super) fn add(&mut self, trial: u32, note: String) {
        match self.0.iter_mut().find(|(known, _)| *known == note) {
            Some((_, trials)) => trials.push(trial),
            None => self.0.push((note, vec![trial])),
        }
    }

    /// Every note, with the trial that it is of, where that is not the first, or with how many it is of.
    pub(super) fn told(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(note, trials)| match trials.as_slice() {
            [] | [1] => note,
            [trial] => format!("trial {trial}, {note}"),
            several => format!("{note} (so in {} trials)", several.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_true_of_several_trials_is_said_once() {
        let mut notes = Notes::default();
        for (trial, note) in [(1, "call 1: a"), (1, "call 2: b"), (2, "call 1: a"), (3, "call 1: c"), (3, "call 1: a")] {
            notes.add(trial, note.to_string());
        }
        assert_eq!(notes.told().collect::<Vec<_>>(), ["call 1: a (so in 3 trials)", "call 2: b", "trial 3, call 1: c"]);
    }
}
