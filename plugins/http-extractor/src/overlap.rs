//! Records that arrive twice because two pages overlap: the first ones of a page are the last ones of the previous
//! page.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use json_records::Page;

/// Remembers the records of the previous page, by digest.
#[derive(Debug, Default)]
pub struct Overlap {
    before: Vec<u64>,
}

impl Overlap {
    /// How many records at the start of `page` are those at the end of the previous page. Records that occur several
    /// times in a page prove nothing, so they do not count.
    pub fn look(&mut self, page: &Page) -> usize {
        let digest = |record| {
            let mut hasher = DefaultHasher::new();
            serde_json::Value::hash(record, &mut hasher);
            hasher.finish()
        };
        let now: Vec<u64> = page.records.iter().map(digest).collect();
        if now.is_empty() {
            return 0;
        }
        let before = std::mem::replace(&mut self.before, now);
        let length = longest(&self.before, &before);
        let mut seen: HashMap<u64, u32> = HashMap::new();
        before.iter().for_each(|digest| *seen.entry(*digest).or_default() += 1);
        let unique = self.before[..length].iter().all(|digest| seen.get(digest) == Some(&1));
        if unique { length } else { 0 }
    }
}

/// The length of the longest prefix of `now` that is also a suffix of `before` (Knuth, Morris and Pratt).
fn longest(now: &[u64], before: &[u64]) -> usize {
    let mut borders = vec![0; now.len()];
    let step = |borders: &[usize], mut length: usize, next: u64| {
        while length > 0 && (length == now.len() || now[length] != next) {
            length = borders[length - 1];
        }
        length + usize::from(now[length] == next)
    };
    for place in 1..now.len() {
        borders[place] = step(&borders, borders[place - 1], now[place]);
    }
    before.iter().fold(0, |length, next| step(&borders, length, *next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn only_unique_records_prove_an_overlap() {
        for (before, now, expected) in [
            (&[1_i64, 2, 3] as &[i64], &[3_i64, 4] as &[i64], 1),
            (&[1, 2, 3], &[2, 3, 4], 2),
            (&[1, 2, 3], &[1, 2, 3], 3),
            (&[1, 2, 3], &[4, 3], 0),
            (&[3, 1, 3], &[3, 4], 0),
            (&[7, 7], &[7, 7, 7], 0),
            (&[5, 1, 2], &[1, 2, 1, 2], 2),
            (&[], &[1], 0),
        ] {
            let mut overlap = Overlap::default();
            let page = |records: &[i64]| Page {
                records: records.iter().copied().map(Value::from).collect(),
                sent: records.len(),
            };
            overlap.look(&page(before));
            overlap.look(&page(&[]));
            assert_eq!(overlap.look(&page(now)), expected, "{before:?} {now:?}");
        }
    }
}
