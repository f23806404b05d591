//! A case on a service: started once, asked once for each case, by as many instances as the target says.

mod sharing;

use super::observed::{Run, with_output};
use super::surroundings::{self, Surroundings, Thread};
use super::{IDLE, Memory, Ran, checked, template, templates};
use crate::application::{self, Asked, DeadEnd, Process, Program, Response, Template, Values};
use crate::case::Case;
use crate::client::Spent;
use crate::fault::{Fault, Faults, Place};
use crate::limit;
use crate::project::{Output, Service, Target};
use crate::proxy::Lobby;
use crate::receiver::{Delivery, Receiver};
use crate::recording::Mode;
use crate::replay::Stage;
use crate::verdict::Doubt;
use serde_json::Value;
use sharing::{Shared, Sharing};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

/// What a template of the command may use.
const START_NAMES: [&str; 1] = ["port"];
/// What a template of the request may use.
const NAMES: [&str; 5] = ["input", "messages", "documents", "case", "port"];
/// How often it is looked whether a service is ready.
const LOOK: Duration = Duration::from_millis(20);

/// A JSON value whose texts are templates.
#[derive(Debug)]
enum Body {
    Text(Template),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
    Other(Value),
}

/// A service, started when it is first needed.
#[derive(Debug)]
pub(in crate::replay) struct Host {
    surroundings: Surroundings,
    start: Vec<Template>,
    ready: Option<String>,
    method: String,
    path: Template,
    headers: Vec<(String, Template)>,
    body: Option<Body>,
    output: Output,
    timeout: Duration,
    /// One place for each instance.
    places: Semaphore,
    /// Instances that wait to be asked.
    waiting: Mutex<Vec<Instance>>,
    /// Whether one of them is asked for several cases at once.
    sharing: std::sync::Mutex<Sharing>,
}

/// A service that runs.
#[derive(Debug)]
struct Instance {
    process: Process,
    port: u16,
    receiver: Receiver,
    dead_end: DeadEnd,
    lobby: Lobby,
}

impl Host {
    /// Checks the templates and opens the proxy.
    pub(super) async fn new(target: &Target, service: &Service) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let start = templates(&service.start, &START_NAMES, &mut faults);
        let path = template(&service.http.path, &NAMES, &mut faults);
        let mut headers = Vec::new();
        for (name, text) in &service.http.headers {
            headers.extend(checked(text, &NAMES, &name.place, &mut faults).map(|template| (name.value.clone(), template)));
        }
        let body = service.http.body.as_ref().map(|body| Body::parse(body, &service.http.path.place, &mut faults));
        let lists = (service.env.clone(), service.case_env.clone(), service.upstreams.as_slice());
        let surroundings = faults.take(Surroundings::new(&target.name, lists).await);
        let (Some(path), Some(surroundings)) = (path, surroundings) else { return Err(faults) };
        faults.into_result(Self {
            surroundings,
            start,
            ready: service.ready.as_ref().map(|path| path.value.clone()),
            method: service.http.method.clone(),
            path,
            headers,
            body,
            output: service.http.output.clone(),
            timeout: service.timeout,
            places: Semaphore::new(usize::try_from(service.instances).unwrap_or(1)),
            waiting: Mutex::new(Vec::new()),
            sharing: std::sync::Mutex::default(),
        })
    }

    /// Asks the service once for a case. A case with variables of its own gets an instance of its own.
    ///
    /// # Errors
    /// What is wrong with the case or the target. A run that cannot be judged is no error, and is told in what it came to.
    pub(super) async fn run(&self, stage: Stage<'_>, case: &Case, memory: &Memory, trial: u32) -> Result<Ran, Faults> {
        let is_special = surroundings::variables(case).next().is_some();
        let may_share = !is_special && stage.mode == Mode::Replay;
        loop {
            if let Some(shared) = self.shared().filter(|_| may_share) {
                match self.run_shared(&shared, stage, case, (memory, trial)).await? {
                    Some(ran) => return Ok(ran),
                    None => continue,
                }
            }
            let Ok(_place) = self.places.acquire().await else { return Ok(failed("the run is over".into())) };
            // Another case may have shown meanwhile that nobody has to wait for a place.
            if !may_share || self.shared().is_none() {
                return self.run_alone(stage, case, (memory, trial), is_special).await;
            }
        }
    }

    async fn run_alone(&self, stage: Stage<'_>, case: &Case, (memory, trial): (&Memory, u32), is_special: bool) -> Result<Ran, Faults> {
        let waiting = if is_special { None } else { self.waiting.lock().await.pop() };
        let alive = waiting.and_then(|mut instance| instance.process.over().is_none().then_some(instance));
        let instance = match alive {
            Some(instance) => instance,
            None => match self.start(stage, is_special.then_some(case)).await? {
                Ok(instance) => instance,
                Err(why) => return Ok(failed(why)),
            },
        };
        let thread = Thread::new(&case.id, &self.surroundings.target, trial);
        let asked = self.request(case, &thread, instance.port)?;
        // What the last case, or getting ready, left behind is not this one's.
        instance.receiver.take();
        instance.dead_end.take();
        let mut door = self.surroundings.door(stage, case, memory, trial)?;
        door.take(&instance.lobby, None);
        let answered = timeout(self.timeout, application::ask(instance.port, &asked)).await;
        instance.receiver.quiet(IDLE, limit::ARRIVAL, Delivery::records, |delivery| is_whole(delivery, &thread)).await;
        let (witness, strays) = (door.close().await, instance.dead_end.take());
        let run = Run { delivery: instance.receiver.take(), witness, strays, thread: Some(thread.clone()) };
        let is_threaded = sharing::keeps_to(&run, &thread);
        let ran = self.judged(run, answered, &instance, stage, case);
        match is_special {
            true => drop(instance.process.end().await),
            false => self.give_back(instance, is_threaded).await,
        }
        ran
    }

    /// Asks a shared instance; none when the case has to be asked again, alone.
    async fn run_shared(
        &self,
        shared: &Shared,
        stage: Stage<'_>,
        case: &Case,
        (memory, trial): (&Memory, u32),
    ) -> Result<Option<Ran>, Faults> {
        let instance = &shared.instance;
        let before = locked(memory).clone();
        let thread = Thread::new(&case.id, &self.surroundings.target, trial);
        let asked = self.request(case, &thread, instance.port)?;
        shared.enter(&thread);
        let mut door = self.surroundings.door(stage, case, memory, trial)?;
        door.take(&instance.lobby, Some(&thread.trace_id));
        let answered = timeout(self.timeout, application::ask(instance.port, &asked)).await;
        let ours = |delivery: &Delivery| delivery.of_trace(&thread.trace_id);
        instance.receiver.quiet(IDLE, limit::ARRIVAL, ours, |delivery| is_whole(delivery, &thread)).await;
        let witness = door.close().await;
        let run = Run { delivery: shared.take(&thread), witness, strays: Vec::new(), thread: Some(thread) };
        let is_tidy = shared.is_tidy();
        let ran = self.judged(run, answered, instance, stage, case)?;
        if is_tidy && !matches!(ran.outcome, Err((Doubt::Infrastructure, _))) {
            return Ok(Some(ran));
        }
        *locked(&self.sharing) = Sharing::Never;
        *locked(memory) = before;
        Ok(None)
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        match &*locked(&self.sharing) {
            Sharing::Shared(shared) => Some(Arc::clone(shared)),
            Sharing::Untried | Sharing::Never => None,
        }
    }

    /// Keeps an instance for the next case.
    async fn give_back(&self, instance: Instance, is_threaded: bool) {
        if let Some(instance) = self.offer(instance, is_threaded) {
            self.waiting.lock().await.push(instance);
        }
    }

    /// Shares the first instance that is given back, if it can be; else the instance is the caller's again.
    fn offer(&self, instance: Instance, is_threaded: bool) -> Option<Instance> {
        let mut sharing = locked(&self.sharing);
        if !matches!(*sharing, Sharing::Untried) {
            return Some(instance);
        }
        let (state, left) = match is_threaded {
            true => (Sharing::Shared(Arc::new(Shared::new(instance))), None),
            false => (Sharing::Never, Some(instance)),
        };
        *sharing = state;
        left
    }

    /// Ends every instance.
    pub(super) async fn close(&self) {
        let sharing = std::mem::take(&mut *locked(&self.sharing));
        let shared = if let Sharing::Shared(shared) = sharing { Arc::into_inner(shared) } else { None };
        for instance in self.waiting.lock().await.drain(..).chain(shared.map(|shared| shared.instance)) {
            instance.process.end().await;
        }
    }

    /// Starts an instance and waits until it is ready; the inner error is a service that is not.
    async fn start(&self, stage: Stage<'_>, case: Option<&Case>) -> Result<Result<Instance, String>, Faults> {
        let (receiver, dead_end) = (Receiver::open().await?, DeadEnd::open().await?);
        let lobby = self.surroundings.proxy.lobby(&self.surroundings.upstreams)?;
        let port = free_port()?;
        let environment = self.surroundings.environment(stage, case, (&receiver, &dead_end), lobby.base_urls())?;
        let values = Values::from_iter([("port".to_owned(), Value::from(port))]);
        let program = Program {
            command: self.start.iter().map(|template| template.render(&values)).collect::<Result<_, _>>()?,
            directory: stage.root.path().to_owned(),
            environment,
            stdin: None,
            grace: limit::GRACE,
        };
        let process = match Process::start(&program) {
            Ok(process) => process,
            Err(fault) => return Ok(Err(fault.message)),
        };
        Ok(self.wait_until_ready(Instance { process, port, receiver, dead_end, lobby }).await)
    }

    async fn wait_until_ready(&self, mut instance: Instance) -> Result<Instance, String> {
        let deadline = Instant::now() + self.timeout;
        while !self.is_ready(instance.port).await {
            let why = match instance.process.over() {
                Some(exit) => format!("the service {exit} before it was ready"),
                None if Instant::now() >= deadline => format!("the service was not ready within {} s", self.timeout.as_secs_f64()),
                None => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            return Err(with_output(&why, &instance.process.end().await));
        }
        Ok(instance)
    }

    async fn is_ready(&self, port: u16) -> bool {
        let Some(path) = &self.ready else { return TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() };
        let asked = Asked { method: "GET".into(), path: path.clone(), headers: Vec::new(), body: None };
        matches!(timeout(limit::GRACE, application::ask(port, &asked)).await, Ok(Ok(Response { status: 200..=299, .. })))
    }

    /// What a run came to, by what the service answered.
    fn judged(&self, run: Run, answered: Answered, instance: &Instance, stage: Stage<'_>, case: &Case) -> Result<Ran, Faults> {
        let why = match answered {
            Err(_) => format!("the service did not answer within {} s", self.timeout.as_secs_f64()),
            Ok(Err(why)) => format!("the service did not answer: {why}"),
            Ok(Ok(response)) => match application::read(&self.output, &response.body) {
                Ok(said) => return run.of_answer(said, response.status >= 400, None, stage, case),
                Err(why) => format!("the service answered with status {}, and its answer cannot be read: {why}", response.status),
            },
        };
        run.of_failure(format!("{why}\n{}", instance.process.complaints()).trim_end().to_owned())
    }

    fn request(&self, case: &Case, thread: &Thread, port: u16) -> Result<Asked, Fault> {
        let mut values = surroundings::values(case);
        values.insert("port".into(), port.into());
        let mut headers = vec![("traceparent".to_owned(), thread.parent())];
        for (name, template) in &self.headers {
            headers.push((name.clone(), template.render(&values)?));
        }
        let body = self.body.as_ref().map(|body| body.render(&values)).transpose()?;
        Ok(Asked { method: self.method.clone(), path: self.path.render(&values)?, headers, body: body.map(|body| body.to_string()) })
    }
}

impl Body {
    fn parse(json: &Value, place: &Place, faults: &mut Faults) -> Self {
        match json {
            Value::String(text) => checked(text, &NAMES, place, faults).map_or(Self::Other(Value::Null), Self::Text),
            Value::Array(items) => Self::List(items.iter().map(|item| Self::parse(item, place, faults)).collect()),
            Value::Object(map) => Self::Map(map.iter().map(|(key, value)| (key.clone(), Self::parse(value, place, faults))).collect()),
            other => Self::Other(other.clone()),
        }
    }

    fn render(&self, values: &Values) -> Result<Value, Fault> {
        Ok(match self {
            Self::Text(template) => template.value(values)?,
            Self::List(items) => Value::Array(items.iter().map(|item| item.render(values)).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                let pairs = map.iter().map(|(key, value)| Ok::<_, Fault>((key.clone(), value.render(values)?)));
                Value::Object(pairs.collect::<Result<_, _>>()?)
            }
            Self::Other(value) => value.clone(),
        })
    }
}

/// The service's answer, why there is none, or that none came in time.
type Answered = Result<Result<Response, String>, Elapsed>;

/// A run that nothing can be said of.
fn failed(why: String) -> Ran {
    Ran { outcome: Err((Doubt::Infrastructure, why)), live: Vec::new(), spent: Spent::default() }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a request's telemetry has come to its end: its root is there, and nothing below it lacks its parent.
fn is_whole(delivery: &Delivery, thread: &Thread) -> bool {
    let spans = &delivery.spans;
    let takes_part = spans.iter().any(|span| span.trace_id == thread.trace_id);
    let mut ours = spans.iter().filter(|span| !takes_part || span.trace_id == thread.trace_id).peekable();
    let known = |parent: &str| parent == thread.span_id || spans.iter().any(|span| span.span_id == parent);
    ours.peek().is_some() && ours.all(|span| span.parent.as_deref().is_none_or(known))
}

/// A port that is free now; a service is told of it, and may still find it taken.
fn free_port() -> Result<u16, Fault> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| Fault::infrastructure(format!("no port of 127.0.0.1 is free: {error}")))
}
