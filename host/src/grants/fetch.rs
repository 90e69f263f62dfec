//! Files that the host fetches for a step from addresses which its author wrote where paths are expected. No I/O.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::capability::Capability;
use super::endpoint::{Endpoint, HttpScope};
use super::files::FileTemplate;
use super::grant::GrantRequest;
use super::http::allowed_address;
use crate::error::Report;
use crate::untrusted::line;

/// Fetching files. The driver makes no request: it opens the file by its address, and the host fetches it.
pub struct Fetch;

/// A file at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// The address as the config has it, by which the driver opens the file.
    pub name: String,
    /// The request that fetches it.
    pub scope: HttpScope,
}

/// Whether a path of a config is an address.
pub fn is_address(path: &str) -> bool {
    let scheme = path.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

impl Capability for Fetch {
    type Wanted = Vec<FileTemplate>;
    type Granted = Vec<RemoteFile>;

    const WANTS_TO: &'static str = "have the host fetch the addresses in";

    fn grant(wanted: &Vec<FileTemplate>, request: &GrantRequest<'_>) -> Result<Vec<RemoteFile>, Report> {
        let mut files = Vec::new();
        for template in wanted {
            let template = template.template();
            let written: BTreeSet<String> = template.expand(request.written)?.into_iter().collect();
            for name in template.expand(request.config)?.into_iter().filter(|name| is_address(name)) {
                if !written.contains(&name) {
                    return Err(Report::input(format!(
                        "step `{}` may not fetch `{}`: only its driver's defaults name it",
                        request.step,
                        line(&name)
                    ))
                    .hint(format!("if it is meant, write the value of `{template}` into the step's config")));
                }
                let scope = allowed_address(request, &format!("GET {name}"))?;
                files.push(RemoteFile { name, scope });
            }
        }
        Ok(files)
    }

    fn words(granted: &Vec<RemoteFile>, note: &dyn Fn(&str) -> &'static str) -> Vec<String> {
        granted
            .iter()
            .map(|file| format!("read what the host fetches by `{}`{}", file.scope, note(&file.scope.endpoint.host)))
            .collect()
    }

    fn endpoints(granted: &Vec<RemoteFile>) -> Vec<Endpoint> {
        granted.iter().map(|file| file.scope.endpoint.clone()).collect()
    }
}
