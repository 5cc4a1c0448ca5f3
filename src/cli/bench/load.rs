//! Keeps connections busy, each with one question at a time, and counts what comes of it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::cli::bench::process::Process;
use crate::cli::bench::questions::{Question, Questions};
use crate::cli::bench::spread::Spread;
use crate::cli::bench::target::Target;
use crate::cli::exit::Stop;

/// How long a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than any answer to one question has.
const MOST_BYTES: usize = 4 << 20;

/// How much of a refusal is shown.
const MOST_SHOWN: usize = 300;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) connections: usize,
    /// Uncounted, before the rest.
    pub(super) warm_up: Duration,
    /// Counted.
    pub(super) time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// How long answers took.
    pub(super) spread: Spread,
    /// For how long was counted.
    pub(super) took: Duration,
    /// CPU time of the server meanwhile, where it is known.
    pub(super) cpu: Option<Duration>,
    /// Answers without a decision.
    pub(super) refused: u64,
    /// Status and body of one of them.
    pub(super) undecided: Option<(u16, String)>,
    /// Decisions that are not those of the tests.
    pub(super) unlike: u64,
}

impl Outcome {
    /// How many answers were counted.
    pub(super) fn answers(&self) -> u64 {
        self.spread.total()
    }

    /// How many there were in a second.
    pub(super) fn per_second(&self) -> f64 {
        self.answers() as f64 / self.took.as_secs_f64()
    }

    fn join(&mut self, other: Self) {
        self.spread.join(&other.spread);
        self.refused += other.refused;
        self.unlike += other.unlike;
        self.undecided = self.undecided.take().or(other.undecided);
    }
}

/// When counting begins and ends.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: Instant,
    end: Instant,
}

/// Asks the questions, over and over.
///
/// # Errors
/// If the sidecar cannot be reached, or stops answering.
pub(super) fn run(
    target: &Target,
    questions: &Questions,
    plan: Plan,
    process: Option<&Process>,
) -> Result<Outcome, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..plan.connections {
            let connected =
                timeout(PATIENCE, connect(target)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            streams.push(connected.map_err(|error| {
                Stop::failure(format!("no connection to {target}: {error}; is a sidecar serving there?"))
            })?);
        }
        let asked = questions.asked.clone();
        let begin = Instant::now() + plan.warm_up;
        let span = Span { begin, end: begin + plan.time };
        let mut tasks = JoinSet::new();
        for (i, stream) in streams.into_iter().enumerate() {
            // each begins elsewhere
            tasks.spawn(ask(stream, asked.clone(), i * asked.len() / plan.connections, span));
        }
        let measured = async {
            sleep_until(span.begin.into()).await;
            let before = process.and_then(Process::cpu);
            sleep_until(span.end.into()).await;
            let after = process.and_then(Process::cpu);
            after.zip(before).and_then(|(after, before)| after.checked_sub(before))
        };
        let answered = async {
            let mut outcome = Outcome { took: plan.time, ..Outcome::default() };
            while let Some(part) = tasks.join_next().await {
                outcome.join(part.map_err(io::Error::other)??);
            }
            Ok::<_, io::Error>(outcome)
        };
        let late = span.end + PATIENCE;
        let both = async { tokio::try_join!(answered, async { Ok(measured.await) }) };
        match timeout_at(late.into(), both).await {
            Ok(Ok((outcome, cpu))) => Ok(Outcome { cpu, ..outcome }),
            Ok(Err(error)) => Err(Stop::failure(format!("{target} stopped answering: {error}"))),
            Err(_) => Err(Stop::failure(format!("{target} gave no answer within {} s", PATIENCE.as_secs()))),
        }
    })
}

/// A stream of either kind.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

async fn connect(target: &Target) -> io::Result<Box<dyn Duplex>> {
    Ok(match target {
        Target::Tcp { address, .. } => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// Asks until the end. What was sent too early, or answered too late, is not counted.
async fn ask(mut stream: Box<dyn Duplex>, asked: Arc<[Question]>, first: usize, span: Span) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut buffer = Vec::with_capacity(16 << 10);
    for question in asked.iter().cycle().skip(first) {
        let sent = Instant::now();
        stream.write_all(&question.bytes).await?;
        buffer.clear();
        let answer = loop {
            if let Some(answer) = Answer::of(&buffer)? {
                break answer;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let now = Instant::now();
        if now >= span.end {
            break;
        }
        if sent < span.begin {
            continue;
        }
        outcome.spread.add(now - sent);
        match answer.allows() {
            Some(allows) => outcome.unlike += u64::from(allows != question.allow),
            None => {
                outcome.refused += 1;
                let text = String::from_utf8_lossy(answer.body);
                outcome.undecided.get_or_insert_with(|| (answer.status, text.chars().take(MOST_SHOWN).collect()));
            }
        }
    }
    Ok(outcome)
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'b> {
    status: u16,
    body: &'b [u8],
}

impl<'b> Answer<'b> {
    /// The answer that has come, once it is whole.
    fn of(bytes: &'b [u8]) -> io::Result<Option<Self>> {
        let unlike = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not one of a sidecar");
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > MOST_BYTES { Err(unlike()) } else { Ok(None) };
        };
        let (head, body) = (std::str::from_utf8(&bytes[..end]).map_err(|_| unlike())?, &bytes[end + 4..]);
        let mut lines = head.split("\r\n");
        let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = first.and_then(|line| line.get(..3)?.parse().ok()).ok_or_else(unlike)?;
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).ok_or_else(unlike)?;
        if length > MOST_BYTES {
            return Err(unlike());
        }
        Ok(body.get(..length).map(|body| Self { status, body }))
    }

    /// What it decides, if it is a decision.
    fn allows(&self) -> Option<bool> {
        match self.body {
            body if self.status != 200 || body.is_empty() => None,
            body if body.starts_with(b"{\"decision\":\"Allow\"") => Some(true),
            body if body.starts_with(b"{\"decision\":\"Deny\"") => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_known_once_they_are_whole() {
        let allow = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"decision\":\"Allow\"}";
        for cut in 0..allow.len() {
            assert_eq!(Answer::of(&allow.as_bytes()[..cut]).unwrap(), None, "{cut}");
        }
        let decided = |text: &str| Answer::of(text.as_bytes()).unwrap().unwrap().allows();
        assert_eq!(decided(allow), Some(true));
        assert_eq!(decided("HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"decision\":\"Deny\"}"), Some(false));
        assert_eq!(decided("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), None);
        assert_eq!(decided(&allow.replace("200", "503")), None);
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        ] {
            assert!(Answer::of(text.as_bytes()).is_err(), "{text}");
        }
    }
}
