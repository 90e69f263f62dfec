//! The HogQL for each kind of data. Paging uses the last row's place in the order, not an offset, which would skip or
//! repeat rows while others arrive.

use crate::config::DataType;

/// A row's place in the order of its kind: its time, as PostHog wrote it, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub time: String,
    pub id: String,
}

/// The parameters of one request.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub kind: DataType,
    pub event_types: &'a [String],
    /// Where the run starts, in ISO 8601; `None` for everything.
    pub since: Option<&'a str>,
    /// How many minutes before `since` are read again.
    pub lookback: u32,
    /// Where the run ends.
    pub until: &'a str,
    /// The last row of the previous page.
    pub after: Option<&'a Place>,
    pub size: u32,
    /// The number of earlier rows, for kinds without a time.
    pub offset: u64,
}

impl DataType {
    fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Persons => "persons",
            Self::Sessions => "sessions",
            Self::PersonDistinctIds => "person_distinct_ids",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Events => "uuid, event, timestamp, distinct_id, person_id, properties",
            Self::Persons => "id, created_at, properties, is_identified",
            Self::Sessions => "*",
            Self::PersonDistinctIds => "distinct_id, person_id",
        }
    }

    /// The columns of a row's time and id.
    pub fn order(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Events => Some(("timestamp", "uuid")),
            Self::Persons => Some(("created_at", "id")),
            Self::Sessions => Some(("$start_timestamp", "session_id")),
            Self::PersonDistinctIds => None,
        }
    }

    /// The prefix of the columns for properties.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Persons => "person_properties_",
            _ => "properties_",
        }
    }
}

impl Page<'_> {
    pub fn hogql(&self) -> String {
        let (table, columns, size) = (self.kind.table(), self.kind.columns(), self.size);
        let Some((time, id)) = self.kind.order() else {
            let offset = self.offset;
            return format!(
                "SELECT {columns} FROM {table} ORDER BY person_id ASC, distinct_id ASC LIMIT {size} OFFSET {offset}"
            );
        };
        let mut wheres = Vec::new();
        if let Some(since) = self.since {
            let back = if self.lookback > 0 { format!(" - INTERVAL {} MINUTE", self.lookback) } else { String::new() };
            wheres.push(format!("{time} >= toDateTime({}){back}", literal(since)));
        }
        wheres.push(format!("{time} < toDateTime({})", literal(self.until)));
        if self.kind == DataType::Events && !self.event_types.is_empty() {
            let names: Vec<String> = self.event_types.iter().map(|name| literal(name)).collect();
            wheres.push(format!("event IN ({})", names.join(", ")));
        }
        if let Some(Place { time: last, id: last_id }) = self.after {
            let (last, last_id) = (literal(last), literal(last_id));
            wheres.push(format!("({time} > toDateTime({last}) OR ({time} = toDateTime({last}) AND {id} > {last_id}))"));
        }
        let wheres = wheres.join(" AND ");
        format!("SELECT {columns} FROM {table} WHERE {wheres} ORDER BY {time} ASC, {id} ASC LIMIT {size}")
    }
}

/// A text in HogQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_start_after_the_last_row() {
        let types = ["it's".to_owned(), "a\\' OR 1=1".to_owned()];
        let last = Place { time: "2024-01-02T00:00:00.123456Z".to_owned(), id: "u1".to_owned() };
        let mut page = Page {
            kind: DataType::Events,
            event_types: &types,
            since: Some("2024-01-01T00:00:00Z"),
            lookback: 15,
            until: "2024-02-01T00:00:00Z",
            after: Some(&last),
            size: 10,
            offset: 0,
        };
        assert_eq!(
            page.hogql(),
            "SELECT uuid, event, timestamp, distinct_id, person_id, properties FROM events WHERE timestamp >= \
             toDateTime('2024-01-01T00:00:00Z') - INTERVAL 15 MINUTE AND timestamp < toDateTime('2024-02-01T00:00:00Z') AND \
             event IN ('it\\'s', 'a\\\\\\' OR 1=1') AND (timestamp > toDateTime('2024-01-02T00:00:00.123456Z') OR (timestamp = \
             toDateTime('2024-01-02T00:00:00.123456Z') AND uuid > 'u1')) ORDER BY timestamp ASC, uuid ASC LIMIT 10"
        );
        page.kind = DataType::PersonDistinctIds;
        page.offset = 20;
        assert!(page.hogql().ends_with("ORDER BY person_id ASC, distinct_id ASC LIMIT 10 OFFSET 20"));
        (page.kind, page.since, page.after) = (DataType::Persons, None, None);
        assert!(page.hogql().contains("FROM persons WHERE created_at < toDateTime("), "{}", page.hogql());
    }
}
