//! Where a request goes: the token in its path names a session, or a lobby in which its trace does.

use super::room::Room;
use hyper::Uri;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The token and the path with its query, of `/TOKEN/PATH`; none when there is no token or the path leads upwards.
pub(super) fn split(uri: &Uri) -> Option<(&str, &str)> {
    let path = uri.path_and_query()?.as_str().strip_prefix('/')?;
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (token, rest) = path.split_at(end);
    let upwards = rest.split('?').next().unwrap_or_default().split('/').any(is_upwards);
    (!token.is_empty() && !upwards).then_some((token, rest))
}

/// `..`, also in the escaped forms that a URL library undoes.
fn is_upwards(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == ".." || plain.contains('\\') || plain.contains("%5c")
}

/// Everything that is open, by token.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    open: Mutex<HashMap<String, Entrance>>,
}

/// What a token opens.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// One session's way to one upstream.
    Private { room: Arc<Room>, variable: String },
    /// The way of several sessions.
    Shared { hall: Arc<Hall>, variable: String },
}

impl Entrances {
    pub(super) fn add(&self, token: String, entrance: Entrance) {
        lock(&self.open).insert(token, entrance);
    }

    pub(super) fn remove<'a>(&self, tokens: impl Iterator<Item = &'a str>) {
        let mut open = lock(&self.open);
        tokens.for_each(|token| {
            open.remove(token);
        });
    }

    /// The session that a request belongs to, and the variable of its upstream.
    pub(super) fn find(&self, token: &str, traceparent: Option<&str>) -> Option<(Arc<Room>, String)> {
        let entrance = lock(&self.open).get(token).cloned()?;
        match entrance {
            Entrance::Private { room, variable } => Some((room, variable)),
            Entrance::Shared { hall, variable } => Some((hall.room(traceparent)?, variable)),
        }
    }
}

/// The sessions in a lobby.
#[derive(Debug, Default)]
pub(super) struct Hall {
    sessions: Mutex<Vec<(Option<String>, Arc<Room>)>>,
    strays: AtomicU64,
}

impl Hall {
    pub(super) fn let_in(&self, trace_id: Option<&str>, room: &Arc<Room>) {
        lock(&self.sessions).push((trace_id.map(str::to_ascii_lowercase), Arc::clone(room)));
    }

    pub(super) fn let_out(&self, room: &Arc<Room>) {
        lock(&self.sessions).retain(|(_, other)| !Arc::ptr_eq(room, other));
    }

    pub(super) fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }

    /// The session with the request's trace id, else the one that takes all others.
    fn room(&self, traceparent: Option<&str>) -> Option<Arc<Room>> {
        let sessions = lock(&self.sessions);
        let trace = traceparent.and_then(|header| header.split('-').nth(1)).map(str::to_ascii_lowercase);
        let named = trace.and_then(|trace| sessions.iter().find(|(id, _)| id.as_ref() == Some(&trace)));
        let found = named.or_else(|| sessions.iter().find(|(id, _)| id.is_none())).map(|(_, room)| Arc::clone(room));
        if found.is_none() {
            self.strays.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}

/// What is behind a lock; a panic elsewhere leaves it whole, because nothing is half done under it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_the_token_and_the_rest_is_the_path() {
        let split_of = |text: &str| split(&text.parse().unwrap()).map(|(token, path)| (token.to_string(), path.to_string()));
        let is = |token: &str, path: &str| Some((token.to_string(), path.to_string()));
        assert_eq!(split_of("/abc/v1/chat?a=/b"), is("abc", "/v1/chat?a=/b"));
        assert_eq!(split_of("http://127.0.0.1:1/abc/v1"), is("abc", "/v1"));
        assert_eq!(split_of("/abc?x"), is("abc", "?x"));
        for bad in ["/", "/abc/../x", "/abc/%2E%2e/x", "/abc/a\\..\\b"] {
            assert!(bad.parse::<Uri>().is_err() || split_of(bad).is_none(), "{bad}");
        }
    }
}
