//! Timers that a connection keeps from one request to the next.
//!
//! Each request is timed more than once, and almost no timer ever ends: registering each with the runtime and
//! taking it out again costs more than a decision. A kept timer only gets a later deadline, which the runtime
//! takes without a lock.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

type Registered = Pin<Box<tokio::time::Sleep>>;

/// Where a connection keeps the timer for one purpose while nothing is timed.
#[derive(Debug, Clone, Default)]
pub(super) struct TimerSlot(Arc<Mutex<Option<Registered>>>);

/// A timer in use; dropped, it goes back to its slot. Where a connection times several requests at once, the
/// others are made for them and the last stays.
#[derive(Debug)]
pub(super) struct KeptTimer {
    registered: Option<Registered>,
    slot: TimerSlot,
}

impl TimerSlot {
    /// A timer that ends at `deadline`.
    pub(super) fn until(&self, deadline: Instant) -> KeptTimer {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let registered = match kept {
            Some(mut timer) => {
                timer.as_mut().reset(deadline.into());
                timer
            }
            None => Box::pin(tokio::time::sleep_until(deadline.into())),
        };
        KeptTimer { registered: Some(registered), slot: self.clone() }
    }

    /// Runs `work` for at most `limit`.
    ///
    /// # Errors
    /// If it takes longer; then it is dropped.
    pub(super) async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = std::pin::pin!(work);
        let mut timer = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let timer = timer.get_or_insert_with(|| self.until(Timer::now(self) + limit));
            Pin::new(timer).poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }
}

/// The time was over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elapsed;

impl Timer for TimerSlot {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.until(deadline))
    }

    // the runtime's clock, which tests may hold
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Future for KeptTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.registered {
            Some(timer) => timer.as_mut().poll(cx),
            // only while it is dropped
            None => Poll::Ready(()),
        }
    }
}

impl Sleep for KeptTimer {}

impl Drop for KeptTimer {
    fn drop(&mut self) {
        let mut slot = self.slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = self.registered.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[tokio::test]
    async fn each_use_has_its_own_deadline() {
        let slot = TimerSlot::default();
        for limit in [50, 10, 30, 60, 20] {
            let started = Instant::now();
            assert_eq!(slot.within(ms(limit), std::future::pending::<()>()).await, Err(Elapsed));
            assert!(started.elapsed() >= ms(limit), "{:?} instead of {limit} ms", started.elapsed());
            assert!(slot.0.lock().unwrap().is_some(), "the timer is kept");
        }
    }

    #[tokio::test]
    async fn several_at_a_time_do_not_meet() {
        let slot = TimerSlot::default();
        let now = Instant::now();
        let (long, short) = (slot.until(now + ms(90)), slot.until(now + ms(10)));
        short.await;
        assert!(now.elapsed() >= ms(10));
        long.await;
        assert!(now.elapsed() >= ms(90));
    }

    #[tokio::test]
    async fn what_is_ready_takes_no_timer() {
        let slot = TimerSlot::default();
        assert_eq!(slot.within(Duration::ZERO, async { 7 }).await, Ok(7));
        assert!(slot.0.lock().unwrap().is_none());
    }
}
