//! The kinds of things that a step can be allowed to touch, each declared in a file of its own.
//!
//! A capability defines how a spec requests it, what the author and the policy allow, and how it is shown to people and
//! programs. `plan`, `drivers inspect`, the lock, the manifest and the checks of a driver's imports are derived from
//! [`capabilities!`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::address_template::AddressTemplate;
use super::connect::Connect;
use super::credentials::Credentials;
use super::databases::{Databases, WantedDatabases};
use super::endpoint::Endpoint;
use super::fetch::Fetch;
use super::files::{CreateFolders, FileWish, ReadFiles, ReadMatchingFiles, WriteFiles, WriteFolders};
use super::grant::GrantRequest;
use super::http::{Http, Roots};
use super::state::State;
use super::template::Template;
use crate::error::Report;

/// One kind of thing that a step can be allowed to touch.
pub trait Capability {
    /// What a spec requests.
    type Wanted: SpecRequest;
    /// What one step is granted.
    type Granted: StepGrant;

    /// The interfaces that a component may import only if its spec requests this capability.
    const IMPORTS: &'static [&'static str] = &[];
    /// The spec's request, as a phrase between `it wants to` and one of its templates.
    const WANTS_TO: &'static str = "";

    /// The spec's request, as phrases that follow `it wants to`.
    fn wanted_words(wanted: &Self::Wanted) -> Vec<String> {
        let fixed = |template: &&Template| {
            let mut addresses = wanted.addresses().into_iter().filter(|address| address.fixed_host().is_some());
            addresses.any(|address| address.template() == *template)
        };
        let words = |template: &Template| {
            let note = if fixed(&template) { " (a host that it fixes itself)" } else { "" };
            format!("{} `{}`{note}", Self::WANTS_TO, crate::untrusted::line(template.text()))
        };
        wanted.templates().into_iter().map(words).collect()
    }

    /// Computes the grant of one step: what the spec requests, as far as the author and the policy allow it.
    ///
    /// # Errors
    /// If the spec requests something that the author did not name or that the policy does not allow.
    fn grant(wanted: &Self::Wanted, request: &GrantRequest<'_>) -> Result<Self::Granted, Report>;

    /// The grant, as phrases that follow `the step may`. `note` returns further facts about a host.
    fn words(granted: &Self::Granted, note: &dyn Fn(&str) -> &'static str) -> Vec<String>;

    /// The grant, for programs.
    fn json(granted: &Self::Granted) -> Value {
        json!(granted)
    }

    /// The endpoints to which this capability lets the step connect.
    fn endpoints(_granted: &Self::Granted) -> Vec<Endpoint> {
        Vec::new()
    }
}

/// What a spec requests: templates over the step's config, or a flag.
pub trait SpecRequest {
    fn templates(&self) -> Vec<&Template>;

    /// Those of the templates that are addresses.
    fn addresses(&self) -> Vec<&AddressTemplate> {
        Vec::new()
    }

    fn is_made(&self) -> bool {
        !self.templates().is_empty()
    }
}

impl SpecRequest for Vec<Template> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().collect()
    }
}

impl SpecRequest for Option<Template> {
    fn templates(&self) -> Vec<&Template> {
        self.iter().collect()
    }
}

impl SpecRequest for bool {
    fn templates(&self) -> Vec<&Template> {
        Vec::new()
    }

    fn is_made(&self) -> bool {
        *self
    }
}

/// What one step is granted; nothing by default.
pub trait StepGrant: Default + Serialize {
    fn is_given(&self) -> bool;
}

impl<T: Serialize> StepGrant for Vec<T> {
    fn is_given(&self) -> bool {
        !self.is_empty()
    }
}

impl StepGrant for bool {
    fn is_given(&self) -> bool {
        *self
    }
}

macro_rules! capabilities {
    ($($(#[$attribute:meta])* $name:ident: $capability:ty,)*) => {
        /// A driver's requests, as templates over its config such as `{config.path}`.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct WantedGrants {
            $($(#[$attribute])* pub $name: <$capability as Capability>::Wanted,)*
        }

        impl WantedGrants {
            /// The requests in words, one per line.
            pub fn words(&self) -> Vec<String> {
                [$(<$capability>::wanted_words(&self.$name),)*].concat()
            }

            /// The templates of each capability, by its name.
            pub fn templates(&self) -> Vec<(&'static str, Vec<&Template>)> {
                vec![$((stringify!($name), self.$name.templates()),)*]
            }

            /// The templates of addresses.
            pub fn addresses(&self) -> Vec<&AddressTemplate> {
                [$(self.$name.addresses(),)*].concat()
            }

            /// The hosts that the driver fixes, as the spec has them, and those that they stand for in `config`.
            pub fn fixed_hosts(&self, config: &Map<String, Value>) -> Result<BTreeSet<String>, Report> {
                let mut hosts = BTreeSet::new();
                for address in self.addresses() {
                    hosts.extend(address.fixed_host().map(|host| host.text().to_owned()));
                    hosts.extend(address.fixed_hosts(config)?);
                }
                Ok(hosts)
            }

            /// The capabilities that the spec requests and that a driver uses by an import of its own.
            pub fn imported(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_made() && !<$capability>::IMPORTS.is_empty() {
                    names.push(stringify!($name));
                })*
                names
            }

            /// The first of `imports` that the spec does not request, after the capability's name.
            pub fn unrequested<'a>(&self, imports: &'a [String]) -> Option<(&'static str, &'a str)> {
                let first = |interfaces: &[&str]| imports.iter().find(|import| interfaces.contains(&interface(import)));
                $(if !self.$name.is_made() && let Some(import) = first(<$capability>::IMPORTS) {
                    return Some((stringify!($name), import));
                })*
                None
            }

            /// The effective grants of a step: what the spec requests over the step's config, within the policy.
            ///
            /// # Errors
            /// If the spec requests something that the author did not name or that the policy does not allow.
            pub fn grant(&self, request: &GrantRequest<'_>) -> Result<Grants, Report> {
                let mut grants = Grants::default();
                $(grants.$name = <$capability>::grant(&self.$name, request)?;)*
                let hosts = grants.endpoints().into_iter().map(|endpoint| endpoint.host);
                let fixed = self.fixed_hosts(request.config)?;
                grants.fixed_hosts = grants.endpoints().into_iter().map(|endpoint| endpoint.host).filter(|host| fixed.contains(host)).collect();
                grants.private_hosts = hosts.filter(|host| request.policy.private_hosts.contains(host)).collect();
                grants.verified_tls = super::tls::demanded(request, &grants)?;
                Ok(grants)
            }
        }

        /// What one step may touch outside its session. Nothing else is linked, opened or reachable.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Grants {
            $(pub $name: <$capability as Capability>::Granted,)*
            /// The hosts among these that the driver names, not the author.
            pub fixed_hosts: BTreeSet<String>,
            /// The hosts among these that may be in a private network or on this machine.
            pub private_hosts: BTreeSet<String>,
            /// Whether each connection must be encrypted, to a server that proved its identity.
            pub verified_tls: bool,
        }

        impl Grants {
            /// The grants in words, one per line.
            pub fn words(&self) -> Vec<String> {
                let note = |host: &str| match (self.fixed_hosts.contains(host), self.private_hosts.contains(host)) {
                    (false, false) => "",
                    (false, true) => " (which may lie in a private network)",
                    (true, false) => " (a host that its driver fixes)",
                    (true, true) => " (a host that its driver fixes, and which may lie in a private network)",
                };
                let verified = self.verified_tls.then(|| "speak TLS alone, to servers that prove who they are".to_owned());
                [$(<$capability>::words(&self.$name, &note),)* Vec::from_iter(verified)].concat()
            }

            /// The grants for programs: each under its name, and all in words.
            pub fn json(&self) -> Value {
                let mut all = Map::new();
                all.insert("words".to_owned(), json!(self.words()));
                $(all.insert(stringify!($name).to_owned(), <$capability>::json(&self.$name));)*
                all.insert("fixed_hosts".to_owned(), json!(self.fixed_hosts));
                all.insert("private_hosts".to_owned(), json!(self.private_hosts));
                all.insert("verified_tls".to_owned(), json!(self.verified_tls));
                Value::Object(all)
            }

            /// All files that the step writes.
            pub fn written(&self) -> impl Iterator<Item = &FileWish> {
                self.write.iter().chain(&self.databases.update)
            }

            /// The names of the folders of partitions that the step writes.
            pub fn folders(&self) -> BTreeSet<String> {
                self.write.iter().filter(|_| self.write_folders).map(|folder| folder.name.clone()).collect()
            }

            /// All endpoints that the step may connect to, by any protocol.
            pub fn endpoints(&self) -> Vec<Endpoint> {
                [$(<$capability>::endpoints(&self.$name),)*].concat()
            }
        }
    };
}

/// An import without its version.
pub fn interface(import: &str) -> &str {
    import.split('@').next().unwrap_or_default()
}

capabilities! {
    /// Files to read.
    #[serde(default)]
    read: ReadFiles,
    /// Files to read, for which a path of the config stands: one file, the files that match a pattern, or those in a folder.
    #[serde(default, rename = "readMatching", skip_serializing_if = "Vec::is_empty")]
    read_matching: ReadMatchingFiles,
    /// Files to read that the host fetches, where a path of the config is an address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fetch: Fetch,
    /// Files to write.
    #[serde(default)]
    write: WriteFiles,
    /// A template that is `true` if the folders of written files are to be created.
    #[serde(default, rename = "createFolders")]
    create_folders: CreateFolders,
    /// A template that stands for something if folders of partitions are written in place of files.
    #[serde(default, rename = "writeFolders", skip_serializing_if = "Option::is_none")]
    write_folders: WriteFolders,
    /// DuckDB files whose tables are read or updated.
    #[serde(default, skip_serializing_if = "WantedDatabases::is_empty")]
    databases: Databases,
    /// Hosts to connect to, such as `{connection.host}:{connection.port}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connect: Connect,
    /// HTTP methods and addresses to call, such as `GET,POST {config.url}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    http: Http,
    /// What the host adds to HTTP requests from secrets that the driver does not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    credentials: Credentials,
    /// PEM texts whose roots HTTPS trusts instead of the machine's, such as `{connection.ca}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roots: Roots,
    /// Whether the driver keeps a state between runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    state: State,
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
