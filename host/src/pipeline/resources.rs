//! What a step needs of the machine that a cluster chooses for it. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Report;
use crate::size;

/// The most of anything that a step may ask for.
const MOST: f64 = 1e6;

/// What a step asks a cluster for. It is a wish and no limit: what a step may use up are its limits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Other resources, by the names that the cluster gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, f64>,
}

/// As the author writes them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResources {
    cpus: Option<f64>,
    memory: Option<String>,
    #[serde(default)]
    custom: BTreeMap<String, f64>,
}

impl Resources {
    pub(super) fn new(raw: RawResources) -> Result<Self, Report> {
        let RawResources { cpus, memory, custom } = raw;
        let amounts = cpus.iter().map(|cpus| ("cpus", cpus)).chain(custom.iter().map(|(name, it)| (name.as_str(), it)));
        for (name, amount) in amounts {
            if !(*amount > 0.0 && *amount <= MOST) {
                return Err(Report::input(format!("`resources` has {amount} of `{name}`"))
                    .hint(format!("write a number above 0, at most {MOST}")));
            }
        }
        let memory_bytes =
            memory.map(|memory| size::parse(&memory).map_err(|why| Report::input(format!("`resources`: {why}"))));
        Ok(Self { cpus, memory_bytes: memory_bytes.transpose()?, custom })
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = self.cpus.map(|cpus| format!("{cpus} CPUs"));
        let memory = self.memory_bytes.map(|bytes| format!("{} of memory", size::spell(bytes)));
        let custom = self.custom.iter().map(|(name, amount)| format!("{amount} `{name}`"));
        f.write_str(&cpus.into_iter().chain(memory).chain(custom).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::pipeline::parse;

    fn resources(text: &str) -> Result<String, String> {
        let text = format!("{{oml_version: '0.1.0', name: p, steps: [{{id: a, component: a.b, resources: {text}}}]}}");
        parse(&text, "p.yaml")
            .map(|pipeline| pipeline.steps[0].resources.to_string())
            .map_err(|reports| reports.to_string())
    }

    #[test]
    fn resources_are_positive_amounts() {
        let all = resources("{cpus: 0.5, memory: 4GB, custom: {gpu: 1}}");
        assert_eq!(all.unwrap(), "0.5 CPUs, 4.0 GB of memory, 1 `gpu`");
        assert_eq!(resources("{}").unwrap(), "");
        for (text, message) in [
            ("{cpus: 0}", "`resources` has 0 of `cpus` (p.yaml, line 1)"),
            ("{custom: {gpu: -1}}", "`resources` has -1 of `gpu`"),
            ("{cpus: .nan}", "`resources` has NaN of `cpus`"),
            ("{custom: {gpu: .inf}}", "`resources` has inf of `gpu`"),
            ("{memory: lots}", "`lots` is no size"),
            ("{gpu: 1}", "gpu"),
        ] {
            let refused = resources(text).unwrap_err();
            assert!(refused.contains(message), "{text}: {refused}");
        }
    }
}
