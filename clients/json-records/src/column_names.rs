//! The names of the columns that records get.

use std::collections::HashMap;

use duckdb_text::Names;

use crate::flatten;

/// The column name that a key asks for.
pub fn shown(key: &str, separator: Option<&str>) -> String {
    separator.map_or_else(|| key.to_owned(), |separator| flatten::shown(key, separator))
}

/// The names of the columns of `keys`, in order, made distinct because DuckDB ignores case.
///
/// If several keys have the same name, it goes to the least nested one, and among those to the first in the order of
/// their names; the others get numbers that make them unique. So names depend on the set of keys, not on their order.
pub fn column_names<'a>(keys: impl Iterator<Item = &'a str>, separator: Option<&str>) -> Vec<String> {
    let keys: Vec<&str> = keys.collect();
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, key) in keys.iter().enumerate() {
        groups.entry(shown(key, separator).to_lowercase()).or_default().push(place);
    }
    let mut names = Names::new(2);
    let mut found = vec![String::new(); keys.len()];
    let mut late: Vec<(usize, Vec<String>, usize)> = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let group = &groups[&shown(key, separator).to_lowercase()];
        let (depth, parts) = flatten::rank(key);
        let is_first =
            group.len() == 1 || group.iter().min_by_key(|place| flatten::rank(keys[**place])) == Some(&place);
        if is_first && !shown(key, separator).is_empty() {
            found[place] = names.free(&shown(key, separator), "_");
        } else {
            late.push((depth, parts, place));
        }
    }
    late.sort();
    for (_, _, place) in late {
        found[place] = names.free(&shown(keys[place], separator), "_");
    }
    found
}
