//! The input from which a step's grants are decided, and how many instances share its work. No I/O.

use std::path::Path;

use serde_json::{Map, Value};

use super::policy::Policy;
use super::template::{self, Template};
use crate::error::Report;

/// The input from which a step's grants are decided, apart from its driver's requests.
#[derive(Debug, Clone, Copy)]
pub struct GrantRequest<'a> {
    pub step: &'a str,
    /// The config, with the defaults of the driver's configSchema.
    pub config: &'a Map<String, Value>,
    /// The config as the pipeline's author wrote it: a driver's default never names a file.
    pub written: &'a Map<String, Value>,
    /// The base folder, absolute and without symlinks.
    pub base: &'a Path,
    pub policy: &'a Policy,
}

/// The most instances of a driver that may share a step's work.
pub const MAX_INSTANCES: u32 = 64;

/// The number of driver instances that share a step's work, by the spec's template: a number that the author wrote.
///
/// # Errors
/// If the template does not expand to a number from 1 to [`MAX_INSTANCES`].
pub fn instances(template: Option<&Template>, request: &GrantRequest<'_>) -> Result<u32, Report> {
    let Some(template) = template else { return Ok(1) };
    if template.option().is_none() {
        let report = Report::input(format!("the driver's `instances: {}` names no option", template.text()));
        return Err(report.hint("a driver's spec names one option there: `{config.key}`"));
    }
    match template.expand(request.written)?.as_slice() {
        [] => Ok(1),
        [one] => one.parse().ok().filter(|count| (1..=MAX_INSTANCES).contains(count)).ok_or_else(|| {
            Report::input(format!("step `{}` cannot be shared among `{one}` instances", request.step))
                .hint(format!("give a number from 1 to {MAX_INSTANCES}"))
        }),
        _ => {
            Err(Report::input(format!("the driver's `instances` of step `{}` stands for several values", request.step))
                .hint("name one number of the config"))
        }
    }
}

/// Whether `template` has a value in `config`; the boolean `false` is none.
///
/// # Errors
/// If it exceeds the bounds of a template.
pub fn stands_for_something(template: &Template, config: &Map<String, Value>) -> Result<bool, Report> {
    let is_off = template.fields().any(|field| template::value(config, field) == Some(&Value::Bool(false)));
    Ok(!is_off && template.expand(config)?.iter().any(|value| !value.is_empty()))
}
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_stands_for_something_unless_its_option_is_missing_empty_or_off() {
        let template = Template::parse("{config.cursor.field}").unwrap();
        let stands = |config: Value| stands_for_something(&template, config.as_object().unwrap()).unwrap();
        assert!(stands(json!({"cursor": {"field": "at"}})) && stands(json!({"cursor": {"field": true}})));
        // A column may have this name.
        assert!(stands(json!({"cursor": {"field": "false"}})));
        for config in [json!({}), json!({"cursor": {"field": ""}}), json!({"cursor": {"field": false}})] {
            assert!(!stands(config.clone()), "{config}");
        }
    }
}
