//! Asks a driver about a connection, for `osiris connections` and `osiris discover`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::lock;
use super::prepare::{PlaceArguments, read_connections, read_policy, read_project};
use super::sandbox::SandboxArguments;
use super::secret_sources::{Commands, SecretSources, Values};
use crate::driver::catalog::{Catalog, Driver};
use crate::driver::config::{self, ConfigParts};
use crate::driver::typed;
use crate::error::{Report, listed};
use crate::executor::supervisor::Supervisor;
use crate::grants::credentials;
use crate::grants::grant::GrantRequest;
use crate::grants::limits::Limits;
use crate::grants::policy::ConnectionHosts;
use crate::pipeline::connections::Connections;
use crate::pipeline::params;
use crate::pipeline::project::Project;
use crate::pipeline::secret_source::is_secret;
use crate::protocol::Call;
use crate::run::probe::{Probe, ProbeReport, probe};
use crate::secrets::MASK;
use crate::session::Base;

#[derive(Debug, clap::Args)]
pub struct AskArguments {
    /// The driver to ask [default: the family's extractor, or its writer]
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    #[command(flatten)]
    pub place: PlaceArguments,
    /// The operator's ceiling [default: the hosts of the connections file]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Give up on a connection after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sandbox: SandboxArguments,
}

/// The context in which connections are resolved.
pub struct ConnectionContext {
    pub base: Base,
    pub connections: Connections,
    project: Project,
    values: Values,
    pub catalog: Catalog,
    /// Enforces the drivers' limits.
    pub supervisor: Supervisor,
}

impl ConnectionContext {
    pub fn new(place: &PlaceArguments) -> anyhow::Result<Self> {
        let base = place.folders.open()?;
        let connections = read_connections(&base)?;
        let project = read_project(&base)?;
        let values = Values::new(&base, place.env_file.as_deref())?;
        let catalog = place.catalog(&base.path)?;
        Ok(Self { base, connections, project, values, catalog, supervisor: Supervisor::start()? })
    }

    /// The fields of a connection, with a mask for each secret that the operator keeps elsewhere: none is obtained.
    ///
    /// # Errors
    /// As for [`Connections::resolve`].
    pub fn fields_to_show(&self, reference: &str) -> Result<Map<String, Value>, Report> {
        let names = self.connections.written(reference).into_iter().flat_map(params::names_in);
        let masks = names.filter(|name| is_secret(name)).map(|name| (name.to_owned(), MASK.to_owned()));
        let mut environment = self.values.environment.clone();
        environment.extend(masks);
        self.connections.resolve(reference, &environment)
    }

    /// The driver that is asked about a connection of `family`.
    pub fn driver(&self, family: &str, named: Option<&str>) -> anyhow::Result<Driver> {
        if let Some(named) = named {
            return self.catalog.find(named);
        }
        let candidates = [format!("{family}.extractor"), format!("{family}.writer")];
        match self.catalog.first(&candidates)? {
            Some(driver) => Ok(driver),
            None => Err(Report::input(format!(
                "no driver serves connections of the family `{family}`; looked for {}",
                listed(candidates.iter().map(String::as_str))
            ))
            .hint("name one with `--driver NAME`; see `osiris drivers list`")
            .into()),
        }
    }
}

/// Asks drivers about connections, within a policy.
pub struct Inquiry<'a> {
    pub context: ConnectionContext,
    arguments: &'a AskArguments,
}

impl<'a> Inquiry<'a> {
    pub fn new(arguments: &'a AskArguments) -> anyhow::Result<Self> {
        arguments.sandbox.enforce()?;
        Ok(Self { context: ConnectionContext::new(&arguments.place)?, arguments })
    }

    /// The driver that is asked about the connection that `reference` names.
    pub fn driver(&self, reference: &str) -> anyhow::Result<Driver> {
        let family = reference.trim_start_matches('@').split('.').next().unwrap_or_default();
        self.context.driver(family, self.arguments.driver.as_deref())
    }

    /// Asks `driver` about the connection that `reference` names.
    pub fn ask(&self, reference: &str, driver: &Driver, call: Call) -> anyhow::Result<ProbeReport> {
        let mut values = self.context.values.clone();
        self.ask_with(reference, driver, call, &mut values).map_err(|error| values.redact(error))
    }

    fn ask_with(
        &self,
        reference: &str,
        driver: &Driver,
        call: Call,
        values: &mut Values,
    ) -> anyhow::Result<ProbeReport> {
        let Self { context, arguments } = self;
        let export = match call {
            Call::Check => "check",
            Call::Run | Call::Discover => "discover",
        };
        if !driver.offers.iter().any(|offer| offer == export) {
            return Err(Report::input(format!("driver `{}` does not offer `{export}`", driver.label()))
                .hint("name another with `--driver NAME`")
                .into());
        }
        // A driver that a run would refuse is given no secret here either.
        let named = arguments.driver.as_deref().unwrap_or(&driver.spec.name);
        lock::check_driver(&context.base, &[named, &driver.spec.name], driver)?;
        let ConnectionContext { base, connections, project, .. } = context;
        SecretSources { base, project, connections, commands: Commands::Run }.for_connection(reference, values)?;
        let hosts = ConnectionHosts::of(connections, &values.environment);
        let policy = &read_policy(arguments.policy.as_deref(), hosts)?;
        let mut fields = connections.resolve(reference, &values.environment)?;
        typed::fields(driver.spec.config_schema.pointer("/properties/connection"), &mut fields);
        if !driver.spec.connection_fields.is_empty() {
            fields.retain(|name, _| driver.spec.connection_fields.contains(name));
        }
        let written = Map::from_iter([("connection".to_owned(), Value::Object(fields))]);
        config::check_connection(&context.catalog.inspector, &driver.spec, reference, &written)?;
        let whole = config::fill(&driver.spec, written.clone());
        let ConfigParts { open, secrets, .. } = config::divide(&driver.spec, &whole);
        let request =
            GrantRequest { step: reference, config: &open, written: &written, base: &context.base.path, policy };
        let grants = driver.spec.grants.grant(&request)?;
        let credentials = credentials::fill(reference, &grants.credentials, &open, &secrets)?;
        probe(&Probe {
            driver,
            credentials,
            config: open,
            secrets,
            hidden: values.secrets().cloned().collect(),
            grants,
            call,
            timeout: Duration::from_secs(arguments.timeout),
            limits: Limits::DEFAULT.within(&policy.limits),
            require_confinement: arguments.sandbox.require_sandbox,
            supervisor: &context.supervisor,
        })
    }
}
