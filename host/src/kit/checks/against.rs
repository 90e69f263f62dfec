//! A new version of a driver accepts what the old one accepted, and gives the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::compare::{Rows, difference};
use super::{Subject, Verdict};
use crate::driver::spec::Spec;

/// Compares the specs, then the results of the tests that both versions pass.
pub fn against(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let Some(old) = &subject.harness.against else {
        return Ok(Verdict::Skipped("no earlier version was named with `--against`".to_owned()));
    };
    if let Some(words) = narrowed(&old.spec, &subject.harness.driver.spec) {
        return Ok(Verdict::Failed(words));
    }
    for run in subject.some() {
        let before = subject.harness.run_driver(old, &run.trial)?;
        // A test of something new fails with the old version.
        if !before.is_success() {
            continue;
        }
        if let Some(words) = difference(&before, &run.outcome, Rows::AsSet) {
            return Ok(Verdict::Failed(format!("test `{}` gives something else than before: {words}", run.name)));
        }
    }
    Ok(Verdict::Passed)
}

/// What a pipeline that was written for the old spec would miss.
fn narrowed(old: &Spec, new: &Spec) -> Option<String> {
    if old.name != new.name || old.kind != new.kind {
        return Some(format!("it is {} `{}` instead of {} `{}`", new.kind, new.name, old.kind, old.name));
    }
    if let Some(words) = schema_narrowed("", &old.config_schema, &new.config_schema, new) {
        return Some(words);
    }
    let lost: Vec<&String> = old.aliases.keys().chain(old.ignored.keys()).filter(|name| !is_known(new, name)).collect();
    if let Some(name) = lost.first() {
        return Some(format!("option `{name}` is no longer accepted"));
    }
    if let Some(secret) = old.secrets.iter().find(|secret| !new.secrets.contains(secret) && is_option(new, secret)) {
        return Some(format!("`{secret}` is no longer a secret"));
    }
    if let Some(mode) = old.modes.iter().find(|mode| !new.modes.contains(mode)) {
        return Some(format!("mode `{mode}` is no longer supported"));
    }
    if new.grants.state && !old.grants.state {
        return Some("it asks for more than before: state".to_owned());
    }
    let templates = |spec: &Spec| -> BTreeSet<String> {
        let all = spec.grants.templates().into_iter();
        all.flat_map(|(name, templates)| templates.into_iter().map(move |template| format!("{name}: {template}")))
            .collect()
    };
    let (before, after) = (templates(old), templates(new));
    after.difference(&before).next().map(|grant| format!("it asks for more than before: {grant}"))
}

/// Whether a spec has an option at a JSON pointer into the config.
fn is_option(spec: &Spec, pointer: &str) -> bool {
    spec.config_schema.pointer(&pointer.replace('/', "/properties/")).is_some()
}

/// Whether a config may have an option of that name, with or without effect.
fn is_known(spec: &Spec, name: &str) -> bool {
    spec.config_schema.pointer("/properties").is_some_and(|properties| properties.get(name).is_some())
        || spec.aliases.contains_key(name)
        || spec.ignored.contains_key(name)
}

/// How an object's schema accepts less than before; `path` is where the object is in the config.
fn schema_narrowed(path: &str, old: &Value, new: &Value, spec: &Spec) -> Option<String> {
    let names = |schema: &Value| -> BTreeSet<String> {
        let required = schema.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let nothing = serde_json::Map::new();
    let properties = |schema: &'_ Value| schema.get("properties").and_then(Value::as_object).cloned();
    let (before, after) = (properties(old).unwrap_or_else(|| nothing.clone()), properties(new).unwrap_or(nothing));
    for (name, schema) in &before {
        let Some(now) = after.get(name) else {
            if path.is_empty() && is_known(spec, name) || new.get("additionalProperties") != Some(&Value::Bool(false)) {
                continue;
            }
            return Some(format!("option `{path}{name}` is no longer accepted"));
        };
        let name = format!("{path}{name}");
        if let Some(words) = value_narrowed(&name, schema, now) {
            return Some(words);
        }
        if let Some(words) = schema_narrowed(&format!("{name}."), schema, now, spec) {
            return Some(words);
        }
    }
    for name in names(new).difference(&names(old)) {
        if after.get(name).is_none_or(|schema| schema.get("default").is_none()) {
            return Some(format!("option `{path}{name}` is now required"));
        }
    }
    None
}

/// How an option accepts fewer values than before.
fn value_narrowed(name: &str, old: &Value, new: &Value) -> Option<String> {
    let list = |schema: &Value, key: &str| -> Option<Vec<Value>> {
        let value = schema.get(key)?;
        Some(value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]))
    };
    for (key, what) in [("type", "the type"), ("enum", "the value")] {
        let Some(now) = list(new, key) else { continue };
        let Some(before) = list(old, key) else {
            return Some(format!("option `{name}` now accepts only {}", new[key]));
        };
        let accepts = |value: &Value| now.contains(value) || *value == "integer" && now.contains(&"number".into());
        if let Some(lost) = before.iter().find(|value| !accepts(value)) {
            return Some(format!("option `{name}` no longer accepts {what} {lost}"));
        }
    }
    for (key, is_less) in [("minimum", 1.0), ("minLength", 1.0), ("maximum", -1.0), ("maxLength", -1.0)] {
        let bound = |schema: &Value| schema.get(key).and_then(Value::as_f64);
        let Some(now) = bound(new) else { continue };
        if bound(old).is_none_or(|before| (now - before) * is_less > 0.0) {
            return Some(format!("option `{name}` has a narrower `{key}` than before: {now}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::driver::spec::parse;

    const OLD: &str = "name: a.b\nversion: 1.0.0\nkind: extractor\ntitle: t\nsecrets: [/token]\ngrants: {read: [\"{config.path}\"]}\n\
        aliases: {file: path}\nconfigSchema:\n  type: object\n  additionalProperties: false\n  required: [path]\n  properties:\n    \
        path: {type: string}\n    size: {type: integer, minimum: 1}\n    mode: {enum: [a, b]}\n    token: {type: string}\n";

    fn compared(from: &str, to: &str) -> Option<String> {
        assert!(OLD.contains(from), "{from}");
        narrowed(&parse(OLD, "old").unwrap(), &parse(&OLD.replacen(from, to, 1), "new").unwrap())
    }

    #[test]
    fn what_a_new_version_no_longer_accepts_is_found() {
        for (from, to, words) in [
            ("size: {type: integer", "count: {type: integer", "option `size` is no longer accepted"),
            ("minimum: 1", "minimum: 2", "option `size` has a narrower `minimum` than before: 2"),
            ("type: integer", "type: string", "option `size` no longer accepts the type \"integer\""),
            ("[a, b]", "[a]", "option `mode` no longer accepts the value \"b\""),
            ("[path]", "[path, size]", "option `size` is now required"),
            ("file: path", "place: path", "option `file` is no longer accepted"),
            ("[/token]", "[]", "`/token` is no longer a secret"),
            (
                "{read: [\"{config.path}\"]}",
                "{read: [\"{config.path}\", \"{config.mode}\"]}",
                "it asks for more than before",
            ),
            ("a.b", "a.c", "it is extractor `a.c` instead of extractor `a.b`"),
        ] {
            let found = compared(from, to).unwrap_or_default();
            assert!(found.contains(words), "{to}: {found}");
        }
    }

    #[test]
    fn what_a_new_version_accepts_in_addition_is_no_difference() {
        for (from, to) in [
            ("mode: {enum: [a, b]}", "mode: {enum: [a, b, c]}\n    more: {type: string}"),
            ("type: integer, minimum: 1", "type: number"),
            ("[path]", "[]"),
            ("aliases: {file: path}", "aliases: {file: path, size: mode}\nignored: {x: y}"),
        ] {
            let to =
                if to.contains("size: mode") { to.replace(", size: mode", ", place: path") } else { to.to_owned() };
            assert_eq!(compared(from, &to), None, "{to}");
        }
    }
}
