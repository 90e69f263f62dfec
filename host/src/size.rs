//! Sizes in bytes as people write them: `512MB`, `2GiB`.

/// Parses a number with an optional unit: `B`, `KB`, `MB`, `GB`, `TB` (decimal) or `KiB` to `TiB` (binary).
///
/// # Errors
/// Says which forms are accepted.
pub fn parse(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("`{text}` is no size; write for example 512MB or 2GiB")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no size; write for example 512MB or 2GiB"))?;
    let bytes = number * factor as f64;
    if bytes < 1.0 || bytes > (1_u64 << 50) as f64 {
        return Err(format!("`{text}` is not between 1 B and 1 PiB"));
    }
    Ok(bytes as u64)
}

/// A size in a form that [`parse`] reads back, in a unit that needs no fraction.
pub fn exact(bytes: u64) -> String {
    let decimal = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")];
    let binary = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let units = [decimal, binary].concat();
    match units.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// A size in a form for people.
pub fn spell(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if size < 999.5 {
            return if unit == "B" || size >= 99.5 { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_size_is_read_back() {
        for (bytes, text) in
            [(7, "7B"), (2_000_000_000, "2GB"), (1500, "1500B"), (1 << 32, "4GiB"), (1 << 50, "1024TiB")]
        {
            assert_eq!((exact(bytes).as_str(), parse(text)), (text, Ok(bytes)));
        }
    }

    #[test]
    fn sizes_are_parsed_and_invalid_ones_refused() {
        for (text, bytes) in [("512", 512), ("512MB", 512_000_000), ("2GiB", 2 << 30), ("1.5 kb", 1500)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "-1MB", "1XB", "0", "1e9", "99999999TB"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(spell(1_500_000), "1.5 MB");
    }
}
