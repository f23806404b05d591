//! A schedule: work on many items at once, on all cores, with results in the items' order.

use crate::fault::Fault;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Runtime};

/// Threads of each core that write files. They only wait: a file system makes all files that are waited for durable in one
/// go, so that sixteen at once take hardly longer than one.
const WRITERS: usize = 16;

/// The runtimes of a run: connections, timers and programs live on them.
#[derive(Debug)]
pub(super) struct Crew {
    /// What all cases share: signals, and applications with what serves them.
    common: Runtime,
    /// One for each core, whose connections serve the cases of that core; none where cases share programs.
    own: Vec<Runtime>,
}

impl Crew {
    /// Runtimes for cases that share nothing but the network.
    ///
    /// Each core then serves its own connections, and no piece of an answer is handed from thread to thread.
    ///
    /// # Errors
    /// The machine grants no more threads.
    pub(super) fn apart() -> Result<Self, Fault> {
        let own = (0..cores()).map(|_| built(Builder::new_current_thread().max_blocking_threads(WRITERS)));
        let own = own.collect::<Result<_, _>>()?;
        Ok(Self { own, ..Self::together()? })
    }

    /// One runtime, for cases that share programs and what serves them.
    ///
    /// # Errors
    /// The machine grants no more threads.
    pub(super) fn together() -> Result<Self, Fault> {
        let common = built(Builder::new_multi_thread().worker_threads(cores()))?;
        Ok(Self { common, own: Vec::new() })
    }

    /// Does something for all cases, before or after them.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.common.block_on(future)
    }

    fn drive<F: Future>(&self, driver: usize, future: F) -> F::Output {
        self.own.get(driver).unwrap_or(&self.common).block_on(future)
    }
}

fn built(builder: &mut Builder) -> Result<Runtime, Fault> {
    builder.enable_all().build().map_err(|error| Fault::infrastructure(format!("cannot start the threads of a run: {error}")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does the work on every item, at most `width` of them at once, until all are done or `stop` ends; then what is under way
/// is given up.
///
/// Each core polls its own share, so that work that never waits (a replay) keeps all cores busy without being sent from
/// thread to thread, and may borrow.
pub(super) fn each<T, R, F, S>(crew: &Crew, items: &[T], width: usize, stop: impl Fn() -> S + Sync, work: impl Fn(&T) -> F + Sync) -> Vec<R>
where
    T: Sync,
    R: Send,
    F: Future<Output = R>,
    S: Future<Output = ()>,
{
    let drivers = cores().min(width).min(items.len()).max(1);
    let next = AtomicUsize::new(0);
    let share = |driver: usize| (width / drivers + usize::from(driver < width % drivers)).max(1);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let (next, work, stop) = (&next, &work, &stop);
        let drive = move |driver: usize| move || crew.drive(driver, drive(items, next, share(driver), stop(), work));
        let threads: Vec<_> = (0..drivers).map(|driver| scope.spawn(drive(driver))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Takes items from the common queue until it is empty.
async fn drive<T, R, F: Future<Output = R>>(
    items: &[T],
    next: &AtomicUsize,
    width: usize,
    stop: impl Future<Output = ()>,
    work: impl Fn(&T) -> F,
) -> Vec<(usize, R)> {
    let mut stop = std::pin::pin!(stop);
    let mut running = FuturesUnordered::new();
    let mut done = Vec::new();
    loop {
        while running.len() < width {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            running.push(async move { (index, result.await) });
        }
        tokio::select! {
            result = running.next() => match result {
                Some(result) => done.push(result),
                None => return done,
            },
            () = &mut stop => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_and_no_more_than_the_width_run_at_once() {
        for (width, crew) in [1, 2, 3, 7, 64].into_iter().zip([Crew::apart, Crew::together].into_iter().cycle()) {
            let crew = crew().unwrap();
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let items: Vec<usize> = (0..50).collect();
            let results = each(&crew, &items, width, std::future::pending, |item| {
                let (item, running, most) = (*item, &running, &most);
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    item * 2
                }
            });
            assert_eq!(results, items.iter().map(|item| item * 2).collect::<Vec<_>>());
            assert!(most.load(Ordering::SeqCst) <= width, "width {width}");
        }
    }

    #[test]
    fn nothing_to_do_is_done() {
        let none: [u8; 0] = [];
        assert_eq!(each(&Crew::together().unwrap(), &none, 4, std::future::pending, |item| std::future::ready(*item)), none);
    }

    #[test]
    fn a_stop_gives_up_what_is_under_way_and_keeps_what_is_done() {
        let crew = Crew::apart().unwrap();
        let stop = tokio::sync::Notify::new();
        let items: Vec<usize> = (0..8).collect();
        let work = |item: &usize| {
            let (item, stop) = (*item, &stop);
            async move {
                if item == 3 {
                    stop.notify_one();
                    std::future::pending::<()>().await;
                }
                item
            }
        };
        let done = each(&crew, &items[..4], 1, || stop.notified(), work);
        assert_eq!(done, [0, 1, 2]);
    }
}
