//! A conversion that must be checked by value: SQL for DuckDB that determines which values survive it.

use crate::SourceType;

/// The placeholder for the value in a template; no SQL can contain it.
pub(crate) const X: char = '\u{1}';

/// The predicate of a conversion that always loses something.
const NEVER: &str = "false";

/// Whether values survive a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Predicates that are true if nothing is lost, each with a description of what is lost otherwise.
    conditions: Vec<(String, String)>,
    /// The nearest value that the target can hold, of the same DuckDB type.
    rounded: Option<String>,
    /// How many levels of lists surround the checked items.
    depth: usize,
    /// The type of the outermost list.
    list: Option<String>,
}

impl Check {
    /// A check by one predicate over [`X`].
    pub(crate) fn new(survives: impl Into<String>, lost: impl Into<String>) -> Self {
        Self { conditions: vec![(survives.into(), lost.into())], rounded: None, depth: 0, list: None }
    }

    /// A check that no value passes. Rounding is left to the target's own assignment: the date, the time or the zone is
    /// dropped.
    pub(crate) fn never(lost: impl Into<String>) -> Self {
        Self::new(NEVER, lost).rounded_by(X)
    }

    /// Both checks; the first one's loss is named first.
    pub(crate) fn and(mut self, other: Check) -> Self {
        self.conditions.extend(other.conditions);
        self.rounded = self.rounded.or(other.rounded);
        self
    }

    pub(crate) fn rounded_by(mut self, expression: impl Into<String>) -> Self {
        self.rounded = Some(expression.into());
        self
    }

    /// Applies this check to each item of a list; `list` is the list's type.
    pub(crate) fn of_items(mut self, list: &SourceType) -> Self {
        self.depth += 1;
        self.list = Some(list.to_string());
        self
    }

    /// A predicate over the SQL expression `value` that is true if the value survives. It is never null; a null
    /// survives.
    pub fn survives(&self, value: &str) -> String {
        let all: Vec<String> = self.conditions.iter().map(|(survives, _)| format!("({survives})")).collect();
        self.items(&all.join(" and "), value)
    }

    /// The same check of an expression over [`X`]; there is no nearest value.
    pub(crate) fn over(mut self, expression: &str) -> Self {
        for (survives, _) in &mut self.conditions {
            *survives = survives.replace(X, expression);
        }
        self.rounded = None;
        self
    }

    /// Casts the rounded value to the type `source`; a value that does not fit becomes null.
    pub(crate) fn typed(mut self, source: &SourceType) -> Self {
        let is_value = |rounded: &String| rounded.chars().eq([X]);
        if let Some(rounded) = self.rounded.take_if(|rounded| !is_value(rounded)) {
            self.rounded = Some(format!("try_cast({rounded} as {source})"));
        }
        self
    }

    /// A predicate that is true if `value` can be written once it is rounded.
    pub fn survives_rounded(&self, value: &str) -> String {
        let Some(rounded) = &self.rounded else { return self.items("false", value) };
        let conditions = self.conditions.iter().filter(|(survives, _)| survives != NEVER);
        let conditions: Vec<String> =
            conditions.map(|(survives, _)| format!(" and ({})", survives.replace(X, rounded))).collect();
        self.items(&format!("{rounded} is not null{}", conditions.concat()), value)
    }

    /// The loss of a value that does not survive, as a SQL expression; null if it survives.
    pub fn lost_expression(&self, value: &str) -> String {
        let cases: Vec<String> = self
            .conditions
            .iter()
            .map(|(survives, lost)| {
                format!("when not {} then {}", self.items(survives, value), osiris_sdk::sql::quote_text(lost))
            })
            .collect();
        format!("case {} end", cases.join(" "))
    }

    /// A description of what may be lost.
    pub fn lost(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for (_, lost) in &self.conditions {
            if !words.contains(&lost.as_str()) {
                words.push(lost);
            }
        }
        words.join(", ")
    }

    /// The nearest value to the SQL expression `value` that the target can hold, of the same DuckDB type; `None` if
    /// no such value exists. The result may still be out of range, so the caller checks it again.
    pub fn rounded(&self, value: &str) -> Option<String> {
        let rounded = self.rounded.as_ref()?;
        let whole = (0..self.depth).fold(rounded.clone(), |inner, level| {
            // The innermost item has the highest number.
            let item = format!("item{}", self.depth - level);
            format!("list_transform({X}, lambda {item}: {})", inner.replace(X, &item))
        });
        let whole = whole.replace(X, value);
        Some(self.list.as_ref().map_or_else(|| whole.clone(), |list| format!("({whole})::{list}")))
    }

    fn items(&self, predicate: &str, value: &str) -> String {
        let scalar = format!("({X} is null or coalesce({predicate}, false))");
        let whole = (0..self.depth).fold(scalar, |inner, level| {
            let item = format!("item{}", self.depth - level);
            format!("({X} is null or len(list_filter({X}, lambda {item}: not {})) = 0)", inner.replace(X, &item))
        });
        whole.replace(X, value)
    }
}
