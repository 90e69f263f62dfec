//! Other names of a driver's options, and options that are accepted without effect. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::driver::spec::Spec;
use crate::error::{Report, listed};
use crate::warning::Warning;

/// A config with the driver's own names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CanonicalConfig {
    pub config: Map<String, Value>,
    /// A notice for each option without effect.
    pub notices: Vec<Warning>,
    /// For each option, the other name that the author used.
    pub written_as: BTreeMap<String, String>,
}

/// Renames the options in `config` of `step` to the driver's own names by its spec's `aliases`, and removes those that
/// its spec's `ignored` names.
///
/// # Errors
/// A [`Report`] naming both, if two names of one option have different values.
pub fn rename(spec: &Spec, step: &str, config: &Map<String, Value>) -> Result<CanonicalConfig, Report> {
    let mut renamed = CanonicalConfig::default();
    for (name, value) in config {
        if let Some(reason) = spec.ignored.get(name) {
            renamed.notices.push(Warning::new(format!("option `{name}` has no effect here: {reason}")));
            continue;
        }
        let own = spec.aliases.get(name).unwrap_or(name);
        if let Some(earlier) = renamed.config.insert(own.clone(), value.clone())
            && earlier != *value
        {
            let other = renamed.written_as.get(own).unwrap_or(own);
            return Err(Report::input(format!(
                "config of step `{step}` (`{}`): `{other}` and `{name}` are one option, but have different values",
                spec.name
            ))
            .hint(format!("keep one of them; the option's name here is `{own}`")));
        }
        if own != name {
            renamed.written_as.insert(own.clone(), name.clone());
        }
    }
    Ok(renamed)
}

/// Checks a spec's `aliases`, `ignored` and `sql` against its configSchema.
///
/// # Errors
/// If an alias or a dialect belongs to no option, or a name is also an option.
pub fn check(spec: &Spec, file: &str) -> Result<(), Report> {
    let properties = spec.config_schema.get("properties").and_then(Value::as_object);
    let known = || properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let wrong = |message: String| Err(Report::input(format!("spec `{file}`: {message}")));
    for (alias, option) in &spec.aliases {
        if !known().any(|known| known == option) {
            return wrong(format!(
                "the alias `{alias}` stands for `{option}`, which its configSchema does not have; it has: {}",
                listed(known())
            ));
        }
        if spec.ignored.contains_key(alias) {
            return wrong(format!("`{alias}` stands both in `aliases` and in `ignored`"));
        }
    }
    for (key, name) in
        spec.aliases.keys().map(|name| ("aliases", name)).chain(spec.ignored.keys().map(|name| ("ignored", name)))
    {
        if known().any(|known| known == name) {
            return wrong(format!("`{name}` stands in `{key}`, but is an option of its configSchema"));
        }
    }
    if let Some(option) = spec.sql.keys().find(|option| !known().any(|known| known == *option)) {
        return wrong(format!(
            "`sql` names `{option}`, which its configSchema does not have; it has: {}",
            listed(known())
        ));
    }
    match spec.ignored.iter().find(|(_, reason)| reason.trim().is_empty()) {
        Some((name, _)) => wrong(format!("`ignored` gives no reason for `{name}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn spec(more: &str) -> Result<Spec, Report> {
        crate::driver::spec::parse(
            &format!(
                "name: a.b\nversion: 1.0.0\nkind: writer\ntitle: t\nconfigSchema:\n  type: object\n  \
                 additionalProperties: false\n  properties: {{mode: {{type: string}}, primary_key: {{type: array}}}}\n{more}"
            ),
            "spec.yaml",
        )
    }

    const NAMES: &str = "aliases: {write_mode: mode, how: mode, upsert_keys: primary_key}\nignored: {pool_size: connections are not pooled}\n";

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn other_names_become_the_drivers_own_names() {
        let spec = spec(NAMES).unwrap();
        for (written, own) in [
            (json!({"write_mode": "upsert", "upsert_keys": ["id"]}), json!({"mode": "upsert", "primary_key": ["id"]})),
            (json!({"mode": "append", "write_mode": "append"}), json!({"mode": "append"})),
            (json!({"write_mode": "a", "how": "a", "unknown": 1}), json!({"mode": "a", "unknown": 1})),
            (json!({}), json!({})),
        ] {
            assert_eq!(Value::Object(rename(&spec, "s", &object(&written)).unwrap().config), own);
        }
    }

    #[test]
    fn two_names_with_different_values_are_refused_with_both_names() {
        let spec = spec(NAMES).unwrap();
        for (written, names) in [
            (json!({"mode": "append", "write_mode": "replace"}), ["`mode`", "`write_mode`"]),
            (json!({"how": "append", "write_mode": "replace"}), ["`how`", "`write_mode`"]),
            (json!({"primary_key": ["id"], "upsert_keys": null}), ["`primary_key`", "`upsert_keys`"]),
        ] {
            let report = rename(&spec, "s", &object(&written)).unwrap_err();
            assert!(names.iter().all(|name| report.message.contains(name)), "{}", report.message);
        }
    }

    #[test]
    fn an_option_without_effect_is_removed_with_a_notice() {
        let renamed = rename(&spec(NAMES).unwrap(), "s", &object(&json!({"pool_size": 5, "mode": "append"}))).unwrap();
        assert_eq!(Value::Object(renamed.config), json!({"mode": "append"}));
        assert_eq!(
            renamed.notices,
            [Warning::new("option `pool_size` has no effect here: connections are not pooled")]
        );
    }

    #[test]
    fn wrong_names_in_a_spec_are_refused() {
        for (more, said) in [
            ("aliases: {write_mode: mod}\n", "`mod`"),
            ("aliases: {primary_key: mode}\n", "`primary_key`"),
            ("ignored: {mode: is not used}\n", "`mode`"),
            ("ignored: {echo: ' '}\n", "`echo`"),
            ("aliases: {echo: mode}\nignored: {echo: is not used}\n", "both"),
        ] {
            let report = spec(more).unwrap_err();
            assert!(report.message.contains(said), "{}", report.message);
        }
    }
}
