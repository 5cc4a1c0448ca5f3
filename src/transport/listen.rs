//! Listeners: bind, accept, serve HTTP/1.1 and HTTP/2, drain.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use crate::config::{HttpSettings, ListenAddr, SocketSettings};
use crate::telemetry::Listener;
use crate::telemetry::Metrics;
use crate::transport::patience::{Limits, Patient};
use crate::transport::router::{self, Surface};
use crate::transport::socket::{self, SocketAccess, SocketFile};
use crate::transport::timer::TimerSlot;
use crate::transport::{Services, gateway};

/// How long an accept error pauses the loop: without descriptors the next accept fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;

/// How long a closing listener still takes connections that were made before it closed.
const LAST_CALL: Duration = Duration::from_millis(5);

/// How long an open connection may still bring a request after its listener closed. Its answer tells the
/// client to close: then no request is lost in a connection that closes just as it comes.
const LINGER: Duration = Duration::from_millis(500);

/// Header fields that a request may have.
const MAX_HEADERS: usize = 100;

/// A listener that holds its address.
#[derive(Debug)]
pub struct BoundListener {
    surface: Surface,
    addr: ListenAddr,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
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
    pub fn surface(&self) -> Surface {
        self.surface
    }
}

/// Binds an address for itself alone; a Unix socket for those whom `sockets` lets in.
///
/// # Errors
/// If it is taken or cannot be had.
pub async fn bind(surface: Surface, addr: &ListenAddr, sockets: &SocketSettings) -> io::Result<BoundListener> {
    let socket = match addr {
        ListenAddr::Tcp(addr) => Socket::Tcp(TcpListener::bind(addr).await?),
        ListenAddr::Unix(path) => {
            let (listener, file) = socket::bind(path, SocketAccess::of(surface, sockets)?)?;
            Socket::Unix { listener, _file: file }
        }
    };
    Ok(BoundListener { surface, addr: addr.clone(), socket })
}

/// Serves connections until `stop` turns true, then answers what is in flight, for at most `grace`.
/// Returns how many connections were still open then.
pub async fn serve(
    listener: BoundListener,
    services: Arc<Services>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) -> usize {
    let surface = listener.surface;
    let connections = Arc::new(Semaphore::new(services.http.max_connections));
    let graceful = GracefulShutdown::new();
    let limits = Limits { opening: services.http.header_timeout, write: services.http.body_timeout };
    let mut closing: Option<Instant> = None;
    while closing.is_none_or(|since| since.elapsed() < LAST_CALL * 20) {
        let permit = tokio::select! {
            biased;
            permit = connections.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop), if closing.is_none() => {
                closing = Some(Instant::now());
                continue;
            }
            // no room, and nobody waits for any
            () = std::future::ready(()), if closing.is_some() => break,
        };
        let accepted = tokio::select! {
            accepted = accept(&listener.socket, limits) => accepted,
            _ = stop.wait_for(|stop| *stop), if closing.is_none() => {
                closing = Some(Instant::now());
                continue;
            }
            // those that the system took for us before are answered, too
            () = tokio::time::sleep(LAST_CALL), if closing.is_some() => break,
        };
        let io = match accepted {
            Ok(io) => io,
            // a client that left before its turn
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // out of descriptors or memory: both pass
                tracing::warn!(listener = surface.listener().as_str(), "cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let services = services.clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _open = OpenConnection::new(services.metrics.clone(), surface.listener());
            let _permit = permit;
            let (for_requests, body_timer) = (services.clone(), TimerSlot::default());
            let service = service_fn(move |request| {
                let (services, body_timer) = (for_requests.clone(), body_timer.clone());
                async move {
                    if surface == Surface::Grpc {
                        gateway::grpc::answer(&services, request).await.map(|answer| answer.map(Either::Right))
                    } else {
                        let answer = router::answer(&services, surface, request, body_timer).await;
                        answer.map(|answer| answer.map(Either::Left))
                    }
                }
            });
            let builder = builder(&services.http);
            let connection = builder.serve_connection(io, service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(listener = surface.listener().as_str(), "connection ended: {error}");
            }
        });
    }
    drop(listener);
    let open = || services.http.max_connections.saturating_sub(connections.available_permits());
    let drained = async {
        let all = u32::try_from(services.http.max_connections).unwrap_or(u32::MAX);
        // gone by themselves, each with its last answer, or idle all the while
        let _ = tokio::time::timeout(LINGER, connections.acquire_many(all)).await;
        graceful.shutdown().await;
    };
    match tokio::time::timeout(grace, drained).await {
        Ok(()) => 0,
        Err(_) => open(),
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
type Stream = TokioIo<Patient<Box<dyn Duplex>>>;

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

async fn accept(socket: &Socket, limits: Limits) -> io::Result<Stream> {
    let stream: Box<dyn Duplex> = match socket {
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // answers are small and whole: waiting for more to send only delays them
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Socket::Unix { listener, .. } => Box::new(listener.accept().await?.0),
    };
    Ok(TokioIo::new(Patient::new(stream, limits)))
}

/// One for each connection, with its timer.
fn builder(http: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TimerSlot::default())
        .header_read_timeout(http.header_timeout)
        .max_buf_size(http.max_header_bytes)
        .max_headers(MAX_HEADERS)
        // not `pipeline_flush`: with it an answer that ends the connection is lost where more bytes follow the
        // request, and what a client does not read is buffered without end
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(http.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
