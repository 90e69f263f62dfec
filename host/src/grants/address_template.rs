//! A driver's request for an address, such as `GET https://{config.shop}.example.com/admin`: parsed once, when its spec is
//! read, so that each placeholder has a place from which no value leads out. No I/O.
//!
//! The host of an address is either one placeholder, and then the author names the host, or text of the spec, in which
//! placeholders may be parts of a label. Such a host is fixed by the driver: the operator accepts it in the lock.

use serde_json::{Map, Value};

use super::endpoint::{self, Endpoint, HttpScope};
use super::grant::GrantRequest;
use super::policy::Hosts;
use super::template::{Template, values};
use crate::error::Report;
use crate::untrusted::line;

/// A template of an address, whose placeholders have places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressTemplate {
    template: Template,
    /// The place of each placeholder, in their order.
    places: Vec<Place>,
    /// The host, unless it is one placeholder.
    fixed_host: Option<Template>,
}

/// Where a placeholder is, which determines its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start: a whole `http[s]://` address. With `more`, the template continues it.
    Url {
        more: bool,
    },
    /// The whole host, with or without the port that the template has.
    Host {
        port: Port,
    },
    /// A part of one label of a host that the driver fixes.
    Label,
    Port,
    /// Directly after a whole address: a path that begins with `/`, or nothing.
    Path,
    /// Within one segment of the path.
    Segment,
}

/// Whether a host's value also has the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Never,
    Maybe,
    Always,
}

/// Stands for a placeholder while a template is parsed.
const MARK: char = '\0';

impl AddressTemplate {
    /// Parses `host:port`, or one placeholder that stands for both.
    ///
    /// # Errors
    /// Says which form is expected.
    pub fn connect(text: &str) -> Result<Self, Report> {
        let (template, marked) = marked(text)?;
        let wrong =
            |why: &str| malformed(text, why, "write `host:port`, such as `{config.host}:5432`, or `{config.address}`");
        let Some((host, port)) = marked.rsplit_once(':') else {
            let whole = marked.chars().eq([MARK]);
            return whole
                .then(|| Self { template, places: vec![Place::Host { port: Port::Always }], fixed_host: None })
                .ok_or_else(|| wrong("it names no port"));
        };
        let (mut places, fixed) = host_places(host, Port::Never).map_err(|why| wrong(&why))?;
        places.extend(port_places(port).map_err(|why| wrong(&why))?);
        Ok(Self { fixed_host: fixed_host(&template, fixed, 0, host), template, places })
    }

    /// Parses `METHOD[,METHOD] ADDRESS`, whose address is one placeholder or begins with `http[s]://`.
    ///
    /// # Errors
    /// Says which form is expected.
    pub fn http(text: &str) -> Result<Self, Report> {
        let (template, marked) = marked(text)?;
        let wrong = |why: &str| malformed(text, why, "write `GET,POST {config.url}` or `GET https://host/path`");
        let (methods, address) = marked.split_once(' ').ok_or_else(|| wrong("it names no method"))?;
        endpoint::methods(methods).map_err(|why| wrong(&why))?;
        if let Some(path) = address.strip_prefix(MARK) {
            if !path.is_empty() && !path.starts_with(['/', MARK]) {
                return Err(wrong("what follows a whole address is a path, which begins with `/`"));
            }
            let mut places = vec![Place::Url { more: !path.is_empty() }];
            places.extend(path_places(path).map_err(|why| wrong(&why))?);
            return Ok(Self { template, places, fixed_host: None });
        }
        let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong("it is not an address"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("its address does not begin with `http://` or `https://`"));
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let in_value = if port.is_some() { Port::Never } else { Port::Maybe };
        let (mut places, fixed) = host_places(host, in_value).map_err(|why| wrong(&why))?;
        places.extend(port.map_or(Ok(Vec::new()), port_places).map_err(|why| wrong(&why))?);
        places.extend(path_places(path).map_err(|why| wrong(&why))?);
        let start = methods.len() + 1 + scheme.len() + "://".len();
        Ok(Self { fixed_host: fixed_host(&template, fixed, start, host), template, places })
    }

    /// The template as the spec has it.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The host as the spec has it, if the driver fixes it.
    pub fn fixed_host(&self) -> Option<&Template> {
        self.fixed_host.as_ref()
    }

    /// The fixed hosts that the template stands for in `config`. Values that are no label have none.
    ///
    /// # Errors
    /// If it exceeds the bounds of a template.
    pub fn fixed_hosts(&self, config: &Map<String, Value>) -> Result<Vec<String>, Report> {
        let hosts = self.fixed_host.as_ref().map_or(Ok(Vec::new()), |host| {
            host.expand_by(config, &mut |_, _, value| {
                Ok(if endpoint::is_label(&value) { value } else { String::from("?") })
            })
        })?;
        Ok(hosts.iter().filter_map(|host| endpoint::host_name(host)).collect())
    }

    /// The addresses that the template stands for in a step's config.
    ///
    /// # Errors
    /// If a value does not fit its place, such as a host's label with a dot; if a host is only a default of the driver.
    pub fn expand(&self, request: &GrantRequest<'_>, verb: &str) -> Result<Vec<String>, Report> {
        let operator_names = request.policy.http.is_some() || matches!(request.policy.hosts, Hosts::Listed(_));
        self.template.expand_by(request.config, &mut |number, field, value| {
            let place = self.places.get(number).copied().unwrap_or(Place::Segment);
            let spelled = place.spell(&value).map_err(|what| {
                let (option, value) = (field.join("."), line(&value).into_owned());
                Report::input(format!(
                    "step `{}` may not {verb} `{}`: its option `{option}` is `{value}`, which is not {what}",
                    request.step, self.template
                ))
                .hint(format!("correct `{option}` in the step's config or connection"))
            })?;
            let leads = matches!(place, Place::Url { .. } | Place::Host { .. });
            if leads && !operator_names && !values(request.written, field).contains(&value) {
                return Err(unnamed(request, verb, &value, &self.template));
            }
            Ok(spelled)
        })
    }
}

impl Place {
    /// A value as it is written at this place, or what it should have been.
    fn spell(self, value: &str) -> Result<String, &'static str> {
        let verbatim = |fits: bool, what| if fits { Ok(value.to_owned()) } else { Err(what) };
        match self {
            Self::Url { more } => {
                let address =
                    HttpScope::parse(&format!("GET {value}")).is_ok() && !(more && value.contains(['?', '#']));
                verbatim(address, "an address such as `https://api.example.com/v1`")
            }
            Self::Host { port: Port::Never } => {
                verbatim(endpoint::host_name(value).is_some(), "the name or address of a host")
            }
            Self::Host { port: Port::Always } => {
                verbatim(Endpoint::parse(value).is_ok(), "a host and port, such as `db.example.com:5432`")
            }
            Self::Host { port: Port::Maybe } => {
                let host = endpoint::host_name(value).is_some() || Endpoint::parse(value).is_ok();
                verbatim(host, "a host, such as `api.example.com` or `api.example.com:8443`")
            }
            Self::Label => verbatim(endpoint::is_label(value), "one label of a host name: letters, digits and hyphens"),
            Self::Port => verbatim(is_port(value), "a port from 1 to 65535"),
            Self::Path => {
                let path = value.is_empty()
                    || value.starts_with('/') && !value.contains(['?', '#']) && endpoint::is_plain(value);
                verbatim(path, "a path that begins with `/` and stays below it")
            }
            Self::Segment => {
                let segment = endpoint::encoded(value);
                let stays = !value.is_empty() && endpoint::is_plain(&format!("/{segment}"));
                if stays { Ok(segment) } else { Err("one segment of a path") }
            }
        }
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// A template, and its text with [`MARK`] for each placeholder.
fn marked(text: &str) -> Result<(Template, String), Report> {
    let template = Template::parse(text)?;
    if text.chars().any(char::is_control) {
        return Err(malformed(text, "it contains a control character", "remove it"));
    }
    let marked = template.marked(&MARK.to_string());
    Ok((template, marked))
}

fn malformed(text: &str, why: &str, remedy: &str) -> Report {
    Report::input(format!("the driver's grant `{}` is malformed: {}; {remedy}", line(text), line(why)))
}

/// The places in a host, and whether the driver fixes it.
fn host_places(host: &str, port: Port) -> Result<(Vec<Place>, bool), String> {
    if host.chars().eq([MARK]) {
        return Ok((vec![Place::Host { port }], false));
    }
    if endpoint::host_name(&host.replace(MARK, "x")).is_none() {
        return Err("its host is not the name or address of a host".to_owned());
    }
    let places = vec![Place::Label; host.matches(MARK).count()];
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    if !places.is_empty() && (last.contains(MARK) || !last.contains(|c: char| c.is_ascii_alphabetic())) {
        return Err("a host is one placeholder, or ends in a fixed name such as `.example.com`".to_owned());
    }
    Ok((places, true))
}

fn port_places(port: &str) -> Result<Vec<Place>, String> {
    if port.chars().eq([MARK]) {
        return Ok(vec![Place::Port]);
    }
    if is_port(port) {
        Ok(Vec::new())
    } else {
        Err("its port is not a number from 1 to 65535 or one placeholder".to_owned())
    }
}

/// The places in the path of an address; only one that follows a whole address may begin with a placeholder.
fn path_places(path: &str) -> Result<Vec<Place>, String> {
    let (first, rest) = match path.strip_prefix(MARK) {
        Some(rest) => (Some(Place::Path), rest),
        None => (None, path),
    };
    if !rest.is_empty() && !rest.starts_with('/') && first.is_some() {
        return Err("a path after a path begins with `/`".to_owned());
    }
    if rest.contains(['?', '#']) || !endpoint::is_plain(&rest.replace(MARK, "x")) {
        return Err("its path has a query, or may leave itself".to_owned());
    }
    Ok(first.into_iter().chain(std::iter::repeat_n(Place::Segment, rest.matches(MARK).count())).collect())
}

/// The template of a fixed host, which is at `start` of the marked text.
fn fixed_host(template: &Template, fixed: bool, start: usize, host: &str) -> Option<Template> {
    let end = host.matches(MARK).count();
    let fields: Vec<String> =
        template.fields().take(end).map(|field| format!("{{config.{}}}", field.join("."))).collect();
    debug_assert!(template.marked(&MARK.to_string())[start..].starts_with(host));
    let mut text = String::new();
    for (number, literal) in host.split(MARK).enumerate() {
        if number > 0 {
            text.push_str(&fields[number - 1]);
        }
        text.push_str(&literal.to_ascii_lowercase());
    }
    fixed.then(|| Template::parse(&text).ok()).flatten()
}

/// The refusal of an address that only the driver names.
fn unnamed(request: &GrantRequest<'_>, verb: &str, value: &str, template: &Template) -> Report {
    Report::input(format!("step `{}` may not {verb} `{}`: only its driver's default names it", request.step, line(value))).hint(format!(
        "write the value of `{template}` into the step's config or connection, or allow it by a policy (`--policy FILE`)"
    ))
}

#[cfg(test)]
#[path = "address_template_tests.rs"]
mod tests;
