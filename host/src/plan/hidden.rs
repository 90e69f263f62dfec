//! Values of a step's config that are secrets wherever they stand, besides those that its driver's spec declares.

use serde_json::{Map, Value};

use crate::driver::config::sounds_secret;
use crate::pipeline::params::{self, Environment, Params};
use crate::pipeline::secret_source::is_secret;
use crate::secrets::scrubber::is_distinctive;
use crate::secrets::{Secret, Secrets};

/// The values of references that are secrets: in a config, those whose names suggest it, and those that are part of a secret; there
/// and in the `fields` of its connection, those that the operator keeps as secrets.
pub(super) fn secrets(
    written: &Map<String, Value>,
    fields: Option<&Map<String, Value>>,
    (params, environment): (&Params, &Environment),
    declared: &Secrets,
) -> Vec<Secret> {
    let named = params::names_in(written).map(params::without_sql);
    let of_config = named.filter_map(|name| secret(name, (params, environment), declared));
    let named = fields.into_iter().flat_map(params::names_in).filter(|name| is_secret(name));
    let of_fields = named.filter_map(|name| Some(Secret::new(environment.get(name)?.clone())));
    of_config.chain(of_fields).collect()
}

/// The value of a reference, if it is a secret.
fn secret(name: &str, (params, environment): (&Params, &Environment), declared: &Secrets) -> Option<Secret> {
    let value = match name.strip_prefix("params.") {
        Some(param) => params.get(param)?.value.as_str()?,
        None => environment.get(name)?,
    };
    let is_part = || is_distinctive(value) && declared.values().any(|secret| secret.reveal().contains(value));
    (sounds_secret(name) || is_secret(name) || is_part()).then(|| Secret::new(value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pipeline::params::Param;
    use serde_json::json;

    #[test]
    fn a_reference_is_a_secret_by_its_name_or_as_part_of_a_secret() {
        let environment = [("SHOP_TOKEN", "t0ken-of-shop"), ("PART", "p4rt-of-header"), ("OPEN", "0pen-value")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let param = |name: &str, value: &str| (name.to_owned(), Param { value: value.into(), ..Param::default() });
        let params =
            Params::from([param("key", "k3y-in-header"), param("password", "p4ssword"), param("day", "monday")]);
        let written = json!({"a": ["${SHOP_TOKEN} ${OPEN}"], "b": {"c": "Bearer ${PART}${params.key}"}, "q": "${sql:params.password} ${params.day}"});
        let header = Secrets::from([("/b/c".to_owned(), Secret::new("Bearer p4rt-of-headerk3y-in-header".to_owned()))]);
        let found = secrets(written.as_object().unwrap(), None, (&params, &environment), &header);
        let mut found: Vec<&str> = found.iter().map(Secret::reveal).collect();
        found.sort_unstable();
        assert_eq!(found, ["k3y-in-header", "p4rt-of-header", "p4ssword", "t0ken-of-shop"]);
    }
}
