//! A policy's demand for encrypted connections to servers that prove their identity, as far as the config shows. No
//! I/O.

use serde_json::Value;

use super::Grants;
use super::grant::GrantRequest;
use crate::error::Report;

/// The names of the option that sets the encryption of a connection.
const OPTIONS: [&str; 2] = ["ssl_mode", "sslmode"];

/// Whether the step's connections must be verified, because the policy says `tls: verify-full`.
///
/// # Errors
/// If the config shows that they will not be verified, so that this is refused before the step runs.
pub fn demanded(request: &GrantRequest<'_>, granted: &Grants) -> Result<bool, Report> {
    if !request.policy.verified_tls || granted.endpoints().is_empty() {
        return Ok(false);
    }
    let refused = |what: String, cure: &str| {
        Err(Report::input(format!("step `{}` {what}, and the policy demands `tls: verify-full`", request.step))
            .hint(cure))
    };
    if let Some(plain) =
        granted.http.iter().chain(granted.fetch.iter().map(|file| &file.scope)).find(|scope| !scope.tls)
    {
        return refused(format!("may not call `{plain}` without TLS"), "give an address that begins with `https://`");
    }
    let connection = request.config.get("connection").and_then(Value::as_object).unwrap_or(request.config);
    let chosen = OPTIONS.iter().find_map(|option| Some((option, connection.get(*option)?.as_str()?)));
    match chosen {
        Some((option, mode)) if mode != "verify-full" => refused(
            format!("has `{option}: {mode}`"),
            "set `verify-full` in the connection, with the server's `ca` where the machine does not trust it",
        ),
        _ => Ok(true),
    }
}
