//! Where the admin API of a running sidecar is, and what it is asked with.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::exit::Stop;
use crate::cli::flags::{ConfigArgs, set};
use crate::config::ListenAddr;

/// Flags of the verbs that ask the admin API.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// Address of the admin API, or its `http://` URL [default: `listen.admin` of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// File of bearer tokens, of which the first is sent [default: `admin.token_file` of the configuration]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl AdminArgs {
    /// The address, and the token if there is one.
    ///
    /// # Errors
    /// If the configuration is wrong, the admin API is off, or the token cannot be read.
    pub(super) fn find(&self, config: &ConfigArgs) -> Result<(ListenAddr, Option<String>), Stop> {
        let mut flags = config.tree()?;
        if let Some(address) = &self.admin_listen {
            set(&mut flags, &["listen", "admin"], Value::from(without_scheme(address)));
        }
        let settings = config.load(flags)?;
        let Some(address) = settings.listen.admin else {
            return Err(Stop::failure("the admin API is off (`listen.admin`), so it cannot be asked"));
        };
        let token = match self.token_file.as_ref().or(settings.admin.token_file.as_ref()) {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    Stop::failure(format!("cannot read the token file `{}`: {error}", path.display()))
                })?;
                // while tokens are replaced the file has several, and each is good
                let token = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
                if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
                    let message = format!("the token file `{}` does not begin with a token", path.display());
                    return Err(Stop::failure(message));
                }
                Some(token.to_owned())
            }
            None => settings.admin.tokens.first().map(|token| token.expose().to_owned()),
        };
        Ok((address, token))
    }
}

/// Whether an answer is one of the admin API, which has every path that verbs ask for.
///
/// # Errors
/// If something else answers there: the decisions have an address of their own.
pub(super) fn expect_admin(address: &ListenAddr, status: u16) -> Result<(), Stop> {
    if status != 404 {
        return Ok(());
    }
    Err(Stop::failure(format!(
        "{address} answers, but it is not the admin API (HTTP 404): name that with `--admin-listen`, by default \
         127.0.0.1:8181; decisions are served at another address (`listen.decisions`)"
    )))
}

/// The address in a URL of the admin API. What is not one stays as it is.
fn without_scheme(address: &str) -> &str {
    address.strip_prefix("http://").map_or(address, |rest| rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_url() {
        for (given, address) in [
            ("127.0.0.1:8181", "127.0.0.1:8181"),
            ("http://127.0.0.1:8181", "127.0.0.1:8181"),
            ("http://[::1]:8181/", "[::1]:8181"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("https://127.0.0.1:8181", "https://127.0.0.1:8181"),
        ] {
            assert_eq!(without_scheme(given), address);
        }
    }
}
