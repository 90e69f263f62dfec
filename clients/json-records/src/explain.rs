//! Describes why a record does not fit.

use crate::column::{Fault, Misfit};
use crate::value::Why;

/// Why a record does not fit, and which type to declare. `record` names the record, such as `record 3`;
/// `where_declared` follows `declare it`, such as ` under `dtype``.
pub fn told(fault: &Fault, record: &str, where_declared: &str) -> String {
    let Misfit { path, found, value, kind, why } = match fault {
        Fault::Broken(broken) => return format!("Malformed JSON in {record}: {broken}"),
        Fault::Misfit(misfit) => misfit,
    };
    let column = path.first().map_or("", String::as_str);
    let path = path.join(".");
    let declare = |kind: &str| format!("declare it{where_declared}, such as `{column}: {kind}`");
    match why {
        Why::Unknown if path == column => format!(
            "{record} has `{path}`, which none of the records before had that the columns were made from; {}, or raise \
             `hold_mb`",
            declare("JSON")
        ),
        Why::Unknown => {
            format!("{record} has `{path}`, which its column's type has no member for; {}", declare("JSON"))
        }
        Why::Twice => format!("{record} has `{path}` twice, so one value would be lost"),
        Why::Kind => format!(
            "{record} has {found} in `{path}`, {value}, which does not fit its column's type, {kind}; {}",
            declare("VARCHAR")
        ),
        Why::Length => format!(
            "{record} has {found} in `{path}`, {value}, which has more or fewer items than {kind}; declare \
             it{where_declared} as a list, without the number"
        ),
        Why::Range => {
            format!("{record} has {found} in `{path}`, {value}, which is beyond {kind}; {}", declare("VARCHAR"))
        }
        Why::Digits => format!(
            "{record} has {found} in `{path}`, {value}, which has more digits than {kind} keeps; {}",
            declare("VARCHAR")
        ),
        Why::Clock => format!(
            "{record} has {found} in `{path}`, {value}, whose time of day {kind} would drop; {}",
            declare("TIMESTAMP")
        ),
        Why::Offset => format!(
            "{record} has {found} in `{path}`, {value}, whose offset {kind} would drop; {}",
            declare("TIMESTAMPTZ")
        ),
    }
}
