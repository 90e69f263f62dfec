//! Lists in a response that say they continue, although nothing reads the rest: nested connections, and those of a
//! query for which the author configured no paging.

use std::collections::BTreeMap;

use json_records::Path;
use osiris_sdk::context;
use serde_json::Value;

/// The most places that are distinguished.
const MAX_PLACES: usize = 16;

/// How often each place had `hasNextPage: true`.
#[derive(Debug, Default)]
pub struct Unread(BTreeMap<String, u64>);

impl Unread {
    /// Searches the value at `place`; `read` is the place where the paging that is followed says so.
    pub fn look(&mut self, json: &Value, place: &mut Vec<String>, read: Option<&Path>) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.look(item, place, read)),
            Value::Object(members) => {
                for (name, value) in members {
                    place.push(name.clone());
                    let here = || place.join(".");
                    let goes_on = name == "pageInfo" && value.get("hasNextPage") == Some(&Value::Bool(true));
                    if goes_on && read.is_none_or(|read| own(read.text()) != here()) && self.0.len() < MAX_PLACES {
                        *self.0.entry(here()).or_default() += 1;
                    }
                    self.look(value, place, read);
                    place.pop();
                }
            }
            _ => {}
        }
    }

    /// Warns of each place.
    pub fn tell(&self) {
        for (place, count) in &self.0 {
            context::warn(
                "a list in the response continues, and the rest of it was not read: `hasNextPage` is true; ask for more of it at \
                 once, or read it page by page in a step of its own (`pagination_enabled`, `pagination_path`)",
                &[("path", place), ("count", count)],
            );
        }
    }
}

/// A path in the notation of `look`.
fn own(path: &str) -> &str {
    path.trim().trim_start_matches('$').trim_start_matches('.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn only_lists_that_are_not_read_further_are_counted() {
        let more = json!({"hasNextPage": true});
        let data = json!({"users": {"pageInfo": more, "nodes": [
            {"id": 1, "posts": {"pageInfo": more}}, {"id": 2, "posts": {"pageInfo": more}},
            {"id": 3, "posts": {"pageInfo": {"hasNextPage": false}}},
        ]}});
        let look = |read: Option<&str>| {
            let mut unread = Unread::default();
            let read = read.map(|read| Path::parse(read).unwrap());
            unread.look(&data, &mut vec!["data".to_owned()], read.as_ref());
            unread.0.into_iter().collect::<Vec<_>>()
        };
        let posts = ("data.users.nodes.posts.pageInfo".to_owned(), 2);
        assert_eq!(look(Some("$.data.users.pageInfo")), vec![posts.clone()]);
        assert_eq!(look(None), [posts, ("data.users.pageInfo".to_owned(), 1)]);
    }
}
