//! A sweep over a request's time: how long each span was the innermost one that ran.

use crate::mapping::Kind;
use crate::trace::{Node, Trace};
use std::collections::{BTreeMap, BTreeSet};

/// What the sweep found, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sweep {
    /// Time of each span in which no child of it ran; of several spans that ran beside each other the one that ended last.
    pub(super) exclusive: Vec<u64>,
    /// Time between attempts that are spans of their own, in which nothing else ran.
    pub(super) waits: u64,
}

/// Ends come before starts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    End(usize),
    WaitEnds,
    Start(usize),
    WaitStarts,
}

/// Sweeps the root's time; spans are clipped to it.
pub(super) fn of(trace: &Trace, root: &Node) -> Sweep {
    let clip = |start: u64, end: u64| (start.max(root.start_ns), end.min(root.end_ns));
    let mut changes: Vec<(u64, Change)> = Vec::new();
    for (index, node) in trace.nodes.iter().enumerate().filter(|(_, node)| node.start_ns > 0) {
        let (start, end) = clip(node.start_ns, node.end_ns);
        if start < end {
            changes.extend([(start, Change::Start(index)), (end, Change::End(index))]);
        }
    }
    for (start, end) in waits(trace).into_iter().map(|(start, end)| clip(start, end)).filter(|(start, end)| start < end) {
        changes.extend([(start, Change::WaitStarts), (end, Change::WaitEnds)]);
    }
    changes.sort_unstable();
    let mut running = Running::new(trace);
    let mut sweep = Sweep { exclusive: vec![0; trace.nodes.len()], waits: 0 };
    let mut since = root.start_ns;
    for (time, change) in changes {
        running.credit(time - since, &mut sweep);
        since = time;
        running.take(change);
    }
    sweep
}

/// From the end of each attempt that failed to the start of the next one.
fn waits(trace: &Trace) -> Vec<(u64, u64)> {
    if trace.retried.is_empty() {
        return Vec::new();
    }
    let mut starts: BTreeMap<Option<usize>, Vec<u64>> = BTreeMap::new();
    for node in trace.nodes.iter().filter(|node| node.kind == Kind::Model) {
        starts.entry(node.parent).or_default().push(node.start_ns);
    }
    starts.values_mut().for_each(|starts| starts.sort_unstable());
    let next = |node: &Node| {
        let starts = starts.get(&node.parent)?;
        starts.get(starts.partition_point(|start| *start < node.end_ns)).copied()
    };
    trace.retried.iter().map(|index| &trace.nodes[*index]).filter_map(|node| Some((node.end_ns, next(node)?))).collect()
}

/// The spans that run at one moment.
struct Running<'a> {
    trace: &'a Trace,
    /// Children that run, by span.
    children: Vec<u32>,
    runs: Vec<bool>,
    /// Spans that run without a child that does, by end.
    innermost: BTreeSet<(u64, usize)>,
    waiting: u32,
}

impl<'a> Running<'a> {
    fn new(trace: &'a Trace) -> Self {
        let count = trace.nodes.len();
        Self { trace, children: vec![0; count], runs: vec![false; count], innermost: BTreeSet::new(), waiting: 0 }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Start(index) => {
                self.runs[index] = true;
                if self.children[index] == 0 {
                    self.innermost.insert(self.key(index));
                }
                if let Some(parent) = self.trace.nodes[index].parent {
                    self.children[parent] += 1;
                    self.innermost.remove(&self.key(parent));
                }
            }
            Change::End(index) => {
                self.runs[index] = false;
                self.innermost.remove(&self.key(index));
                if let Some(parent) = self.trace.nodes[index].parent {
                    self.children[parent] -= 1;
                    if self.children[parent] == 0 && self.runs[parent] {
                        self.innermost.insert(self.key(parent));
                    }
                }
            }
            Change::WaitStarts => self.waiting += 1,
            Change::WaitEnds => self.waiting -= 1,
        }
    }

    fn key(&self, index: usize) -> (u64, usize) {
        (self.trace.nodes[index].end_ns, index)
    }

    /// Gives a slice of time to whoever it belongs to.
    fn credit(&self, nanos: u64, sweep: &mut Sweep) {
        let innermost = self.innermost.last().map(|(_, index)| *index);
        let idle = innermost.is_none_or(|index| matches!(self.trace.nodes[index].kind, Kind::Agent | Kind::Chain | Kind::Other));
        if self.waiting > 0 && idle {
            sweep.waits += nanos;
        } else if let Some(index) = innermost {
            sweep.exclusive[index] += nanos;
        }
    }
}
