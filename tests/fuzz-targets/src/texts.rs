//! Text that people and drivers write: pipelines, specs, policies, jobs, messages, paths in configs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use osiris::driver::config;
use osiris::driver::lock;
use osiris::grants::WantedGrants;
use osiris::grants::address_template::AddressTemplate;
use osiris::grants::endpoint::Endpoint;
use osiris::grants::files::FileTemplate;
use osiris::grants::grant::GrantRequest;
use osiris::grants::policy::{ConnectionHosts, Policy};
use osiris::grants::template::Template;
use osiris::pipeline::connections;
use osiris::protocol::{Job, Message};
use osiris::secrets::Secret;
use serde_json::json;

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

pub fn pipeline(data: &[u8]) {
    if let Some(text) = text(data) {
        let _ = osiris::pipeline::parse(text, "pipeline.yaml");
        let _ = connections::parse(text, "osiris_connections.yaml");
    }
}

pub fn spec(data: &[u8]) {
    if let Some(text) = text(data)
        && let Ok(spec) = osiris::driver::spec::parse(text, "spec.yaml")
    {
        let config = spec.examples.first().map(|example| example.config.clone()).unwrap_or_default();
        let _ = config::check(
            &config::InPlace,
            "step",
            &config::Candidate { spec: &spec, config: &config, written_as: &BTreeMap::new() },
        );
        let divided = config::divide(&spec, &config);
        assert_eq!(divided.masked.len(), config.len(), "a masked config keeps its keys");
    }
}

pub fn policy(data: &[u8]) {
    if let Some(text) = text(data) {
        let _ = osiris::grants::policy::parse(text, "policy.yaml", ConnectionHosts::default());
        if let Ok(parsed) = lock::parse(text, "osiris.lock") {
            assert_eq!(lock::parse(&parsed.text(), "osiris.lock").ok(), Some(parsed), "a lock reads what it wrote");
        }
    }
}

pub fn job(data: &[u8]) {
    if let Ok(mut job) = serde_json::from_slice::<Job>(data) {
        // Not a text of the job's own, which may occur anywhere in it.
        let canary = "canary 8c1d7e2f";
        let innocent = !format!("{job:?}").contains(canary);
        job.secrets.values_mut().for_each(|secret| *secret = Secret::new(canary.to_owned()));
        assert!(!innocent || !format!("{job:?}").contains(canary), "a secret shows in debug output");
    }
}

pub fn message(data: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<Message>(data) {
        let _ = serde_json::to_vec(&message);
    }
}

/// The first line is a value, the rest a template: for any values, no grant leads out of the base folder, or to a host that
/// neither the connections name nor the template fixes.
pub fn grant(data: &[u8]) {
    let Some((value, template)) = text(data).and_then(|text| text.split_once('\n')) else { return };
    let config = json!({"path": value, "paths": [value, {"deep": value}], "connection": {"host": value}});
    let Some(config) = config.as_object() else { return };
    let hosts = ConnectionHosts { all: BTreeSet::from(["allowed".to_owned()]), ..ConnectionHosts::default() };
    let policy = Policy::default_with(hosts);
    let request = GrantRequest { step: "step", config, written: config, base: Path::new("/base"), policy: &policy };
    let mut wanted = vec![];
    if let Ok(template) = template.parse::<FileTemplate>() {
        wanted.push(WantedGrants { write: vec![template], ..WantedGrants::default() });
    }
    if let Ok(template) = template.parse() {
        wanted.push(WantedGrants { read: vec![template], ..WantedGrants::default() });
    }
    if let Ok(template) = template.parse() {
        wanted.push(WantedGrants { connect: vec![template], ..WantedGrants::default() });
    }
    if let Ok(template) = template.parse() {
        wanted.push(WantedGrants { http: vec![template], ..WantedGrants::default() });
    }
    for wanted in wanted {
        let Ok(grants) = wanted.grant(&request) else { continue };
        for file in grants.read.iter().chain(&grants.write) {
            assert!(file.place.is_relative() && file.root == Path::new("/base"), "{file:?}");
            let normal = |part| matches!(part, std::path::Component::Normal(_));
            assert!(file.place.components().all(normal), "{file:?}");
        }
        for Endpoint { host, .. } in grants.connect.iter().chain(grants.http.iter().map(|scope| &scope.endpoint)) {
            let mut fixed = wanted.addresses().into_iter().filter_map(AddressTemplate::fixed_host);
            assert!(host == "allowed" || fixed.any(|template| has_the_form_of(host, template)), "{host}");
        }
    }
}

/// Whether `host` has as many labels as `template`, and ends as it does.
fn has_the_form_of(host: &str, template: &Template) -> bool {
    let dots = |text: &str| text.matches('.').count();
    let literals: Vec<&str> = template.literals().collect();
    let last = literals.last().copied().unwrap_or_default();
    let last = last.strip_suffix('.').unwrap_or(last);
    last.ends_with(']')
        || host.ends_with(last)
            && literals[..literals.len() - 1].iter().map(|text| dots(text)).sum::<usize>() + dots(last) == dots(host)
}
