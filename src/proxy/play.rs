//! Playing an answer: its events one by one, with their pauses, to the end that it had.

use super::line::Cutter;
use super::receipt::Receipt;
use crate::condition::Plan;
use crate::wire::{End, Event, Payload, Response, sse};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Sleep, sleep};

/// What was sent must have left before the connection is broken off, or the application would not see it.
pub(super) const FLUSH: Duration = Duration::from_millis(20);

/// Headers that belong to one connection or one encoding of a body, and not to an answer.
pub(super) const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One step of an answer's body.
#[derive(Debug)]
enum Step {
    /// Bytes, and whether they end an event or the whole.
    Send(Bytes, bool),
    /// A pause.
    Wait(Duration),
    /// The connection breaks off.
    Break(Cut),
    /// Nothing more, until the application goes.
    Stall,
}

/// A connection that breaks off: reset by a cutter, else closed without an end.
#[derive(Debug)]
pub(super) struct Cut(pub(super) Option<Cutter>);

/// The body of an answer that is being played.
pub(super) struct Played {
    steps: VecDeque<Step>,
    /// Pieces of a live answer, in place of steps.
    pieces: Option<Receiver<Result<Bytes, Cut>>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Bytes to come, where the answer is in one piece.
    length: Option<u64>,
    receipt: Option<Receipt>,
}

/// Why the body stops: hyper then drops the connection.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the recorded answer breaks off here")
    }
}

impl std::error::Error for BrokenOff {}

/// Plays a response, and settles the receipt when the last of it is on its way.
pub(super) fn play(response: &Response, plan: &Plan, cutter: Cutter, bodiless: bool, receipt: Option<Receipt>) -> hyper::Response<Played> {
    let bodiless = bodiless || is_bodiless(response.status);
    let mut steps = if bodiless { VecDeque::new() } else { steps(response, plan.between, cutter) };
    let length = match steps.make_contiguous() {
        [] => Some(0),
        [Step::Send(bytes, _)] if !matches!(response.payload, Payload::Events(_)) => Some(bytes.len() as u64),
        _ => None,
    };
    let mut played = Played { steps, pieces: None, pause: None, length, receipt };
    played.settle_if_over();
    let mut answer = hyper::Response::new(played);
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *answer.headers_mut() = headers(response);
    answer
}

/// Whether an answer has a head only, whoever asked.
pub(super) fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// Passes on a live answer whose pieces are still coming.
pub(super) fn pass(head: &Response, pieces: Receiver<Result<Bytes, Cut>>, bodiless: bool) -> hyper::Response<Played> {
    let played = Played { steps: VecDeque::new(), pieces: (!bodiless).then_some(pieces), pause: None, length: None, receipt: None };
    let mut answer = hyper::Response::new(played);
    *answer.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *answer.headers_mut() = headers(head);
    // The bytes go on as they are: packed if they came so, and as many as were told.
    for name in [CONTENT_ENCODING, CONTENT_LENGTH] {
        if let Some(value) = head.headers.get(name.as_str()).and_then(|value| HeaderValue::from_str(value).ok()) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn steps(response: &Response, between: Duration, cutter: Cutter) -> VecDeque<Step> {
    let mut steps: VecDeque<Step> = match &response.payload {
        Payload::Empty => VecDeque::new(),
        Payload::Json(json) => [Step::Send(json.to_string().into(), true)].into(),
        Payload::Text(text) => [Step::Send(text.clone().into(), true)].into(),
        Payload::Bytes(bytes) => [Step::Send(bytes.clone().into(), true)].into(),
        Payload::Events(events) => paced(events, &response.cuts, between),
    };
    let streamed = matches!(response.payload, Payload::Events(_));
    match response.end {
        End::Reset => steps.extend([Step::Wait(FLUSH), Step::Break(Cut(Some(cutter)))]),
        // A stream that is closed early ends as HTTP says; an answer in one piece cannot.
        End::Close if !streamed => steps.extend([Step::Wait(FLUSH), Step::Break(Cut(None))]),
        End::ClientGone => steps.push_back(Step::Stall),
        End::Close | End::Complete | End::ErrorEvent => {}
    }
    steps
}

/// The events one by one, each in the pieces in which it came.
fn paced(events: &[Event], cuts: &[usize], between: Duration) -> VecDeque<Step> {
    let mut steps = VecDeque::with_capacity(events.len() + cuts.len());
    let (mut cuts, mut before) = (cuts.iter().copied().peekable(), 0);
    for event in events {
        if !steps.is_empty() && !between.is_zero() {
            steps.push_back(Step::Wait(between));
        }
        let mut frame = Bytes::from(sse::frame(event));
        let end = before + frame.len();
        while let Some(cut) = cuts.next_if(|cut| *cut < end) {
            if cut > before {
                steps.push_back(Step::Send(frame.split_to(cut - before), false));
                before = cut;
            }
        }
        steps.push_back(Step::Send(frame, true));
        before = end;
    }
    if events.is_empty() {
        // A stream without an event is a stream all the same, and has no length.
        steps.push_back(Step::Send(Bytes::new(), true));
    }
    steps
}

fn headers(response: &Response) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(response.headers.len() + 1);
    for (name, value) in response.headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let kind = match &response.payload {
        Payload::Empty => return headers,
        Payload::Json(_) => "application/json",
        Payload::Text(_) => "text/plain; charset=utf-8",
        Payload::Bytes(_) => "application/octet-stream",
        Payload::Events(_) => "text/event-stream; charset=utf-8",
    };
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
    headers
}

impl Played {
    fn settle_if_over(&mut self) {
        if self.steps.is_empty()
            && let Some(receipt) = self.receipt.take()
        {
            receipt.settle();
        }
    }

    fn sent(&mut self, bytes: &Bytes, is_end: bool) {
        if let Some(length) = &mut self.length {
            *length = length.saturating_sub(bytes.len() as u64);
        }
        if let Some(receipt) = self.receipt.as_mut().filter(|_| is_end) {
            receipt.sent_one();
        }
        self.settle_if_over();
    }

    fn broken(&mut self, cut: Cut) -> BrokenOff {
        if let Some(cutter) = cut.0 {
            cutter.reset();
        }
        self.settle_if_over();
        BrokenOff
    }
}

impl Body for Played {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(pieces) = &mut self.pieces {
            return Poll::Ready(match std::task::ready!(pieces.poll_recv(context)) {
                None => None,
                Some(Ok(piece)) => Some(Ok(Frame::data(piece))),
                Some(Err(cut)) => Some(Err(self.broken(cut))),
            });
        }
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes, is_end)) => {
                    self.sent(&bytes, is_end);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(time)) => self.pause = Some(Box::pin(sleep(time))),
                Some(Step::Break(cut)) => return Poll::Ready(Some(Err(self.broken(cut)))),
                Some(Step::Stall) => {
                    // The connection's own end wakes the task.
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none() && self.pieces.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
