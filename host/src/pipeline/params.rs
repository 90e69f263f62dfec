//! Parameters: which value wins, and how `${params.x}`, `${sql:params.x}` and `${ENV}` are substituted. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::{Report, listed, nearest};
use crate::pipeline::Pipeline;
use crate::pipeline::parameter::{ParamKind, Scalar};
use crate::pipeline::secret_source;
use crate::pipeline::sql_literal::{self, Dialect};
use crate::secrets::MASK;

/// The resolved value of every parameter.
pub type Params = BTreeMap<String, Param>;

/// The environment variables that a run may see.
pub type Environment = BTreeMap<String, String>;

/// What stands for a variable whose value is not known: a text and a host name that is nobody's (RFC 2606), and its address. What is
/// made of it is never used.
pub const STAND_IN: &str = "offline.invalid";
pub const STAND_IN_ADDRESS: &str = "https://offline.invalid/";

/// The value of a parameter, null if it has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Param {
    pub value: Value,
    pub kind: ParamKind,
    /// Whether its author listed the values that it may have.
    pub is_closed: bool,
}

/// Where the values of parameters come from, apart from the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Those of the command line.
    pub command_line: &'a [(String, String)],
    /// Those of the session that is resumed, which win over everything but the command line.
    pub recorded: &'a BTreeMap<String, Value>,
    pub profile: Option<&'a str>,
    pub environment: &'a Environment,
    /// What `today` and the like are relative to.
    pub now: Timestamp,
}

/// Resolves every parameter: the command line wins over the profile, then `OSIRIS_PARAM_<NAME>`, then the default.
///
/// # Errors
/// For unknown names, values of the wrong type, and required parameters without a value.
pub fn resolve(pipeline: &Pipeline, sources: &Sources<'_>) -> Result<Params, Report> {
    let Sources { command_line, recorded, profile, environment, now } = *sources;
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
        let value = from_line
            .or_else(|| recorded.get(name).cloned())
            .or_else(from_profile)
            .or_else(from_environment)
            .or_else(|| definition.default.clone());
        let value = match value {
            Some(value) => definition.typed(name, value, now)?,
            None if definition.required => {
                return Err(Report::input(format!("parameter `{name}` has no value"))
                    .hint(format!("give one with `--param {name}=VALUE`, or set {}", variable(name))));
            }
            // Any reference to it is reported as an error.
            None => Value::Null,
        };
        let param = Param { value, kind: definition.kind, is_closed: definition.allowed.is_some() };
        params.insert(name.clone(), param);
    }
    Ok(params)
}

/// The environment variable that can set a parameter.
pub fn variable(param: &str) -> String {
    format!("OSIRIS_PARAM_{}", param.to_uppercase().replace('-', "_"))
}

/// An error for an unknown parameter or profile.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Report {
    let report = Report::input(format!("unknown {what} `{name}`; known: {}", listed(known.clone())));
    match nearest(name, known) {
        Some(near) => report.hint(format!("did you mean `{near}`?")),
        None => report.hint(format!(
            "declare it in the pipeline's `{}`, or leave it out",
            if what == "profile" { "profiles" } else { "params" }
        )),
    }
}

/// What the references in a text stand for.
#[derive(Debug, Clone, Copy)]
pub struct References<'a> {
    pub params: &'a Params,
    pub environment: &'a Environment,
    /// The SQL of the text, if its option holds SQL: only there may `${sql:…}` stand.
    pub dialect: Option<Dialect>,
    /// Whether the operator wrote the text, and not the author of a pipeline, who may be anybody: it may name files.
    pub is_operators: bool,
}

/// Substitutes parameters and environment variables in every string of a step's config. `dialect_of` tells the SQL of an option.
///
/// A string that is a single reference takes the parameter's type; a reference inside a longer string becomes text.
/// `$${` stands for a literal `${`.
///
/// # Errors
/// For a reference to an unknown parameter or an unset variable, naming the step and the key.
pub fn substitute(
    step: &str,
    config: &Map<String, Value>,
    (params, environment): (&Params, &Environment),
    dialect_of: impl Fn(&str) -> Option<Dialect>,
) -> Result<Map<String, Value>, Report> {
    let mut config = config.clone();
    for (key, value) in &mut config {
        let references = References::of_pipeline(params, environment, dialect_of(key));
        *value = substitute_value(value, &Place { step, field: format!("config.{key}") }, &references)?;
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

fn substitute_value(value: &Value, place: &Place<'_>, references: &References<'_>) -> Result<Value, Report> {
    Ok(match value {
        Value::String(text) => {
            references.substitute(text, &place.to_string()).map_err(|report| report.at(place.field.split('.')))?
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| substitute_value(item, place, references)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let mut result = Map::new();
            for (key, field) in fields {
                let place = Place { step: place.step, field: format!("{}.{key}", place.field) };
                result.insert(key.clone(), substitute_value(field, &place, references)?);
            }
            Value::Object(result)
        }
        other => other.clone(),
    })
}

/// A part of a text.
enum Part<'a> {
    Text(&'a str),
    /// The name inside `${…}`.
    Reference(&'a str),
}

/// Splits a text into its references and what is between them. A `${` that nothing ends is the last part, with its text.
fn parts(text: &str) -> (Vec<Part<'_>>, Option<&str>) {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            parts.push(Part::Text(&rest[..start]));
            parts.push(Part::Text("{"));
            rest = &rest[start + 2..];
            continue;
        }
        parts.push(Part::Text(&rest[..start]));
        let Some(end) = rest[start..].find('}') else { return (parts, Some(&rest[start..])) };
        parts.push(Part::Reference(rest[start + 2..start + end].trim()));
        rest = &rest[start + end + 1..];
    }
    parts.push(Part::Text(rest));
    (parts, None)
}

/// The names of the references in a text.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    parts(text).0.into_iter().filter_map(|part| match part {
        Part::Text(_) => None,
        Part::Reference(name) => Some(name),
    })
}

/// The names of the references in every text of a config.
pub fn names_in(config: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let mut texts = Vec::new();
    let mut left: Vec<&Value> = config.values().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => texts.push(text.as_str()),
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
    }
    texts.into_iter().flat_map(names)
}

/// The name in a text that is one reference.
fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains("${") && !name.contains('}')).then(|| name.trim())
}

/// What a parameter's name follows in a reference to its value as SQL.
const SQL: &str = "sql:";

/// Whether a reference is to a parameter, and not to a variable or secret.
pub fn is_param(name: &str) -> bool {
    without_sql(name).starts_with("params.")
}

/// The name in a reference that may ask for the value as SQL.
pub fn without_sql(name: &str) -> &str {
    name.strip_prefix(SQL).unwrap_or(name).trim_start()
}

impl<'a> References<'a> {
    pub fn of_pipeline(params: &'a Params, environment: &'a Environment, dialect: Option<Dialect>) -> Self {
        Self { params, environment, dialect, is_operators: false }
    }

    /// Resolves the references in one string.
    ///
    /// # Errors
    /// A [`Report`] that names the place and the reference that has no value.
    pub fn substitute(&self, text: &str, place: &str) -> Result<Value, Report> {
        if let Some(name) = whole(text).filter(|name| !name.starts_with(SQL)) {
            return self.lookup(name, place);
        }
        let (parts, unfinished) = parts(text);
        if unfinished.is_some() {
            return Err(Report::input(format!("{place} has `${{` without `}}`"))
                .hint("write `$${` for the characters themselves"));
        }
        let mut result = String::new();
        for (number, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => result.push_str(text),
                Part::Reference(name) => match name.strip_prefix(SQL) {
                    Some(param) => {
                        let after = match parts.get(number + 1) {
                            Some(Part::Text(after)) => after,
                            _ => "",
                        };
                        let literal = self.sql(param.trim(), &result, after, place)?;
                        result.push_str(&literal);
                    }
                    None => match self.lookup(name, place)? {
                        Value::String(text) => result.push_str(&text),
                        other => result.push_str(&other.to_string()),
                    },
                },
            }
        }
        Ok(Value::String(result))
    }

    /// A parameter as SQL, which stands between `before` and `after`.
    fn sql(&self, name: &str, before: &str, after: &str, place: &str) -> Result<String, Report> {
        let reference = format!("${{{SQL}{name}}}");
        let Some(dialect) = self.dialect else {
            return Err(Report::input(format!("{place} is not SQL, so `{reference}` cannot stand there"))
                .hint(format!("write `${{{name}}}`")));
        };
        let Some(param) = name.strip_prefix("params.") else {
            return Err(Report::input(format!("{place} has `{reference}`, which is not a parameter"))
                .hint(format!("declare a parameter `x`, and write `${{sql:params.x}}`; {} sets it", variable("x"))));
        };
        let value = self.param(param, place)?;
        let literal = sql_literal::literal(&value.value, value.kind, dialect)
            .map_err(|why| Report::input(format!("{place}: parameter `{param}` {why}")))?;
        sql_literal::between(before, &literal, after, dialect).map_err(|open| {
            Report::input(format!("{place} has `{reference}` inside {open}"))
                .hint("remove the quotes around it: the value comes with its own")
        })
    }

    fn param(&self, name: &str, place: &str) -> Result<&Param, Report> {
        match self.params.get(name) {
            Some(param) if param.value.is_null() => {
                Err(Report::input(format!("{place} needs parameter `{name}`, which has no value"))
                    .hint(format!("give one with `--param {name}=VALUE`, or set {}", variable(name))))
            }
            Some(param) => Ok(param),
            None => {
                let report = unknown("parameter", name, self.params.keys().map(String::as_str));
                Err(Report { message: format!("{place}: {}", report.message), ..report })
            }
        }
    }

    fn lookup(&self, name: &str, place: &str) -> Result<Value, Report> {
        if let Some(param) = name.strip_prefix("params.") {
            return Ok(self.param(param, place)?.value.clone());
        }
        if name.starts_with(secret_source::FILE) && !self.is_operators {
            return Err(Report::input(format!("{place} names the file of a secret, which a pipeline may not: it could come from anybody"))
                .hint("declare it in `osiris.yaml`: `secrets: {NAME: {file: PATH}}`, and write `${secret:NAME}`; or use a connection"));
        }
        self.environment.get(name).map(|value| Value::from(value.as_str())).ok_or_else(|| {
            if secret_source::is_secret(name) {
                return Report::input(format!("{place} needs `{name}`, which is not known here"));
            }
            if let Some((plain, _)) = name.split_once([':', '-', '?', '=']).filter(|(plain, _)| !plain.is_empty()) {
                return Report::input(format!("{place} has `${{{name}}}`, but `${{NAME}}` takes no default and no operator"))
                    .hint(format!("write `${{{plain}}}`, and set it in `.env`; or declare a parameter with a default, and write `${{params.…}}`"));
            }
            Report::input(format!("{place} needs the environment variable `{name}`, which is not set"))
                .hint(format!("run `export {name}=…` first, or write `${{params.…}}` for a parameter"))
        })
    }
}

/// The parameters whose values become part of the SQL in an option, so that a value could change its statements: texts that
/// the author did not list, in a longer text.
pub fn pasted_into_sql<'a>(written: &'a Value, params: &Params) -> BTreeSet<&'a str> {
    let is_free = |name: &str| {
        params.get(name).is_some_and(|param| {
            let has_text = match &param.value {
                Value::Array(items) => items.iter().any(Value::is_string),
                value => value.is_string(),
            };
            let is_time = matches!(
                param.kind,
                ParamKind::One(Scalar::Date | Scalar::Timestamp) | ParamKind::List(Scalar::Date | Scalar::Timestamp)
            );
            has_text && !is_time && !param.is_closed
        })
    };
    match written {
        Value::String(text) if whole(text).is_none() => {
            names(text).filter_map(|name| name.strip_prefix("params.")).filter(|name| is_free(name)).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| pasted_into_sql(item, params)).collect(),
        Value::Object(fields) => fields.values().flat_map(|field| pasted_into_sql(field, params)).collect(),
        _ => BTreeSet::new(),
    }
}

/// Shows a value as it was written if it refers to environment variables, each of which is masked: nobody can tell
/// which of them are secrets.
pub fn mask_environment(shown: &mut Value, written: &Value, references: &References<'_>) {
    match (shown, written) {
        (shown, Value::String(text)) if names_variable(text) => {
            let masked = references.environment.keys().map(|name| (name.clone(), MASK.to_owned())).collect();
            let masked = References { environment: &masked, ..*references };
            *shown = masked.substitute(text, "a value").unwrap_or_else(|_| MASK.into());
        }
        (Value::Array(shown), Value::Array(written)) => {
            shown.iter_mut().zip(written).for_each(|(shown, written)| mask_environment(shown, written, references));
        }
        (Value::Object(shown), Value::Object(written)) => {
            for (name, written) in written {
                if let Some(shown) = shown.get_mut(name) {
                    mask_environment(shown, written, references);
                }
            }
        }
        _ => {}
    }
}

/// Whether a text refers to an environment variable.
pub fn names_variable(text: &str) -> bool {
    let (parts, unfinished) = parts(text);
    let is_param = |name: &str| without_sql(name).starts_with("params.");
    unfinished.is_some() || parts.iter().any(|part| matches!(part, Part::Reference(name) if !is_param(name)))
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

    fn resolve(
        pipeline: &Pipeline,
        command_line: &[(String, String)],
        profile: Option<&str>,
        environment: &Environment,
    ) -> Result<Params, Report> {
        let (recorded, now) = (&BTreeMap::new(), Timestamp::UNIX_EPOCH);
        super::resolve(pipeline, &Sources { command_line, recorded, profile, environment, now })
    }

    fn params(name: &str, value: Value) -> Params {
        Params::from([(name.to_owned(), Param { value, ..Param::default() })])
    }

    fn substituted(text: &str, params: &Params, environment: &Environment) -> Result<Value, Report> {
        References::of_pipeline(params, environment, None).substitute(text, "config.path of step `x`")
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
            assert_eq!(params["n"].value, Value::from(expected));
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
        let numbers = params("n", Value::from(5));
        let environment = Environment::from([given("HOST", "db")]);
        let table = [
            ("${params.n}", Value::from(5)),
            ("limit ${params.n}!", Value::from("limit 5!")),
            ("${HOST}:${params.n}", Value::from("db:5")),
            ("$${params.n}", Value::from("${params.n}")),
            ("no reference $5", Value::from("no reference $5")),
        ];
        for (text, expected) in table {
            assert_eq!(substituted(text, &numbers, &environment).unwrap(), expected);
        }
        let days = params("day", Value::Null);
        for text in ["${params.day}", "day=${params.day}"] {
            let report = substituted(text, &days, &environment).unwrap_err();
            assert!(report.message.contains("parameter `day`, which has no value"), "{}", report.message);
            assert!(report.hint.unwrap().contains("--param day=VALUE"));
        }
        let report = substituted("${params.nix}", &days, &environment).unwrap_err();
        assert!(report.hint.unwrap().contains("`params`"));
        assert!(substituted("${MISSING}", &days, &environment).is_err());
        assert!(substituted("a ${params.n", &days, &environment).is_err());
    }
}
