//! How reports are written.

mod human;
mod json;
pub(in crate::cli::test) mod junit;
mod tap;

use std::io::{self, Write};

use clap::ValueEnum;

use crate::cli::test::report::Report;

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// JUnit XML, as build servers read it.
    Junit,
    /// Test Anything Protocol, version 14.
    Tap,
}

/// Writes `report`. `quiet` leaves out what is well; `color` is for people's eyes.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(report: &Report, format: Format, quiet: bool, color: bool, to: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Human => human::write(report, quiet, color, to),
        Format::Json => json::write(report, to),
        Format::Junit => junit::write(report, to),
        Format::Tap => tap::write(report, to),
    }
}

#[cfg(test)]
mod tests;
