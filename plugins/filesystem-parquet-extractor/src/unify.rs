//! The type of a column that files have in different types: one that changes no value of any of them.

/// The types of whole numbers: the name, the bits without the sign, whether there is a sign, and the decimal digits.
const INTEGERS: [(&str, u32, bool, u32); 9] = [
    ("TINYINT", 7, true, 3),
    ("UTINYINT", 8, false, 3),
    ("SMALLINT", 15, true, 5),
    ("USMALLINT", 16, false, 5),
    ("INTEGER", 31, true, 10),
    ("UINTEGER", 32, false, 10),
    ("BIGINT", 63, true, 19),
    ("UBIGINT", 64, false, 20),
    ("HUGEINT", 127, true, 39),
];

/// The bits of whole numbers that every DOUBLE preserves.
const DOUBLE_BITS: u32 = 53;

/// The most digits of a DECIMAL.
const MAX_DIGITS: u32 = 38;

fn integer(kind: &str) -> Option<&'static (&'static str, u32, bool, u32)> {
    INTEGERS.iter().find(|(name, ..)| *name == kind)
}

/// The digits before and after the point of a DECIMAL that holds every value of a type.
fn decimal(kind: &str) -> Option<(u32, u32)> {
    if let Some((.., digits)) = integer(kind) {
        return Some((*digits, 0));
    }
    let (digits, scale) = kind.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
    let (digits, scale): (u32, u32) = (digits.trim().parse().ok()?, scale.trim().parse().ok()?);
    Some((digits.checked_sub(scale)?, scale))
}

/// The narrowest type that holds every value of both types; `None` if there is none.
pub fn common(one: &str, other: &str) -> Option<String> {
    if one == other {
        return Some(one.to_owned());
    }
    if let (Some((_, bits, signed, _)), Some((_, other_bits, other_signed, _))) = (integer(one), integer(other)) {
        let (bits, signed) = (*bits.max(other_bits), *signed || *other_signed);
        let holds = |(_, own, own_signed, _): &&(&str, u32, bool, u32)| *own >= bits && (*own_signed || !signed);
        return INTEGERS.iter().find(holds).map(|(name, ..)| (*name).to_owned());
    }
    let floats = ["FLOAT", "DOUBLE"];
    match (floats.contains(&one), floats.contains(&other)) {
        (true, true) => return Some("DOUBLE".to_owned()),
        (true, false) | (false, true) => {
            let exact = |kind| integer(kind).is_some_and(|(_, bits, ..)| *bits <= DOUBLE_BITS);
            return (exact(one) || exact(other)).then(|| "DOUBLE".to_owned());
        }
        (false, false) => {}
    }
    let ((whole, scale), (other_whole, other_scale)) = (decimal(one)?, decimal(other)?);
    let (whole, scale) = (whole.max(other_whole), scale.max(other_scale));
    (whole + scale <= MAX_DIGITS).then(|| format!("DECIMAL({},{scale})", whole + scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_type_holds_every_value_of_both() {
        for (one, other, expected) in [
            ("INTEGER", "INTEGER", Some("INTEGER")),
            ("TINYINT", "UTINYINT", Some("SMALLINT")),
            ("UINTEGER", "INTEGER", Some("BIGINT")),
            ("UINTEGER", "USMALLINT", Some("UINTEGER")),
            ("UBIGINT", "BIGINT", Some("HUGEINT")),
            ("FLOAT", "DOUBLE", Some("DOUBLE")),
            ("UINTEGER", "FLOAT", Some("DOUBLE")),
            ("BIGINT", "DOUBLE", None),
            ("DECIMAL(10,2)", "DECIMAL(12,0)", Some("DECIMAL(14,2)")),
            ("DECIMAL(10,2)", "BIGINT", Some("DECIMAL(21,2)")),
            ("DECIMAL(38,2)", "BIGINT", Some("DECIMAL(38,2)")),
            ("DECIMAL(38,0)", "DECIMAL(38,1)", None),
            ("DECIMAL(10,2)", "DOUBLE", None),
            ("HUGEINT", "DECIMAL(10,0)", None),
            ("VARCHAR", "INTEGER", None),
            ("DATE", "TIMESTAMP", None),
            ("INTEGER[]", "BIGINT[]", None),
        ] {
            assert_eq!(common(one, other).as_deref(), expected, "{one} {other}");
            assert_eq!(common(other, one).as_deref(), expected, "{other} {one}");
        }
    }
}
