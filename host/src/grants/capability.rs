//! What a step can be allowed to touch, each kind of it declared in a file of its own.
//!
//! A capability says what a spec asks for it, what author and policy allow, and how people and programs get to see it.
//! `plan`, `drivers inspect`, the lock, the manifest and the checks of a driver's imports follow from [`capabilities!`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::connect::Connect;
use super::endpoint::Endpoint;
use super::files::{CreateFolders, ReadFiles, WriteFiles};
use super::grant::GrantRequest;
use super::http::{Http, Roots};
use super::state::State;
use super::template::Template;
use crate::error::Report;

/// One kind of thing that a step can be allowed to touch.
pub trait Capability {
    /// What a spec asks: templates over the step's config, or a flag.
    type Wanted;
    /// What one step gets; by default nothing.
    type Granted: Default;

    /// The interfaces that a component may import only if its step has this.
    const IMPORTS: &'static [&'static str] = &[];
    /// What such an import reaches for, after `the step was not granted`.
    const REACHES_FOR: &'static str = "";

    /// The templates that the spec asks with.
    fn templates(wanted: &Self::Wanted) -> &[Template];

    /// What the spec asks, in words that follow `it wants to`.
    fn wanted_words(wanted: &Self::Wanted) -> Vec<String>;

    fn is_wanted(wanted: &Self::Wanted) -> bool {
        !Self::templates(wanted).is_empty()
    }

    /// What one step gets: what the spec asks, as far as author and policy allow.
    ///
    /// # Errors
    /// When the spec asks for something that the author did not name or the policy does not allow.
    fn grant(wanted: &Self::Wanted, request: &GrantRequest<'_>) -> Result<Self::Granted, Report>;

    fn is_granted(granted: &Self::Granted) -> bool;

    /// What the step gets, in words that follow `the step may`. `note` says of a host what else there is to know.
    fn words(granted: &Self::Granted, note: &dyn Fn(&str) -> &'static str) -> Vec<String>;

    /// What the step gets, for programs.
    fn json(granted: &Self::Granted) -> Value;

    /// Where the step may connect by it.
    fn endpoints(_granted: &Self::Granted) -> Vec<Endpoint> {
        Vec::new()
    }
}

/// Each of a spec's templates after a verb, in words.
pub fn each(verb: &str, templates: &[Template]) -> Vec<String> {
    templates.iter().map(|template| format!("{verb} `{}`", crate::untrusted::line(template.text()))).collect()
}

macro_rules! capabilities {
    ($($(#[$attribute:meta])* $name:ident: $capability:ty,)*) => {
        /// What a driver asks to touch, as templates over its config such as `{config.path}`.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct WantedGrants {
            $($(#[$attribute])* pub $name: <$capability as Capability>::Wanted,)*
        }

        impl WantedGrants {
            /// What the driver wants, in words, one a line.
            pub fn words(&self) -> Vec<String> {
                [$(<$capability>::wanted_words(&self.$name),)*].concat()
            }

            /// The templates of each capability, by its name.
            pub fn templates(&self) -> Vec<(&'static str, &[Template])> {
                vec![$((stringify!($name), <$capability>::templates(&self.$name)),)*]
            }

            /// What components with `imports` reach for although the spec does not ask for it.
            pub fn unasked(&self, imports: &[String]) -> Vec<&'static str> {
                let imports = |interfaces: &[&str]| imports.iter().any(|import| interfaces.contains(&interface(import)));
                let mut unasked = Vec::new();
                $(if !<$capability>::is_wanted(&self.$name) && imports(<$capability>::IMPORTS) {
                    unasked.push(<$capability>::REACHES_FOR);
                })*
                unasked
            }

            /// The effective grants of a step: what the spec asks over the step's config, within the policy.
            ///
            /// # Errors
            /// When the spec asks for something that the author did not name or the policy does not allow.
            pub fn grant(&self, request: &GrantRequest<'_>) -> Result<Grants, Report> {
                let mut grants = Grants::default();
                $(grants.$name = <$capability>::grant(&self.$name, request)?;)*
                let hosts = grants.endpoints().into_iter().map(|endpoint| endpoint.host);
                grants.private_hosts = hosts.filter(|host| request.policy.private_hosts.contains(host)).collect();
                grants.verified_tls = super::tls::demanded(request, &grants)?;
                Ok(grants)
            }
        }

        /// What one step may touch outside its session. Nothing else is linked, opened or reachable.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Grants {
            $(pub $name: <$capability as Capability>::Granted,)*
            /// The hosts among these that may be in a private network or on this machine.
            pub private_hosts: BTreeSet<String>,
            /// Whether each connection must be encrypted, to a server that proved who it is.
            pub verified_tls: bool,
        }

        impl Grants {
            /// The grants in words, one a line.
            pub fn words(&self) -> Vec<String> {
                let note = |host: &str| {
                    if self.private_hosts.contains(host) { " (which may lie in a private network)" } else { "" }
                };
                let verified = self.verified_tls.then(|| "speak TLS alone, to servers that prove who they are".to_owned());
                [$(<$capability>::words(&self.$name, &note),)* Vec::from_iter(verified)].concat()
            }

            /// The grants for programs: each by its name, and all in words.
            pub fn json(&self) -> Value {
                let mut all = Map::new();
                all.insert("words".to_owned(), json!(self.words()));
                $(all.insert(stringify!($name).to_owned(), <$capability>::json(&self.$name));)*
                all.insert("private_hosts".to_owned(), json!(self.private_hosts));
                all.insert("verified_tls".to_owned(), json!(self.verified_tls));
                Value::Object(all)
            }

            /// Everywhere that the step may connect, by whatever protocol.
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
    /// Files to write.
    #[serde(default)]
    write: WriteFiles,
    /// A template that says `true` where the folders of written files are to be created.
    #[serde(default, rename = "createFolders")]
    create_folders: CreateFolders,
    /// Hosts to connect to, such as `{connection.host}:{connection.port}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connect: Connect,
    /// Methods and addresses to call by HTTP, such as `GET,POST {config.url}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    http: Http,
    /// PEM texts whose roots HTTP trusts in place of the machine's, such as `{connection.ca}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roots: Roots,
    /// Whether the driver keeps something from one run to the next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    state: State,
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
