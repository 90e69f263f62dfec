//! Checks that bytes are exactly one geometry in little-endian well-known binary (OGC 06-103r4).

/// How deeply collections may be nested.
const MAX_DEPTH: usize = 16;

/// Whether `bytes` are one geometry and nothing else.
pub fn is_wkb(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    geometry(&mut rest, 0).is_some() && rest.is_empty()
}

/// Reads one geometry from the front of `rest`.
fn geometry(rest: &mut &[u8], depth: usize) -> Option<()> {
    if depth > MAX_DEPTH || take::<1>(rest)? != [1] {
        return None;
    }
    let kind = u32::from_le_bytes(take::<4>(rest)?);
    // ISO writes the dimensions as thousands: 1 adds Z, 2 adds M, 3 both.
    let dimensions = match kind / 1000 {
        0 => 2,
        1 | 2 => 3,
        3 => 4,
        _ => return None,
    };
    match kind % 1000 {
        1 => vertices(rest, 1, dimensions),
        2 => {
            let count = count(rest)?;
            vertices(rest, count, dimensions)
        }
        3 => (0..count(rest)?).try_for_each(|_| {
            let count = count(rest)?;
            vertices(rest, count, dimensions)
        }),
        4..=7 => (0..count(rest)?).try_for_each(|_| geometry(rest, depth + 1)),
        _ => None,
    }
}

fn count(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take::<4>(rest)?)).ok()
}

fn vertices(rest: &mut &[u8], count: usize, dimensions: usize) -> Option<()> {
    let size = count.checked_mul(dimensions * 8)?;
    *rest = rest.get(size..)?;
    Some(())
}

fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (taken, after) = rest.split_first_chunk::<COUNT>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_geometry_and_a_part_of_it_is_not() {
        let point: Vec<u8> = [&[1, 1, 0, 0, 0][..], &[0; 16]].concat();
        assert!(is_wkb(&point));
        assert!(!is_wkb(&point[..20]) && !is_wkb(&[&point[..], &[0]].concat()) && !is_wkb(&[]));
        let bomb: Vec<u8> = [1, 7, 0, 0, 0, 1, 0, 0, 0].repeat(1000);
        assert!(!is_wkb(&bomb), "nested beyond all depth");
        assert!(!is_wkb(&[1, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), "four billion points in no bytes");
    }
}
