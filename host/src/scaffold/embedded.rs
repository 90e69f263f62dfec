//! The files that are part of the program: the SDKs without their tests, the contract's WIT, and the templates.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder, each by its path in that folder.
pub fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(place, bytes)| Some((place.strip_prefix(folder)?.strip_prefix('/')?, *bytes)))
}

/// A file that is known to be embedded; empty if it is not.
pub fn text(place: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == place);
    found.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sdk_is_embedded_within_two_megabytes_and_without_what_no_project_needs() {
        for place in
            ["rust/src/lib.rs", "python/osiris_sdk/__init__.py", "typescript/build.mjs", "go/driver.go", "c/osiris.h"]
        {
            assert!(!text(&format!("sdk/{place}")).is_empty(), "{place}");
        }
        assert!(below("wit").count() > 5 && below("sdk/go/adapter").count() == 1);
        let size: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size < 2 << 20, "{size} bytes");
        let odd = |place: &&str| {
            let parts = ["node_modules", "__pycache__", "_test.go", "/examples/", "/tests/"];
            place.starts_with("sdk/") && parts.iter().any(|part| place.contains(part))
        };
        assert_eq!(FILES.iter().map(|(place, _)| *place).find(odd), None);
    }
}
