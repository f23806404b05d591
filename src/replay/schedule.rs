//! A schedule: work on many items at once, on all cores, with results in the items' order.

use crate::fault::Fault;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// The runtime of a run: connections, timers and programs live on it.
///
/// # Errors
/// The machine grants no more threads.
pub(super) fn runtime() -> Result<Runtime, Fault> {
    let built = Builder::new_multi_thread().worker_threads(cores()).enable_all().build();
    built.map_err(|error| Fault::infrastructure(format!("cannot start the threads of a run: {error}")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does the work on every item, at most `width` of them at once, until all are done or `stop` ends; then what is under way
/// is given up.
///
/// Each core polls its own share, so that work that never waits (a replay) keeps all cores busy without being sent from
/// thread to thread, and may borrow.
pub(super) fn each<T, R, F, S>(
    handle: &Handle,
    items: &[T],
    width: usize,
    stop: impl Fn() -> S + Sync,
    work: impl Fn(&T) -> F + Sync,
) -> Vec<R>
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
        let drive = move |driver: usize| move || handle.block_on(drive(items, next, share(driver), stop(), work));
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
        for width in [1, 2, 3, 7, 64] {
            let runtime = runtime().unwrap();
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let items: Vec<usize> = (0..50).collect();
            let results = each(runtime.handle(), &items, width, std::future::pending, |item| {
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
        assert_eq!(each(runtime().unwrap().handle(), &none, 4, std::future::pending, |item| std::future::ready(*item)), none);
    }

    #[test]
    fn a_stop_gives_up_what_is_under_way_and_keeps_what_is_done() {
        let runtime = runtime().unwrap();
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
        let done = each(runtime.handle(), &items[..4], 1, || stop.notified(), work);
        assert_eq!(done, [0, 1, 2]);
    }
}
