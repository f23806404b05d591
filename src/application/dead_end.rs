//! A dead end: the HTTP proxy of an application's other traffic, which lets nothing out and remembers where it went.

use crate::fault::Fault;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Bytes of a request's head that are read.
const HEAD: u64 = 8 << 10;
/// Hosts that are remembered.
const HOSTS: usize = 20;
/// 403 is a status that no SDK tries again.
const REFUSAL: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nx-should-retry: false\r\ncontent-type: text/plain\r\ncontent-length: 63\r\nconnection: close\r\n\r\n\
relapse: this host is not an upstream of the target, see report";

/// A proxy on a free port of 127.0.0.1 that refuses everything.
#[derive(Debug)]
pub struct DeadEnd {
    address: SocketAddr,
    hosts: Arc<Mutex<BTreeSet<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for DeadEnd {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl DeadEnd {
    /// Opens a dead end; needs a tokio runtime.
    ///
    /// # Errors
    /// When no port of loopback is free.
    pub async fn open() -> Result<Self, Fault> {
        let unopened = |error: std::io::Error| Fault::infrastructure(format!("cannot listen on 127.0.0.1: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unopened)?;
        let address = listener.local_addr().map_err(unopened)?;
        let hosts = Arc::new(Mutex::new(BTreeSet::new()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&hosts)));
        Ok(Self { address, hosts, accepting })
    }

    /// The variables that lead HTTP clients here; what is on loopback is spoken to directly.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let here = format!("http://{}", self.address);
        let away = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
        let near = ["NO_PROXY", "no_proxy"].map(|name| (name, "127.0.0.1,localhost,::1".to_owned()));
        away.into_iter().map(|name| (name, here.clone())).chain(near).collect()
    }

    /// Whether no host was asked for since they were last taken.
    pub fn is_untouched(&self) -> bool {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The hosts that were asked for since they were last taken, by name.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

async fn accept(listener: TcpListener, hosts: Arc<Mutex<BTreeSet<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let hosts = Arc::clone(&hosts);
        connections.spawn(async move { refuse(stream, &hosts).await });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads the first line of a request, remembers its host and says no.
async fn refuse(mut stream: TcpStream, hosts: &Mutex<BTreeSet<String>>) {
    let mut head = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(HEAD);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if reader.read_buf(&mut head).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&head);
    if let Some(host) = line.lines().next().and_then(host) {
        let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < HOSTS {
            hosts.insert(host);
        }
    }
    let _ = writer.write_all(REFUSAL).await;
}

/// The host of `CONNECT host:port HTTP/1.1` or `GET http://host/path HTTP/1.1`.
fn host(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let authority = if method == "CONNECT" { target } else { target.split_once("://")?.1.split(['/', '?']).next()? };
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_is_told_without_its_password() {
        assert_eq!(host("CONNECT api.openai.com:443 HTTP/1.1"), Some("api.openai.com:443".into()));
        assert_eq!(host("GET http://user:pass@example.com/a?b HTTP/1.1"), Some("example.com".into()));
        assert_eq!(host("GET / HTTP/1.1"), None);
    }

    #[test]
    fn the_refusal_has_the_length_that_it_declares() {
        let (_, body) = std::str::from_utf8(REFUSAL).unwrap().split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 63);
    }
}
