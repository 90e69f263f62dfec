//! Decides what one step may touch: what its driver wants, within what the operator allows. No I/O.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::driver::spec::WantedGrants;
use crate::error::{Report, listed};
use crate::grants::endpoint::{Endpoint, HttpScope};
use crate::grants::policy::{Hosts, Policy};
use crate::grants::reserved;
use crate::grants::template::Template;
use crate::untrusted::line;

/// What one step may touch outside its session. Nothing else is linked, opened or reachable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    pub read: Vec<FileWish>,
    pub write: Vec<FileWish>,
    /// Whether the folders of written files are created where they are missing.
    pub create_folders: bool,
    pub connect: Vec<Endpoint>,
    pub http: Vec<HttpScope>,
    /// PEM texts that HTTP trusts in place of the machine's roots.
    #[serde(skip)]
    pub roots: Vec<String>,
    /// The hosts among these that may lie in a private network or on this machine.
    pub private_hosts: BTreeSet<String>,
    /// Whether the step keeps something from one run to the next.
    pub state: bool,
}

/// A file as the config names it, and where that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileWish {
    /// The path as the config has it.
    pub name: String,
    /// Where it is: relative to the base folder, or absolute outside it.
    pub place: PathBuf,
    /// The folder out of which it must not lead, absolute.
    #[serde(skip)]
    pub root: PathBuf,
    /// Relative to `root`, without `.` and `..`. A symlink may still lead out: whoever opens it
    /// resolves it inside the root.
    #[serde(skip)]
    pub below: PathBuf,
}

/// What a step's grants are worked out from, besides what its driver wants.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub step: &'a str,
    /// The config, with the defaults of the driver's configSchema.
    pub config: &'a Map<String, Value>,
    /// The config as the pipeline's author wrote it: a driver's default names no file.
    pub written: &'a Map<String, Value>,
    /// The base folder, absolute and without symlinks.
    pub base: &'a Path,
    pub policy: &'a Policy,
}

/// The effective grants of a step: the spec's templates over the step's config, within the policy.
///
/// # Errors
/// When a template is malformed, or stands for something that the author did not name or the policy
/// does not allow.
pub fn effective(wanted: &WantedGrants, asking: &Asking<'_>) -> Result<Grants, Report> {
    let create_folders = match &wanted.create_folders {
        Some(template) => template.expand(asking.config)?.iter().any(|value| value == "true"),
        None => false,
    };
    let connect = endpoints(asking, &wanted.connect)?;
    let http = scopes(asking, &wanted.http)?;
    let hosts = connect.iter().chain(http.iter().map(|scope| &scope.endpoint)).map(|endpoint| endpoint.host.clone());
    Ok(Grants {
        private_hosts: hosts.filter(|host| asking.policy.private_hosts.contains(host)).collect(),
        roots: roots(asking, &wanted.roots)?,
        state: wanted.state,
        read: files(asking, Access::Read, &wanted.read)?,
        write: files(asking, Access::Write, &wanted.write)?,
        create_folders,
        connect,
        http,
    })
}

/// The most instances of a driver that may share a step's work.
pub const MAX_INSTANCES: u32 = 64;

/// How many instances of its driver share a step's work, by the spec's template: a number that the author wrote.
///
/// # Errors
/// When the template stands for no number from 1 to [`MAX_INSTANCES`].
pub fn instances(template: Option<&Template>, asking: &Asking<'_>) -> Result<u32, Report> {
    let Some(template) = template else { return Ok(1) };
    match template.expand(asking.written)?.as_slice() {
        [] => Ok(1),
        [one] => one.parse().ok().filter(|count| (1..=MAX_INSTANCES).contains(count)).ok_or_else(|| {
            Report::input(format!("step `{}` cannot be shared among `{one}` instances", asking.step))
                .hint(format!("give a number from 1 to {MAX_INSTANCES}"))
        }),
        _ => {
            Err(Report::input(format!("the driver's `instances` of step `{}` stands for several values", asking.step))
                .hint("name one number of the config"))
        }
    }
}

/// Whether `template` stands for anything in `config`.
///
/// # Errors
/// When it stands for more than a template may.
pub fn stands_for_something(template: &Template, config: &Map<String, Value>) -> Result<bool, Report> {
    Ok(template.expand(config)?.iter().any(|value| !value.is_empty()))
}

/// What a step may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    /// Whether the file at `place`, relative to a folder of the user's, is one of Osiris's own: what
    /// runs made, and what says which drivers run and with which credentials. No step gets these,
    /// whoever names them.
    pub fn is_reserved(self, place: &Path) -> bool {
        match self {
            Self::Read => reserved::from_reading(place),
            Self::Write => reserved::from_writing(place),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn allowed(self, policy: &Policy) -> &[PathBuf] {
        match self {
            Self::Read => &policy.read,
            Self::Write => &policy.write,
        }
    }
}

/// The files that `templates` stand for. Each is one that the author named: a driver chooses the key
/// of the config, never the path.
fn files(asking: &Asking<'_>, access: Access, templates: &[Template]) -> Result<Vec<FileWish>, Report> {
    let mut files = Vec::new();
    for template in templates {
        if template.literals().any(|text| !text.chars().all(|c| c == '/')) || !template.begins_with_field() {
            return Err(Report::input(format!("the driver's grant `{template}` names a file by itself"))
                .hint("a driver may ask for files that its config names: `{config.key}`, several with `/` between"));
        }
        let written: BTreeSet<String> = template.expand(asking.written)?.into_iter().collect();
        for name in template.expand(asking.config)? {
            if !written.contains(&name) {
                let (step, verb) = (asking.step, access.verb());
                return Err(Report::input(format!(
                    "step `{step}` may not {verb} `{name}`: only its driver's defaults name it"
                ))
                .hint(format!("if it is meant, write the value of `{template}` into the step's config")));
            }
            files.push(file(asking, access, name)?);
        }
    }
    Ok(files)
}

/// The PEM texts that `templates` stand for. Whom a step trusts is the author's to say: each is a field that the author
/// wrote, never a driver's own text or default.
fn roots(asking: &Asking<'_>, templates: &[Template]) -> Result<Vec<String>, Report> {
    let mut roots = Vec::new();
    for template in templates {
        if template.literals().next().is_some() {
            return Err(Report::input("the driver brings roots for HTTPS of its own").hint(
                "a driver may trust roots that its config names, such as `{connection.ca}`; ask whoever made it",
            ));
        }
        let written = template.expand(asking.written)?;
        for root in template.expand(asking.config)? {
            if !written.contains(&root) {
                return Err(Report::input(format!(
                    "step `{}` may not trust the roots of `{template}`: only its driver's defaults name them",
                    asking.step
                ))
                .hint(format!(
                    "if it is meant, write the value of `{template}` into the step's config or connection"
                )));
            }
            roots.push(root);
        }
    }
    Ok(roots)
}

/// Where the file `name` is, if it lies in one of the folders that the policy allows.
fn file(asking: &Asking<'_>, access: Access, name: String) -> Result<FileWish, Report> {
    let Asking { step, base, policy, .. } = asking;
    let (verb, allowed) = (access.verb(), access.allowed(policy));
    if name.is_empty() || name.contains('\0') {
        return Err(Report::input(format!("step `{step}` has an empty or malformed path")));
    }
    let Some(path) = normal(base, Path::new(&name)) else {
        return Err(outside(asking, verb, allowed, &name));
    };
    let mut roots = allowed.iter().filter_map(|root| normal(base, root));
    let Some(root) = roots.find(|root| path.starts_with(root)) else {
        return Err(outside(asking, verb, allowed, &name));
    };
    // A policy may name one file.
    let root = if root == path { path.parent().map(Path::to_owned).unwrap_or_default() } else { root };
    let place = path.strip_prefix(base).map_or_else(|_| path.clone(), Path::to_owned);
    if access == Access::Write && place.is_absolute() {
        return Err(outside(asking, verb, allowed, &name));
    }
    if access.is_reserved(&place) {
        return Err(own_file(step, verb, &name));
    }
    if place.as_os_str().is_empty() {
        return Err(Report::input(format!(
            "step `{step}` names the base folder itself, `{name}`, where a file is expected"
        )));
    }
    let below = path.strip_prefix(&root).unwrap_or(&path).to_owned();
    Ok(FileWish { name, place, root, below })
}

/// The path, absolute, without `.` and `..`; `None` where it climbs beyond the root.
fn normal(base: &Path, path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::from("/");
    // A relative path may not leave the base folder, even to come back.
    let depth = if path.is_absolute() { 0 } else { base.components().count() };
    for component in base.join(path).components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::ParentDir if normal.components().count() > depth.max(1) => {
                normal.pop();
            }
            Component::ParentDir => return None,
            _ => {}
        }
    }
    Some(normal)
}

fn outside(asking: &Asking<'_>, verb: &str, allowed: &[PathBuf], name: &str) -> Report {
    let Asking { step, base, .. } = asking;
    if allowed == [PathBuf::from(".")] {
        let base = base.display();
        return Report::input(format!(
            "step `{step}` may not {verb} `{name}`: it lies outside the base folder `{base}`"
        ))
        .hint("move the file below the base folder, or name another base with `--base DIR`");
    }
    let folders: Vec<String> = allowed.iter().map(|folder| folder.display().to_string()).collect();
    let known = listed(folders.iter().map(String::as_str));
    Report::input(format!("step `{step}` may not {verb} `{name}`: the policy allows to {verb}: {known}"))
        .hint(format!("add its folder to `{verb}` of the policy, or take another file"))
}

/// The refusal of a file that is Osiris's own.
pub fn own_file(step: &str, verb: &str, name: &str) -> Report {
    Report::input(format!("step `{step}` may not {verb} `{name}`: it is one of Osiris's own files"))
        .hint("sessions, connections, the lock and drivers are out of every step's reach: name another file")
}

/// The hosts and ports that `templates` stand for. Each host is one that the author named, or the
/// operator: a driver's own text or default names a port at most.
fn endpoints(asking: &Asking<'_>, templates: &[Template]) -> Result<Vec<Endpoint>, Report> {
    let mut endpoints = Vec::new();
    for template in templates {
        let hosts = template.before_colon();
        let written = if hosts.has_fields() { hosts.expand(asking.written)? } else { Vec::new() };
        for text in template.expand(asking.config)? {
            let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host);
            if !written.iter().any(|written| written == host) && !matches!(asking.policy.hosts, Hosts::Listed(_)) {
                return Err(unnamed(asking, "connect to", &text, template));
            }
            endpoints.push(connect(asking, &text)?);
        }
    }
    Ok(endpoints)
}

/// What may be called by HTTP, after the same rule.
fn scopes(asking: &Asking<'_>, templates: &[Template]) -> Result<Vec<HttpScope>, Report> {
    let mut scopes = Vec::new();
    for template in templates {
        // Where a call goes is in the value that the address begins with.
        let written = template.address().map_or(Ok(Vec::new()), |address| address.expand(asking.written))?;
        let written: Vec<HttpScope> =
            written.iter().filter_map(|address| HttpScope::parse(&format!("GET {address}")).ok()).collect();
        for text in template.expand(asking.config)? {
            let scope = http(asking, &text)?;
            let named = |written: &HttpScope| written.tls == scope.tls && written.endpoint == scope.endpoint;
            let listed = asking.policy.http.is_some() || matches!(asking.policy.hosts, Hosts::Listed(_));
            if !listed && !written.iter().any(named) {
                return Err(unnamed(asking, "call", &text, template));
            }
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

fn unnamed(asking: &Asking<'_>, verb: &str, text: &str, template: &Template) -> Report {
    Report::input(format!("step `{}` may not {verb} `{text}`: only its driver names it", asking.step)).hint(format!(
        "write the value of `{template}` into the step's config or connection, or allow it by a policy (`--policy FILE`)"
    ))
}

fn connect(asking: &Asking<'_>, text: &str) -> Result<Endpoint, Report> {
    let wrong = |why: String| Report::input(format!("step `{}` cannot connect: {why}", asking.step));
    let endpoint = Endpoint::parse(text).map_err(wrong)?;
    check_host(asking, &endpoint)?;
    Ok(endpoint)
}

fn check_host(asking: &Asking<'_>, endpoint: &Endpoint) -> Result<(), Report> {
    let step = asking.step;
    let (allowed, known, cure) = match &asking.policy.hosts {
        Hosts::Connections(hosts) => (
            hosts.contains(&endpoint.host),
            listed(hosts.iter().map(String::as_str)),
            "name the host in a connection of `osiris_connections.yaml`, or under `connect` of a policy",
        ),
        Hosts::Listed(endpoints) => {
            let all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            (endpoints.contains(endpoint), listed(all.iter().map(String::as_str)), "add it to `connect` of the policy")
        }
    };
    if allowed {
        return Ok(());
    }
    Err(Report::input(format!("step `{step}` may not connect to `{endpoint}`; allowed: {known}")).hint(cure))
}

fn http(asking: &Asking<'_>, text: &str) -> Result<HttpScope, Report> {
    let step = asking.step;
    let scope =
        HttpScope::parse(text).map_err(|why| Report::input(format!("step `{step}` cannot call by HTTP: {why}")))?;
    match &asking.policy.http {
        None => check_host(asking, &scope.endpoint)?,
        Some(allowed) if allowed.iter().any(|allowed| allowed.covers(&scope)) => {}
        Some(allowed) => {
            let all: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let known = listed(all.iter().map(String::as_str));
            return Err(Report::input(format!("step `{step}` may not call `{scope}`; the policy allows: {known}"))
                .hint("add it to `http` of the policy"));
        }
    }
    Ok(scope)
}

impl Grants {
    /// The grants in plain words, one a line.
    pub fn words(&self) -> Vec<String> {
        let files = |verb: &str, files: &[FileWish]| {
            files.iter().map(|file| format!("{verb} `{}`", line(&file.place.to_string_lossy()))).collect::<Vec<_>>()
        };
        let folders = self
            .create_folders
            .then(|| "create the folders of the files that it writes".to_owned())
            .into_iter()
            .collect();
        let private = |host: &str| {
            if self.private_hosts.contains(host) { " (which may lie in a private network)" } else { "" }
        };
        let connect =
            self.connect.iter().map(|endpoint| format!("connect to `{endpoint}`{}", private(&endpoint.host))).collect();
        let http = self.http.iter().map(|scope| format!("call `{scope}`{}", private(&scope.endpoint.host))).collect();
        let roots = (!self.roots.is_empty())
            .then(|| "trust for HTTPS only the roots in its config, not the machine's".to_owned())
            .into_iter()
            .collect();
        let state = self.state.then(|| "keep a state between runs".to_owned()).into_iter().collect();
        [files("read", &self.read), files("write", &self.write), folders, connect, http, roots, state].concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grants::policy::ConnectionHosts;
    use serde_json::json;

    fn grant(read: &str, config: Value) -> Result<Vec<PathBuf>, Report> {
        let wanted = WantedGrants { read: vec![read.parse()?], ..WantedGrants::default() };
        decide(&wanted, &config, &Policy::default_with(ConnectionHosts::default()))
            .map(|grants| grants.read.into_iter().map(|file| file.place).collect())
    }

    fn template(text: &str) -> Template {
        text.parse().unwrap()
    }

    fn decide(wanted: &WantedGrants, config: &Value, policy: &Policy) -> Result<Grants, Report> {
        let config = config.as_object().unwrap();
        effective(wanted, &Asking { step: "s", config, written: config, base: Path::new("/base"), policy })
    }

    #[test]
    fn templates_follow_the_config() {
        let table = [
            ("{config.path}", json!({"path": "a.csv"}), vec!["a.csv"]),
            ("{config.path}", json!({"path": ["a.csv", "b.csv"]}), vec!["a.csv", "b.csv"]),
            ("{config.path}", json!({}), vec![]),
            ("{config.folder}/{config.file.name}", json!({"folder": "in", "file": {"name": "x"}}), vec!["in/x"]),
            ("{config.path}", json!({"path": "/base/a/./b/../c.csv"}), vec!["a/c.csv"]),
        ];
        for (template, config, expected) in table {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(grant(template, config).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_base_folder() {
        for path in ["../x", "a/../../x", "/etc/passwd", "/base/../etc/passwd", "/basement/x", "", ".", "a/..", "x\0y"]
        {
            assert!(grant("{config.path}", json!({"path": path})).is_err(), "{path}");
        }
    }

    #[test]
    fn instances_are_a_number_within_bounds() {
        for (config, expected) in [
            (json!({}), Some(1)),
            (json!({"partitions": 4}), Some(4)),
            (json!({"partitions": 0}), None),
            (json!({"partitions": 65}), None),
            (json!({"partitions": "many"}), None),
            (json!({"partitions": ["1", "2"]}), None),
        ] {
            let (base, policy) = (Path::new("/base"), Policy::default_with(ConnectionHosts::default()));
            let asking = Asking {
                step: "s",
                config: config.as_object().unwrap(),
                written: config.as_object().unwrap(),
                base,
                policy: &policy,
            };
            assert_eq!(instances(Some(&template("{config.partitions}")), &asking).ok(), expected, "{config}");
        }
    }

    #[test]
    fn a_drivers_default_is_no_number_of_instances() {
        let config = json!({"partitions": 16});
        let (base, policy) = (Path::new("/base"), Policy::default_with(ConnectionHosts::default()));
        let empty = Map::new();
        let asking = Asking { step: "s", config: config.as_object().unwrap(), written: &empty, base, policy: &policy };
        assert_eq!(instances(Some(&template("{config.partitions}")), &asking).unwrap(), 1);
    }

    #[test]
    fn the_author_says_whom_https_trusts() {
        let policy = Policy::default_with(ConnectionHosts::default());
        let decide = |root: &str, config: Value, written: Value| {
            let wanted = WantedGrants { roots: vec![template(root)], ..WantedGrants::default() };
            let (config, written) = (config.as_object().unwrap(), written.as_object().unwrap());
            effective(&wanted, &Asking { step: "s", config, written, base: Path::new("/base"), policy: &policy })
        };
        let pem = json!({"connection": {"ca": "-----BEGIN"}});
        let granted = decide("{connection.ca}", pem.clone(), pem.clone()).unwrap();
        assert_eq!(granted.roots, ["-----BEGIN"]);
        assert_eq!(granted.words(), ["trust for HTTPS only the roots in its config, not the machine's"]);
        assert!(decide("{connection.ca}", json!({}), json!({})).unwrap().roots.is_empty());
        // A default, a default beside what was written, a text of the driver's own, alone or around a field.
        for (root, written) in [
            ("{connection.ca}", json!({})),
            ("{connection.ca}", json!({"connection": {"ca": "other"}})),
            ("-----BEGIN", pem.clone()),
            ("-----BEGIN\n{connection.ca}", pem.clone()),
        ] {
            assert!(decide(root, pem.clone(), written).is_err(), "{root}");
        }
    }

    #[test]
    fn a_driver_names_no_file_by_itself() {
        for template in [
            "notes.txt",
            "./{config.path}",
            "{config.path}/../notes.txt",
            "{config.path}.bak",
            "notes.txt{config.absent}",
            "{config.path}/notes.txt",
        ] {
            let report = grant(template, json!({"path": "a"})).unwrap_err();
            assert!(report.message.contains("by itself"), "{template}: {}", report.message);
        }
    }

    #[test]
    fn a_default_of_the_driver_names_no_file() {
        let wanted = WantedGrants { read: vec![template("{config.path}")], ..WantedGrants::default() };
        let policy = Policy::default_with(ConnectionHosts::default());
        let decide = |written: Value| {
            let filled = json!({"path": "a.csv"});
            let (config, written) = (filled.as_object().unwrap(), written.as_object().unwrap());
            effective(&wanted, &Asking { step: "s", config, written, base: Path::new("/base"), policy: &policy })
        };
        assert!(decide(json!({"path": "a.csv"})).is_ok());
        assert!(decide(json!({})).unwrap_err().message.contains("only its driver's defaults name it"));
    }

    #[test]
    fn files_of_osiris_itself_are_nobodys() {
        let table = [
            (".osiris_sessions/x/data/a.duckdb", false, false),
            (".osiris/state/p/s.json", false, false),
            ("other/.osiris_sessions/x/manifest.yaml", false, false),
            ("osiris_connections.yaml", false, false),
            ("other/../osiris_connections.yaml", false, false),
            ("osiris.lock", true, false),
            ("drivers/a.b.wasm", true, false),
            ("my/drivers/a.csv", true, true),
            ("a.csv", true, true),
        ];
        let policy = Policy::default_with(ConnectionHosts::default());
        for (path, read, write) in table {
            let template = vec![template("{config.path}")];
            let reading = WantedGrants { read: template.clone(), ..WantedGrants::default() };
            let writing = WantedGrants { write: template, ..WantedGrants::default() };
            assert_eq!(decide(&reading, &json!({"path": path}), &policy).is_ok(), read, "{path}");
            assert_eq!(decide(&writing, &json!({"path": path}), &policy).is_ok(), write, "{path}");
        }
    }

    #[test]
    fn a_policy_narrows_files_and_opens_folders_outside_for_reading() {
        let policy = crate::grants::policy::parse(
            "read: [in, /data/shared]\nwrite: [out, /data/out]",
            "p",
            ConnectionHosts::default(),
        )
        .unwrap();
        let wanted = WantedGrants {
            read: vec![template("{config.from}")],
            write: vec![template("{config.to}")],
            ..WantedGrants::default()
        };
        let table = [
            ("in/a.csv", "out/b.csv", true),
            ("/data/shared/a.csv", "out/b.csv", true),
            ("in/../in/a.csv", "/base/out/b.csv", true),
            ("a.csv", "out/b.csv", false),
            ("in/../a.csv", "out/b.csv", false),
            ("inn/a.csv", "out/b.csv", false),
            ("/data/shared/../secret.csv", "out/b.csv", false),
            ("/data/other.csv", "out/b.csv", false),
            ("in/a.csv", "b.csv", false),
            ("in/a.csv", "/data/out/b.csv", false),
        ];
        for (read, write, allowed) in table {
            let decided = decide(&wanted, &json!({"from": read, "to": write}), &policy);
            assert_eq!(decided.is_ok(), allowed, "{read} {write}: {decided:?}");
        }
        let outside = decide(&wanted, &json!({"from": "/data/shared/x/a.csv", "to": "out/b"}), &policy).unwrap();
        assert_eq!(outside.read[0].root, Path::new("/data/shared"));
        assert_eq!(outside.words(), ["read `/data/shared/x/a.csv`", "write `out/b`"]);
    }

    #[test]
    fn a_driver_connects_where_connections_or_policy_name_the_host() {
        let wanted = WantedGrants {
            connect: vec![template("{connection.host}:{connection.port}")],
            http: vec![template("GET {config.url}")],
            ..WantedGrants::default()
        };
        let all = BTreeSet::from(["db".to_owned(), "api".to_owned()]);
        let private = BTreeSet::from(["db".to_owned()]);
        let by_connections = Policy::default_with(ConnectionHosts { all, private });
        let by_policy = crate::grants::policy::parse(
            "connect: ['db:1']\nhttp: ['GET https://api/v1']",
            "p",
            ConnectionHosts::default(),
        )
        .unwrap();
        let table = [
            (json!({"connection": {"host": "DB", "port": 1}}), true, true),
            (json!({"connection": {"host": "db", "port": 2}}), true, false),
            (json!({"connection": {"host": "other", "port": 1}}), false, false),
            (json!({"connection": {"host": "169.254.169.254", "port": 80}}), false, false),
            (json!({"connection": {"host": "db:1@evil", "port": 1}}), false, false),
            (json!({"url": "https://api/v1/users"}), true, true),
            (json!({"url": "https://api/v2"}), true, false),
            (json!({"url": "https://evil/v1"}), false, false),
            (json!({"url": "file:///etc/passwd"}), false, false),
        ];
        for (config, connections, policy) in table {
            assert_eq!(decide(&wanted, &config, &by_connections).is_ok(), connections, "{config}");
            assert_eq!(decide(&wanted, &config, &by_policy).is_ok(), policy, "{config}");
        }
        // A driver's own text or default names no host, unless the operator does.
        let config = json!({"connection": {"host": "db", "port": 1}, "url": "https://api/v1"});
        for (connect, http) in [("db:1", "GET {config.url}"), ("{connection.host}:1", "GET https://api/v1")] {
            let wanted = WantedGrants {
                connect: vec![template(connect)],
                http: vec![template(http)],
                ..WantedGrants::default()
            };
            assert!(
                decide(&wanted, &config, &by_connections).unwrap_err().message.contains("only its driver names it")
            );
            assert!(decide(&wanted, &config, &by_policy).is_ok(), "{connect} {http}");
        }
        let empty = Map::new();
        let filled = config.as_object().unwrap();
        let asking =
            Asking { step: "s", config: filled, written: &empty, base: Path::new("/base"), policy: &by_connections };
        assert!(effective(&wanted, &asking).is_err());
        let words = decide(&wanted, &config, &by_connections).unwrap().words();
        assert_eq!(words, ["connect to `db:1` (which may lie in a private network)", "call `GET https://api:443/v1`"]);
    }
}
