//! Checks that each placeholder of a spec's templates names an option of its configSchema. No I/O.

use serde_json::{Map, Value};

use crate::driver::spec::Spec;
use crate::error::{Report, nearest};
use crate::grants::credentials::CredentialTemplate;
use crate::grants::http::has_no_text_of_its_own;
use crate::grants::template::Template;
use crate::untrusted::line;

/// Checks the templates of a spec; `file` names it in errors.
///
/// # Errors
/// A [`Report`] that names the template and its placeholder.
pub fn check(spec: &Spec, file: &str) -> Result<(), Report> {
    for (grant, templates) in spec.grants.templates() {
        for template in templates {
            check_template(spec, file, template)?;
            if grant == "credentials" {
                continue;
            }
            if let Some(field) = template.fields().find(|field| is_secret(spec, field)) {
                return Err(Report::input(format!(
                    "spec `{file}` names the secret `{}` in its grant `{grant}: {}`",
                    field.join("."),
                    line(template.text())
                ))
                .hint("what a step may touch is shown, so no secret can be a part of it: use an option that is not under `secrets`"));
            }
        }
    }
    spec.grants.roots.iter().try_for_each(has_no_text_of_its_own)?;
    spec.grants.credentials.iter().try_for_each(|credential| check_credential(spec, file, credential))?;
    [&spec.state_when, &spec.instances]
        .into_iter()
        .flatten()
        .try_for_each(|template| check_template(spec, file, template))
}

/// Checks that a credential is made from a secret, and sent with requests that the driver asks for.
fn check_credential(spec: &Spec, file: &str, credential: &CredentialTemplate) -> Result<(), Report> {
    let value = credential.value();
    if !value.fields().any(|field| is_secret(spec, field)) {
        return Err(Report::input(format!(
            "spec `{file}` makes a credential from `{}`, which names no secret",
            line(value.text())
        ))
        .hint("list the option under `secrets`, as `/option`"));
    }
    if !spec.grants.http.contains(credential.scope()) {
        return Err(Report::input(format!(
            "spec `{file}` has a credential for `{}`, which is not under `grants.http`",
            line(credential.scope().address().template().text())
        ))
        .hint("repeat one of the templates of `grants.http`, exactly as it is there"));
    }
    Ok(())
}

fn is_secret(spec: &Spec, field: &[String]) -> bool {
    spec.secrets.iter().any(|secret| *secret == format!("/{}", field.join("/")))
}

fn check_template(spec: &Spec, file: &str, template: &Template) -> Result<(), Report> {
    let Some(field) = template.fields().find(|field| !is_option(spec, field)) else { return Ok(()) };
    let name = field.join(".");
    let report = Report::input(format!(
        "spec `{file}` names `{{config.{name}}}` in `{}`, but its configSchema has no option `{name}`",
        line(template.text())
    ));
    let known = spec.config_schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    Err(match nearest(&field[0], known.map(String::as_str)).filter(|near| *near != field[0]) {
        Some(near) => report.hint(format!("did you mean `{}`?", line(near))),
        None => report.hint("add the option to `configSchema.properties`, or correct the placeholder"),
    })
}

fn is_option(spec: &Spec, field: &[String]) -> bool {
    let connected = matches!(field, [first, name] if first == "connection" && spec.connection_fields.contains(name));
    connected || declares(&spec.config_schema, field)
}

/// Whether a schema declares the property at `path`. A schema that leaves its properties open below the first level, or
/// gets them from elsewhere, declares all.
fn declares(schema: &Value, path: &[String]) -> bool {
    let [name, rest @ ..] = path else { return true };
    let is_elsewhere = ["$ref", "$dynamicRef", "patternProperties"].iter().any(|key| schema.get(key).is_some());
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    let below = |schema: &Value| rest.is_empty() || schema.get("properties").is_none() || declares(schema, rest);
    let parts = ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let branches = ["then", "else"].iter().filter_map(|key| schema.get(key));
    is_elsewhere || property.is_some_and(below) || parts.chain(branches).any(|part| declares(part, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::driver::spec;

    #[test]
    fn a_template_names_options_of_the_schema_in_a_form_that_can_be_granted() {
        let table: [(&str, Option<&str>); 19] = [
            ("read: ['{config.path}']", None),
            ("http: ['GET {connection.url}']", None),
            ("http: ['GET {config.auth.url}']", None),
            ("http: ['GET {config.open.anything}']", None),
            ("connect: ['{connection.host}:{connection.port}']", None),
            ("http: ['GET {config.nope}']", Some("no option `nope`")),
            ("read: ['{config.pth}']", Some("did you mean `path`")),
            ("http: ['GET {config.auth.nope}']", Some("no option `auth.nope`")),
            ("connect: ['{connection.nope}:1']", Some("no option `connection.nope`")),
            ("http: ['GET {config.token}']", Some("the secret `token`")),
            ("http: ['FETCH {config.path}']", Some("`FETCH` is not a method")),
            ("http: ['GET /x']", Some("is not an address")),
            ("http: ['{config.path}']", Some("names no method")),
            ("read: ['/etc/passwd']", Some("by itself")),
            ("write: ['{config.path}.bak']", Some("by itself")),
            ("connect: ['db.example.com']", Some("names no port")),
            ("roots: ['{config.path}']", None),
            ("roots: ['-----BEGIN {config.path}']", Some("roots for HTTPS of its own")),
            ("connect: ['*.example.com:5432']", Some("not the name or address of a host")),
        ];
        for (grants, refused) in table {
            let text = format!(
                "name: a.b\nversion: 1.0.0\nkind: processor\ntitle: t\nsecrets: [/token]\n\
                 connectionFields: [host, port]\ngrants: {{{grants}}}\nconfigSchema: {{type: object, properties: \
                 {{path: {{}}, token: {{}}, open: {{type: object}}, auth: {{properties: {{url: {{}}}}}}, connection: \
                 {{properties: {{url: {{}}}}}}}}}}\n"
            );
            match (spec::parse(&text, "s"), refused) {
                (Ok(_), None) => {}
                (Err(report), Some(part)) => {
                    let whole = format!("{} {}", report.message, report.hint.unwrap_or_default());
                    assert!(whole.contains(part), "{grants}: {whole}");
                }
                (outcome, _) => panic!("{grants}: {outcome:?}"),
            }
        }
    }
}
