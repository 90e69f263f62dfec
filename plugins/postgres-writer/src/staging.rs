//! How a column is staged: in the target's own type if the bytes that are sent have that type, so that keys compare as
//! they do in the target; otherwise in the type that is sent, to be assigned from there.

use crate::shape::InputColumn;
use crate::target::{Target, TargetColumn};

/// A column of the staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its declaration.
    pub declaration: String,
    /// The cast of its value before PostgreSQL assigns it to the target's column.
    pub cast: Option<String>,
    /// Whether its type is the target's.
    pub is_exact: bool,
}

/// How `column` is staged for the column that the writer creates for it; `created` is that column's type.
pub fn for_created(column: &InputColumn, created: &str) -> Staged {
    let is_exact = column.staged == created;
    let cast = (!is_exact).then(|| created.to_owned());
    Staged { declaration: column.staged.clone(), cast, is_exact }
}

/// How `column` is staged for an existing column.
pub fn for_existing(target: &Target, column: &InputColumn, own: &TargetColumn) -> Staged {
    let types = &target.types;
    let (base, _) = types.base(own.type_oid, own.modifier);
    let name = types.name(base).unwrap_or_default();
    let brackets = &column.staged[column.staged.trim_end_matches("[]").len()..];
    let (sent, is_list) = (spelled_out(&column.staged), !brackets.is_empty());
    let is_array = types.element(base).is_some();
    // The elements of a binary array must have exactly the array's element type.
    let same = if is_list { is_array && name == format!("{sent}[]") } else { name == sent };
    if same || !is_list && sent == "text" && base != 18 && types.is_text(base) {
        return Staged { declaration: own.declaration(), cast: None, is_exact: true };
    }
    let element = types.element(base).map_or(base, |element| types.base(element, -1).0);
    let cast = match sent {
        "text" if is_array && !is_list => Some(name.to_owned()),
        // The server refuses other single values for an array, and lists for a single value.
        _ if is_list != is_array => None,
        // A cast to `bit` would truncate it to one bit.
        "text" if name.trim_end_matches("[]") == "bit" => Some(format!("bit varying{brackets}")),
        "text" if types.is_text(element) => None,
        "text" => Some(name.to_owned()),
        // PostgreSQL's own cast keeps 15 digits, or 6; its text has all of them.
        "real" | "double precision" if matches!(element, 1700 | 790) => {
            Some(format!("text{brackets}::numeric{brackets}"))
        }
        _ => None,
    };
    Staged { declaration: column.staged.clone(), cast, is_exact: false }
}

/// The name in PostgreSQL's catalog for the type of a staged value, without bounds and brackets.
fn spelled_out(staged: &str) -> &str {
    match staged.trim_end_matches("[]").split('(').next().unwrap_or_default() {
        "time" => "time without time zone",
        "timestamp" => "timestamp without time zone",
        name => name,
    }
}

impl Staged {
    /// The value of the column `quoted` of the staging table, in the form in which it is assigned.
    pub fn value(&self, quoted: &str) -> String {
        self.cast.as_ref().map_or_else(|| quoted.to_owned(), |cast| format!("{quoted}::{cast}"))
    }
}
