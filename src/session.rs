//! A session: one run of an application in its user's own hands, of which the evidence is kept.

use crate::application::{self, Exit};
use crate::fault::{Fault, Faults};
use crate::limit;
use crate::otlp;
use crate::proxy::{Blank, Missed, Network, Proxy, Upstream, Witness};
use crate::receiver::{Delivery, Receiver};
use crate::recording;
use crate::redact::Redactor;
use crate::wire::{self, Exchange};
use std::time::Duration;

/// How long nothing arrives before an agent between the application and the receiver is taken to have sent all.
const IDLE: Duration = Duration::from_millis(500);

/// What was recorded of a session.
#[derive(Debug)]
pub struct Session {
    /// How the application ended.
    pub exit: Exit,
    delivery: Delivery,
    witness: Witness,
}

impl Session {
    /// Runs an application live between a proxy and a receiver.
    ///
    /// # Errors
    /// An application that does not start, an address that is none, or no free port.
    pub fn record(command: &[String], upstreams: Vec<Upstream>, network: Network) -> Result<Self, Faults> {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Fault::infrastructure(format!("cannot start the threads of a session: {error}")))?;
        runtime.block_on(Self::attend(command, upstreams, network))
    }

    async fn attend(command: &[String], upstreams: Vec<Upstream>, network: Network) -> Result<Self, Faults> {
        let (proxy, receiver) = (Proxy::bind().await?, Receiver::open().await?);
        let session = crate::proxy::Session {
            upstreams,
            conditions: crate::condition::Conditions::default(),
            trial: None,
            memory: Box::new(Blank),
            network: Some(network),
        };
        let door = proxy.open(session)?;
        let exit = application::attend(command, environment(&receiver, door.base_urls())).await?;
        receiver.drain(IDLE, limit::GRACE).await;
        let witness = door.close().await;
        Ok(Self { exit, delivery: receiver.take(), witness })
    }

    /// Spans, log records and exchanges that were recorded.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.delivery.spans.len(), self.delivery.logs.len(), self.exchanges().count())
    }

    /// Whether every request was sent: an application whose requests were not shows nothing of its servers.
    pub fn is_whole(&self) -> bool {
        self.unsent().next().is_none()
    }

    /// What a reader should know: what did not arrive, and what got no answer.
    pub fn findings(&self) -> Vec<String> {
        let unsent: Vec<Missed> = self.unsent().chain(&self.witness.troubles).cloned().collect();
        let told = Missed::tell(&unsent);
        let unseen =
            self.witness.exchanges.is_empty().then(|| "no request reached the proxy: does the application read the variable?".to_owned());
        self.delivery.findings().into_iter().chain(unseen).chain(told.lines().map(str::to_owned)).collect()
    }

    fn unsent(&self) -> impl Iterator<Item = &Missed> {
        self.witness.unsent.iter().chain(&self.witness.unaffordable)
    }

    /// Exchanges with servers; what we answered in their place is none.
    fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.witness.exchanges.iter().filter(|exchange| self.unsent().all(|unsent| unsent.seq != exchange.seq))
    }

    /// The telemetry as OTLP, one JSON document a line, without secrets.
    ///
    /// # Errors
    /// Something that still looks like a secret.
    pub fn traces(&self, redactor: &Redactor) -> Result<String, Fault> {
        clean(otlp::to_lines(&self.delivery.spans, &self.delivery.logs), redactor)
    }

    /// The wire, one exchange a line, without secrets.
    ///
    /// # Errors
    /// Something that still looks like a secret.
    pub fn wire(&self, redactor: &Redactor) -> Result<String, Fault> {
        let stored = self.exchanges().map(|exchange| recording::stored(exchange.clone(), exchange.seq, redactor));
        clean(stored.map(|exchange| format!("{}\n", wire::to_line(&exchange))).collect(), redactor)
    }
}

/// The variables that lead an application to us, after those that say how to export, which its user may have set.
fn environment<'u>(receiver: &Receiver, base_urls: impl Iterator<Item = (&'u str, &'u str)>) -> Vec<(String, String)> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let leads = |name: &str| matches!(name, "OTEL_EXPORTER_OTLP_ENDPOINT" | "OTEL_EXPORTER_OTLP_HEADERS");
    let telemetry = receiver.environment().into_iter().filter(|(name, _)| leads(name) || !is_set(name));
    let near = ["NO_PROXY", "no_proxy"].map(|name| {
        let own = std::env::var(name).map(|own| format!("{own},")).unwrap_or_default();
        (name, format!("{own}127.0.0.1,localhost"))
    });
    let pairs = telemetry.chain(near).chain(base_urls.map(|(name, url)| (name, url.to_owned())));
    pairs.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn clean(text: String, redactor: &Redactor) -> Result<String, Fault> {
    let text = redactor.redact(&text).into_owned();
    match redactor.scan(&text).first() {
        None => Ok(text),
        Some(leak) => {
            let fault = Fault::new(format!("not written: what looks like a secret ({}) stands at byte {}", leak.rule, leak.offset));
            Err(fault.help("keep it out of what the application sends and tells, then record again"))
        }
    }
}
