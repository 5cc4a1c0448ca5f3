//! A bar on the terminal while many entities are loaded.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use palisade_engine::{Loading, Observers};

/// What the bar looks like.
const LOOK: &str = "loading entities {wide_bar} {msg} of them, {bytes} of {total_bytes}, {eta} left";

/// What the bar looks like while something is counted.
const COUNTED: &str = "{msg} {wide_bar} {pos} of {len}, {eta} left";

/// Shows on standard error, if that is a terminal, how much is done of something that takes long: what it is, how much of
/// it is done, and how much there is.
pub(super) fn counted() -> impl Fn(&'static str, usize, usize) + Sync {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    let shows = std::io::stderr().is_terminal();
    move |what, done, of| {
        if !shows {
            return;
        }
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if done >= of {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(COUNTED).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(of as u64).with_style(style)
        });
        bar.set_message(what);
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    }
}

/// Shows loads on standard error if that is a terminal. A load that is over in a moment is not shown.
#[must_use]
pub(super) fn observers() -> Observers {
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    let show = move |loading: Loading| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if loading.bytes >= loading.of_bytes {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(loading.of_bytes as u64).with_style(style)
        });
        bar.set_message(loading.entities.to_string());
        bar.set_position(loading.bytes as u64);
    };
    let loading = std::io::stderr().is_terminal().then(|| Arc::new(show) as Arc<dyn Fn(Loading) + Send + Sync>);
    Observers { loading, ..Observers::default() }
}
