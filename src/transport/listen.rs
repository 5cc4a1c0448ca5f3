//! Listeners: bind, accept, serve HTTP/1.1 and HTTP/2, drain.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::{Request, Version};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::config::{HttpSettings, ListenAddr, SocketSettings};
use crate::telemetry::{Listener, Metrics};
use crate::transport::conn::{Conn, Open, stream_cost};
use crate::transport::paced::{self, Paced, Streams};
use crate::transport::patience::{Limits, Patient};
use crate::transport::places::{Place, Places, Room};
use crate::transport::router;
use crate::transport::socket::{self, Fate, SocketAccess, SocketFile};
use crate::transport::span::Ends;
use crate::transport::{Services, gateway};

/// How long an accept error pauses the loop: without descriptors the next accept fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;

/// How long a closing listener finds no connection before it takes it that none waits.
const LAST_CALL: Duration = Duration::from_millis(5);

/// How long a closing listener takes connections at most, where they come without end.
const LAST_LAST_CALL: Duration = Duration::from_secs(1);

/// How many connections a listener takes at its very end, at most.
const SWEEP: usize = 4_096;

/// How often in `http.idle_timeout` it is looked whether a connection rests.
const LOOKS: u32 = 4;

/// How often the log repeats that connections cannot be accepted while that lasts.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// How often it is looked whether a Unix socket's file is still there.
const SOCKET_LOOK: Duration = Duration::from_secs(1);

/// How long a connection of HTTP/2 without streams may take to close once it was asked to.
const GOES: Duration = Duration::from_millis(750);

/// How long a connection may take to go whose place another waits for. A head that was on its way is here by then, and its
/// request is answered.
const YIELDS: Duration = Duration::from_millis(100);

/// The same on the admin and ops listeners, where a kubelet waits for the place.
const YIELDS_ASIDE: Duration = Duration::from_millis(10);

/// How many shortages are logged in that time.
const FAILURES: usize = 5;

/// How long an open connection may still bring a request after its listener closed. Its answer asks the
/// client to close: then no request is lost in a connection that closes just as it comes.
const LINGER: Duration = Duration::from_millis(500);

/// Header fields that a request may have.
const MAX_HEADERS: usize = 100;

/// A listener that holds its address.
#[derive(Debug)]
pub struct BoundListener {
    kind: Listener,
    addr: ListenAddr,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, file: Option<SocketFile>, access: SocketAccess },
}

impl BoundListener {
    /// The address, with the port that was given where the configuration said 0.
    #[must_use]
    pub fn addr(&self) -> ListenAddr {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map_or_else(|_| self.addr.clone(), ListenAddr::Tcp),
            Socket::Unix { .. } => self.addr.clone(),
        }
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Listener {
        self.kind
    }

    /// Lets no new connections begin where that can be done, while those that wait can still be taken: a listener that
    /// is closed resets what waits for it, requests and all.
    fn stop_knocking(&mut self) {
        if let Socket::Unix { file, .. } = &mut self.socket {
            // removed
            *file = None;
        }
    }

    /// What happened to its socket's file, in a moment; never, where it has none.
    fn look(&self) -> Pin<Box<dyn Future<Output = Fate> + Send>> {
        match &self.socket {
            Socket::Unix { file: Some(file), .. } => Box::pin(file.look(SOCKET_LOOK)),
            _ => Box::pin(std::future::pending()),
        }
    }

    /// Binds a Unix socket again whose file is gone; says what is wrong where that cannot be done. Gives the connections
    /// that waited at the old one.
    async fn mend(&mut self, fate: Fate) -> (Vec<Box<dyn Duplex>>, Option<String>) {
        let Socket::Unix { file: Some(file), access, .. } = &self.socket else { return (Vec::new(), None) };
        let path = file.path().display().to_string();
        let told = |what: &str| Some(format!("no client reaches the socket {path} of this sidecar: {what}"));
        match fate {
            Fate::Ours => (Vec::new(), None),
            Fate::Unknown => (Vec::new(), told("its directory cannot be read")),
            Fate::Replaced => (Vec::new(), told("another file is in its place; remove that, and it is bound again")),
            Fate::Gone => match socket::bind(file.path(), *access).await {
                Err(error) => (Vec::new(), told(&format!("its file is gone and cannot be made again: {error}"))),
                Ok((listener, file)) => {
                    let new = Socket::Unix { listener, file: Some(file), access: *access };
                    let old = std::mem::replace(&mut self.socket, new);
                    let mut waiting = Vec::new();
                    while waiting.len() < SWEEP
                        && let Ok(Ok(stream)) = tokio::time::timeout(Duration::ZERO, accept(&old)).await
                    {
                        waiting.push(stream);
                    }
                    tracing::warn!(listener = self.kind.as_str(), "the socket {path} was gone and is bound again");
                    (waiting, None)
                }
            },
        }
    }
}

/// Binds an address for itself alone; a Unix socket for those whom `sockets` lets in.
///
/// # Errors
/// If it is taken or cannot be had.
pub async fn bind(kind: Listener, addr: &ListenAddr, sockets: &SocketSettings) -> io::Result<BoundListener> {
    let socket = match addr {
        ListenAddr::Tcp(addr) => Socket::Tcp(TcpListener::bind(addr).await?),
        ListenAddr::Unix(path) => {
            let access = SocketAccess::of(kind, sockets)?;
            let (listener, file) = socket::bind(path, access).await?;
            Socket::Unix { listener, file: Some(file), access }
        }
    };
    Ok(BoundListener { kind, addr: addr.clone(), socket })
}

/// Serves connections until `stop` holds a time, then answers what is in flight until then.
pub async fn serve(mut listener: BoundListener, services: Arc<Services>, mut stop: watch::Receiver<Option<Instant>>) {
    let kind = listener.kind;
    let decides = matches!(kind, Listener::Decisions | Listener::Grpc);
    // those of admin and ops are kept apart: neither takes what the other needs
    let most = services.http.max_connections.min(if decides { usize::MAX } else { services.aside_connections });
    let room = Room::new(kind, most, services.descriptors.clone());
    let (leave, leaving) = watch::channel(false);
    let begin = |stream: Box<dyn Duplex>, place| {
        // asked for only where a span will hold it
        let ends = if decides && services.tracer.is_some() { stream.ends() } else { Ends::default() };
        let conn = Arc::new(Conn::new(services.clone(), kind, ends));
        tokio::spawn(serve_one(stream, conn, leaving.clone(), place));
    };
    let mut failures = Failures::default();
    let mut closing: Option<Instant> = None;
    let mut waiting: VecDeque<Box<dyn Duplex>> = VecDeque::new();
    let mut look = listener.look();
    while closing.is_none_or(|since| since.elapsed() < LAST_LAST_CALL) {
        let next = tokio::select! {
            // connections that come without end must not keep it from stopping
            biased;
            _ = stop.wait_for(Option::is_some), if closing.is_none() => Next::Stop,
            fate = &mut look => Next::Mend(fate),
            () = std::future::ready(()), if !waiting.is_empty() => Next::Waiting,
            accepted = accept(&listener.socket) => Next::Accepted(accepted),
            // those that the system took for us before are answered, too
            () = tokio::time::sleep(LAST_CALL), if closing.is_some() => break,
        };
        let accepted = match next {
            Next::Accepted(accepted) => accepted,
            Next::Waiting => waiting.pop_front().ok_or_else(|| io::ErrorKind::ConnectionAborted.into()),
            Next::Stop => {
                closing = Some(Instant::now());
                listener.stop_knocking();
                continue;
            }
            Next::Mend(fate) => {
                let (more, problem) = listener.mend(fate).await;
                waiting.extend(more);
                if services.places.note_socket(kind, problem.clone())
                    && let Some(problem) = problem
                {
                    tracing::warn!(listener = kind.as_str(), "{problem}");
                }
                look = listener.look();
                continue;
            }
        };
        let stream = match accepted {
            Ok(stream) => stream,
            // a client that left before its turn
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // out of descriptors or memory: both pass
                failures.tell(kind, &error);
                services.places.make_room(&services.metrics, |_| true);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = tokio::select! {
            biased;
            place = room.take(&services.places, &services.metrics, |wants| failures.tell(kind, &wants)) => place,
            _ = stop.wait_for(Option::is_some), if closing.is_none() => {
                closing = Some(Instant::now());
                listener.stop_knocking();
                waiting.push_front(stream);
                continue;
            }
            // it finds no place in time
            () = tokio::time::sleep(LINGER), if closing.is_some() => {
                turned_away(&services, kind);
                break;
            }
        };
        failures.end();
        begin(stream, place);
    }
    // where connections come without end, the last of them are served in one go, so that as few as can be are reset
    for n in 0..=SWEEP {
        let stream = match waiting.pop_front() {
            Some(stream) => stream,
            None => match tokio::time::timeout(Duration::ZERO, accept(&listener.socket)).await {
                Ok(Ok(stream)) => stream,
                _ => break,
            },
        };
        match room.try_take() {
            Ok(place) if n < SWEEP => begin(stream, place),
            _ => {
                turned_away(&services, kind);
                break;
            }
        }
    }
    drop(listener);
    // gone by themselves, each with its last answer, or idle all the while
    let end = (*stop.borrow()).unwrap_or_else(Instant::now);
    if timeout_at(end.min(Instant::now() + LINGER).into(), room.all_gone()).await.is_err() {
        leave.send_replace(true);
        // what is open then is cut; the end of the process counts it
        let _ = timeout_at(end.into(), room.all_gone()).await;
    }
}

/// What a listener does next.
enum Next {
    Accepted(io::Result<Box<dyn Duplex>>),
    /// Take one that waited at a socket that was bound again.
    Waiting,
    /// This happened to the socket's file.
    Mend(Fate),
    Stop,
}

/// A connection came and was not served: whatever it asked counts as one request that was not answered.
fn turned_away(services: &Services, kind: Listener) {
    services.in_flight.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(listener = kind.as_str(), "closed while connections waited to be served");
}

/// Serves one connection until it ends, rests for too long, or is to leave and has answered.
async fn serve_one(stream: Box<dyn Duplex>, conn: Arc<Conn>, mut leaving: watch::Receiver<bool>, _place: Place) {
    let (http, kind) = (conn.services.http, conn.listener);
    let _entered = Places::enter(&conn);
    let _open = OpenConnection::new(conn.services.metrics.clone(), kind);
    let limits = Limits { head: http.header_timeout, write: http.body_timeout };
    let io = TokioIo::new(Patient::new(stream, conn.clone(), limits));
    let for_requests = conn.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let open = Open::begin(&for_requests, stream_cost(&request)).ok_or_else(|| {
            for_requests.services.places.note_refused_stream(&for_requests.services.metrics, kind);
            paced::refuse()
        });
        async move {
            let open = open?;
            let http2 = request.version() == Version::HTTP_2;
            Ok::<_, h2::Error>(if kind == Listener::Grpc {
                let (answer, open) = Box::pin(gateway::grpc::answer(open, request)).await;
                answer.map(|body| Paced::new(Either::Right(body), open, http2))
            } else {
                let (answer, open) = router::answer(open, request).await;
                answer.map(|body| Paced::new(Either::Left(body), open, http2))
            })
        }
    });
    let builder = builder(&http, kind);
    let mut connection = pin!(builder.serve_connection(io, service));
    let pause = http.idle_timeout / LOOKS;
    let (mut looks, mut requests) = (0, conn.requests());
    let mut next_look = pin!(tokio::time::sleep(pause));
    let (mut told, mut dismissed) = (false, false);
    let yields = if matches!(kind, Listener::Admin | Listener::Ops) { YIELDS_ASIDE } else { YIELDS };
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            _ = leaving.wait_for(|leaving| *leaving), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
                next_look.as_mut().reset((Instant::now() + GOES).into());
            }
            // another waits for its place
            () = conn.dismissed(), if !dismissed => {
                (told, dismissed) = (true, true);
                connection.as_mut().graceful_shutdown();
                next_look.as_mut().reset((Instant::now() + yields).into());
            }
            () = next_look.as_mut() => {
                // what it holds is a part of a head, or answers that it had time to take
                if dismissed && conn.is_answered() {
                    return;
                }
                // a client that answers no GOAWAY has nothing to lose
                if told && conn.is_without_streams() {
                    return;
                }
                let now = conn.requests();
                // looked at now and then: to note the time of each request would cost each request
                looks = if conn.is_busy() || now != requests { 0 } else { looks + 1 };
                requests = now;
                match looks {
                    // one that was busy when it was asked to close is looked at again soon
                    ..LOOKS => next_look.as_mut().reset((Instant::now() + if dismissed { yields } else if told { GOES } else { pause }).into()),
                    LOOKS => {
                        connection.as_mut().graceful_shutdown();
                        next_look.as_mut().reset((Instant::now() + http.body_timeout).into());
                    }
                    // it was asked to close, and does not
                    _ => return,
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(listener = kind.as_str(), "connection ended: {error}");
    }
}

/// When the log last said that no connection can be accepted: twenty times a second is noise. Each shortage is logged
/// when it begins, but only a few of them a minute, and once a minute while it lasts.
#[derive(Default)]
struct Failures {
    lasts: bool,
    minute: Option<Instant>,
    told: usize,
}

impl Failures {
    fn tell(&mut self, kind: Listener, error: &dyn fmt::Display) {
        if self.minute.is_none_or(|minute| minute.elapsed() >= FAILURE_PAUSE) {
            (self.minute, self.told) = (Some(Instant::now()), 0);
        } else if self.lasts || self.told == FAILURES {
            return;
        }
        self.lasts = true;
        self.told += 1;
        tracing::warn!(listener = kind.as_str(), "cannot accept a connection: {error}");
    }

    fn end(&mut self) {
        self.lasts = false;
    }
}

/// Counts a connection for as long as it is open.
struct OpenConnection {
    metrics: Arc<Metrics>,
    listener: Listener,
}

impl OpenConnection {
    fn new(metrics: Arc<Metrics>, listener: Listener) -> Self {
        metrics.connections(listener).inc();
        Self { metrics, listener }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connections(self.listener).dec();
    }
}

/// A stream of either kind, behind one pointer: one allocation a connection, none a request.
trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {
    /// Its two addresses.
    fn ends(&self) -> Ends;
}

impl Duplex for TcpStream {
    fn ends(&self) -> Ends {
        Ends { peer: self.peer_addr().ok(), own: self.local_addr().ok() }
    }
}

impl Duplex for UnixStream {
    fn ends(&self) -> Ends {
        Ends::default()
    }
}

async fn accept(socket: &Socket) -> io::Result<Box<dyn Duplex>> {
    Ok(match socket {
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // answers are small and whole: waiting for more to send only delays them
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Socket::Unix { listener, .. } => Box::new(listener.accept().await?.0),
    })
}

/// One for each connection. Heads, bodies and rest are timed by us.
fn builder(http: &HttpSettings, kind: Listener) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams { patience: http.body_timeout });
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(http.max_header_bytes)
        .max_headers(MAX_HEADERS)
        // not `pipeline_flush`: with it an answer that ends the connection is lost where more bytes follow the
        // request, and what a client does not read is buffered without end
        // a client of the admin API that closes has left, and its change must not go on; one that asks for decisions may
        // close its side with its last request
        .half_close(kind != Listener::Admin);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(http.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
