//! Asking a service: one HTTP request to a port of loopback.

use crate::limit;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::net::Ipv4Addr;
use tokio::net::TcpStream;

/// A request to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body as JSON.
    pub body: Option<String>,
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Asks the service on a port of 127.0.0.1.
///
/// # Errors
/// Why there is no answer, in words.
pub async fn ask(port: u16, asked: &Asked) -> Result<Response, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request(port, asked)?).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), limit::OUTPUT_BYTES).collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok(Response { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}

fn request(port: u16, asked: &Asked) -> Result<Request<Full<Bytes>>, String> {
    let method = Method::from_bytes(asked.method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = Request::builder().method(method).uri(&asked.path).header(HOST, format!("127.0.0.1:{port}"));
    if asked.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    request.body(Full::from(asked.body.clone().unwrap_or_default())).map_err(|error| error.to_string())
}
