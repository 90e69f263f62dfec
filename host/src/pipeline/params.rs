//! Parameters: which value wins, and how `${params.x}` and `${ENV}` are substituted. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Report, listed, nearest};
use crate::pipeline::{ParamKind, Pipeline};
use crate::secrets::MASK;

/// The resolved value of every parameter.
pub type Params = BTreeMap<String, Value>;

/// The environment variables that a run may see.
pub type Environment = BTreeMap<String, String>;

/// Resolves every parameter: the command line wins over the profile, then `OSIRIS_PARAM_<NAME>`, then the default.
///
/// # Errors
/// For unknown names, values of the wrong type, and required parameters without a value.
pub fn resolve(
    pipeline: &Pipeline,
    command_line: &[(String, String)],
    profile: Option<&str>,
    environment: &Environment,
) -> Result<Params, Report> {
    let known = || pipeline.params.keys().map(String::as_str);
    let profile_params = match profile {
        None => None,
        Some(name) => Some(
            &pipeline
                .profiles
                .get(name)
                .ok_or_else(|| unknown("profile", name, pipeline.profiles.keys().map(String::as_str)))?
                .params,
        ),
    };
    let named = command_line.iter().map(|(name, _)| name).chain(profile_params.into_iter().flat_map(BTreeMap::keys));
    if let Some(name) = named.into_iter().find(|name| !pipeline.params.contains_key(*name)) {
        return Err(unknown("parameter", name, known()));
    }
    let mut params = Params::new();
    for (name, definition) in &pipeline.params {
        let from_line =
            command_line.iter().rev().find(|(given, _)| given == name).map(|(_, value)| Value::from(value.as_str()));
        let from_profile = || profile_params.and_then(|params| params.get(name)).cloned();
        let from_environment = || environment.get(&variable(name)).map(|value| Value::from(value.as_str()));
        let value = from_line.or_else(from_profile).or_else(from_environment).or_else(|| definition.default.clone());
        let Some(value) = value else {
            if definition.required {
                return Err(Report::input(format!("parameter `{name}` has no value"))
                    .hint(format!("give one with `--param {name}=VALUE`, or set {}", variable(name))));
            }
            // Any reference to it is reported as an error.
            params.insert(name.clone(), Value::Null);
            continue;
        };
        let value = typed(name, value, definition.kind)?;
        if let Some(allowed) = &definition.allowed
            && !allowed.contains(&value)
        {
            let choices = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
            return Err(Report::input(format!("parameter `{name}` is {value}; allowed: {choices}")));
        }
        params.insert(name.clone(), value);
    }
    Ok(params)
}

fn variable(param: &str) -> String {
    format!("OSIRIS_PARAM_{}", param.to_uppercase().replace('-', "_"))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Report {
    let report = Report::input(format!("unknown {what} `{name}`; known: {}", listed(known.clone())));
    match nearest(name, known) {
        Some(near) => report.hint(format!("did you mean `{near}`?")),
        None => report.hint(format!(
            "declare it in the pipeline's `{}`, or leave it out",
            if what == "profile" { "profiles" } else { "params" }
        )),
    }
}

/// A value converted to its parameter's type; text from the command line or environment is parsed.
fn typed(name: &str, value: Value, kind: ParamKind) -> Result<Value, Report> {
    let converted = match (kind, &value) {
        (ParamKind::Any, _) => return Ok(value),
        (ParamKind::String, Value::String(_)) => return Ok(value),
        (ParamKind::String, Value::Number(number)) => Some(Value::from(number.to_string())),
        (ParamKind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => return Ok(value),
        (ParamKind::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (ParamKind::Number, Value::Number(_)) => return Ok(value),
        (ParamKind::Number, Value::String(text)) => {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
        }
        (ParamKind::Boolean, Value::Bool(_)) => return Ok(value),
        (ParamKind::Boolean, Value::String(text)) => match text.trim() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    };
    let words = match kind {
        ParamKind::Any | ParamKind::String => "a string",
        ParamKind::Integer => "an integer",
        ParamKind::Number => "a number",
        ParamKind::Boolean => "`true` or `false`",
    };
    converted.ok_or_else(|| Report::input(format!("parameter `{name}` must be {words}, but is {value}")))
}

/// Substitutes parameters and environment variables in every string of a step's config.
///
/// A string that is a single reference takes the parameter's type; a reference inside a longer string becomes text.
/// `$${` stands for a literal `${`.
///
/// # Errors
/// For a reference to an unknown parameter or an unset variable, naming the step and the key.
/// For a reference to an unknown parameter or an unset variable, naming the step and the key.
pub fn substitute(
    step: &str,
    config: &Map<String, Value>,
    params: &Params,
    environment: &Environment,
) -> Result<Map<String, Value>, Report> {
    let mut config = config.clone();
    for (key, value) in &mut config {
        *value = substitute_value(value, &Place { step, field: format!("config.{key}") }, params, environment)?;
    }
    Ok(config)
}

/// A field of a step's config, for messages.
struct Place<'a> {
    step: &'a str,
    field: String,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of step `{}`", self.field, self.step)
    }
}

fn substitute_value(
    value: &Value,
    place: &Place<'_>,
    params: &Params,
    environment: &Environment,
) -> Result<Value, Report> {
    Ok(match value {
        Value::String(text) => substitute_text(text, &place.to_string(), params, environment)?,
        Value::Array(items) => Value::Array(
            items.iter().map(|item| substitute_value(item, place, params, environment)).collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => {
            let mut result = Map::new();
            for (key, field) in fields {
                let place = Place { step: place.step, field: format!("{}.{key}", place.field) };
                result.insert(key.clone(), substitute_value(field, &place, params, environment)?);
            }
            Value::Object(result)
        }
        other => other.clone(),
    })
}

/// Resolves the references in one string.
pub fn substitute_text(text: &str, place: &str, params: &Params, environment: &Environment) -> Result<Value, Report> {
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && !name.contains("${")
        && !name.contains('}')
    {
        return lookup(name, place, params, environment);
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            result.push_str(&rest[..start]);
            result.push('{');
            rest = &rest[start + 2..];
            continue;
        }
        result.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            return Err(Report::input(format!("{place} has `${{` without `}}`"))
                .hint("write `$${` for the characters themselves"));
        };
        match lookup(&rest[start + 2..start + end], place, params, environment)? {
            Value::String(text) => result.push_str(&text),
            other => result.push_str(&other.to_string()),
        }
        rest = &rest[start + end + 1..];
    }
    result.push_str(rest);
    Ok(Value::String(result))
}

/// Shows a value as it was written if it refers to environment variables, each of which is masked: nobody can tell
/// which of them are secrets.
pub fn mask_environment(shown: &mut Value, written: &Value, params: &Params, environment: &Environment) {
    match (shown, written) {
        (shown, Value::String(text)) if names_variable(text) => {
            let masked = environment.keys().map(|name| (name.clone(), MASK.to_owned())).collect();
            *shown = substitute_text(text, "a value", params, &masked).unwrap_or_else(|_| MASK.into());
        }
        (Value::Array(shown), Value::Array(written)) => {
            shown.iter_mut().zip(written).for_each(|(shown, written)| {
                mask_environment(shown, written, params, environment);
            });
        }
        (Value::Object(shown), Value::Object(written)) => {
            for (name, written) in written {
                if let Some(shown) = shown.get_mut(name) {
                    mask_environment(shown, written, params, environment);
                }
            }
        }
        _ => {}
    }
}

/// Whether a text refers to an environment variable.
pub fn names_variable(text: &str) -> bool {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if !before.ends_with('$') && !after.trim_start().starts_with("params.") {
            return true;
        }
        rest = after;
    }
    false
}

fn lookup(name: &str, place: &str, params: &Params, environment: &Environment) -> Result<Value, Report> {
    let name = name.trim();
    if let Some(param) = name.strip_prefix("params.") {
        return match params.get(param) {
            Some(Value::Null) => Err(Report::input(format!("{place} needs parameter `{param}`, which has no value"))
                .hint(format!("give one with `--param {param}=VALUE`, or set {}", variable(param)))),
            Some(value) => Ok(value.clone()),
            None => {
                let report = unknown("parameter", param, params.keys().map(String::as_str));
                Err(Report { message: format!("{place}: {}", report.message), ..report })
            }
        };
    }
    environment.get(name).map(|value| Value::from(value.as_str())).ok_or_else(|| {
        Report::input(format!("{place} needs the environment variable `{name}`, which is not set"))
            .hint(format!("run `export {name}=…` first, or write `${{params.…}}` for a parameter"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pipeline::parse;

    fn pipeline() -> Pipeline {
        parse(
            "oml_version: \"0.1.0\"\nname: x\nparams: {n: {type: integer, default: 1}, s: a, must: {required: true}}\n\
             profiles: {dev: {params: {n: 2}}}\nsteps: [{id: a, component: x.y}]",
            "p.yaml",
        )
        .unwrap()
    }

    fn given(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_command_line_wins_over_profile_over_environment_over_default() {
        let must = given("must", "x");
        let variables = Environment::from([given("OSIRIS_PARAM_N", "3")]);
        let table = [
            (vec![given("n", "4"), must.clone()], Some("dev"), variables.clone(), 4),
            (vec![must.clone()], Some("dev"), variables.clone(), 2),
            (vec![must.clone()], None, variables, 3),
            (vec![must], None, Environment::new(), 1),
        ];
        for (line, profile, environment, expected) in table {
            let params = resolve(&pipeline(), &line, profile, &environment).unwrap();
            assert_eq!(params["n"], Value::from(expected));
        }
    }

    #[test]
    fn wrong_params_are_refused() {
        let environment = Environment::new();
        for line in [vec![], vec![given("must", "x"), given("nn", "1")], vec![given("must", "x"), given("n", "ten")]] {
            assert!(resolve(&pipeline(), &line, None, &environment).is_err(), "{line:?}");
        }
        assert!(resolve(&pipeline(), &[given("must", "x")], Some("prod"), &environment).is_err());
    }

    #[test]
    fn a_reference_keeps_its_type_alone_and_becomes_text_inside_a_string() {
        let params = Params::from([("n".to_owned(), Value::from(5))]);
        let environment = Environment::from([given("HOST", "db")]);
        let table = [
            ("${params.n}", Value::from(5)),
            ("limit ${params.n}!", Value::from("limit 5!")),
            ("${HOST}:${params.n}", Value::from("db:5")),
            ("$${params.n}", Value::from("${params.n}")),
            ("no reference $5", Value::from("no reference $5")),
        ];
        for (text, expected) in table {
            assert_eq!(substitute_text(text, "here", &params, &environment).unwrap(), expected);
        }
        let params = Params::from([("day".to_owned(), Value::Null)]);
        for text in ["${params.day}", "day=${params.day}"] {
            let report = substitute_text(text, "config.path of step `x`", &params, &environment).unwrap_err();
            assert!(report.message.contains("parameter `day`, which has no value"), "{}", report.message);
            assert!(report.hint.unwrap().contains("--param day=VALUE"));
        }
        let report = substitute_text("${params.nix}", "here", &params, &environment).unwrap_err();
        assert!(report.hint.unwrap().contains("`params`"));
        assert!(substitute_text("${MISSING}", "here", &params, &environment).is_err());
        assert!(substitute_text("a ${params.n", "here", &params, &environment).is_err());
    }
}
