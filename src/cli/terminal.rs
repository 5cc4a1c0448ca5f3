//! What a verb reads from and writes to, so that tests can stand in for the process.

use std::fmt;
use std::io::{self, IsTerminal, Read, Write};

use clap::ValueEnum;

/// When to write colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On terminals, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Standard input, output and error of a verb.
pub struct Terminal<'a> {
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Everything else that people should see.
    pub err: &'a mut dyn Write,
    /// Whether `out` shows colours.
    pub color: bool,
    /// Whether `err` shows colours.
    pub color_err: bool,
}

/// A colour for a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Green.
    Good,
    /// Red.
    Bad,
    /// Bold.
    Strong,
    /// Dim.
    Faint,
}

/// The sequences that set each tone and end it: the only ones that reach a terminal.
pub(super) const COLOURS: [&str; 5] = ["\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"];

/// Text in a colour, or plain.
pub(super) struct Toned<T> {
    text: T,
    tone: Tone,
    on: bool,
}

/// Colours `text` if `on`.
pub(super) fn toned<T: fmt::Display>(text: T, tone: Tone, on: bool) -> Toned<T> {
    Toned { text, tone, on }
}

impl<T: fmt::Display> fmt::Display for Toned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.on {
            return self.text.fmt(f);
        }
        let [good, bad, strong, faint, end] = COLOURS;
        let start = match self.tone {
            Tone::Good => good,
            Tone::Bad => bad,
            Tone::Strong => strong,
            Tone::Faint => faint,
        };
        write!(f, "{start}{}{end}", self.text)
    }
}

/// Whether `stream` should show colours. `env` looks up a variable.
pub(super) fn wants_color(choice: ColorChoice, stream: &impl IsTerminal, env: impl Fn(&str) -> Option<String>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
            !set("NO_COLOR") && env("TERM").as_deref() != Some("dumb") && stream.is_terminal()
        }
    }
}

/// A writer whose reader may leave early, as `head` does: from then on it writes nowhere.
///
/// So the exit code still says what the verb found, and a closed pipe is neither an error nor a panic.
pub(super) struct Patient<W> {
    inner: W,
    closed: bool,
}

impl<W: Write> Patient<W> {
    /// Wraps `inner`.
    pub(super) fn new(inner: W) -> Self {
        Self { inner, closed: false }
    }

    fn forgive<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(instead)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let result = self.inner.write(bytes);
        self.forgive(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.inner.flush();
        self.forgive(result, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(usize);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 1 { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    struct Tty;

    impl Write for Tty {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_is_no_error_but_a_full_disk_is() {
        let mut out = Patient::new(Broken(0));
        for _ in 0..3 {
            writeln!(out, "a line").unwrap();
        }
        out.flush().unwrap();
        assert_eq!(out.inner.0, 2, "nothing is written to a closed pipe");
        assert!(writeln!(Patient::new(Tty), "a line").is_err());
    }

    #[test]
    fn colours_are_for_those_who_see_them() {
        let none = |_: &str| None;
        let file = tempfile::tempfile().unwrap();
        assert!(!wants_color(ColorChoice::Auto, &file, none));
        assert!(wants_color(ColorChoice::Always, &file, |_| Some("1".to_owned())));
        assert!(!wants_color(ColorChoice::Never, &file, none));
        assert_eq!(toned("x", Tone::Bad, true).to_string(), "\x1b[31mx\x1b[0m");
        assert_eq!(toned("x", Tone::Bad, false).to_string(), "x");
    }
}
