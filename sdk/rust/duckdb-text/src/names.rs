//! Distinct names for columns without a name, or with the same one.

use std::collections::HashSet;

/// Assigns names that DuckDB can distinguish, which ignores their case.
#[derive(Debug)]
pub struct Names {
    taken: HashSet<String>,
    first: usize,
}

impl Names {
    /// `first` is the number that the second of two equal names gets.
    pub fn new(first: usize) -> Self {
        Self { taken: HashSet::new(), first }
    }

    pub fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(&name.to_lowercase())
    }

    /// `wanted`, or `empty` if that is empty, with the lowest number that makes it unique.
    pub fn free(&mut self, wanted: &str, empty: &str) -> String {
        let wanted = if wanted.is_empty() { empty } else { wanted };
        let numbered = (self.first..).map(|number| format!("{wanted}_{number}"));
        let free =
            std::iter::once(wanted.to_owned()).chain(numbered).find(|name| self.is_free(name)).unwrap_or_default();
        self.taken.insert(free.to_lowercase());
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_only_in_case_or_are_empty_are_numbered() {
        let mut names = Names::new(1);
        let wanted = ["a", "A", "", "a_1", "a", "É", "é"];
        let given = wanted.map(|name| names.free(name, "none"));
        assert_eq!(given, ["a", "A_1", "none", "a_1_1", "a_2", "É", "é_1"]);
        assert!(names.is_free("b") && !names.is_free("NONE"));
    }
}
