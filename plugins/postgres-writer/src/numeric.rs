//! Encodes integers with a decimal scale as PostgreSQL's binary numeric.

/// Appends the field of `magnitude` divided by ten to the `scale`.
pub fn write(negative: bool, magnitude: u128, scale: u8, body: &mut Vec<u8>) {
    // 38 digits, and up to three of padding on either side of the point.
    let mut digits = [0_u16; 16];
    let power = 10_u128.pow(u32::from(scale.min(38)));
    let (mut whole, mut fraction) = if scale == 0 { (magnitude, 0) } else { (magnitude / power, magnitude % power) };
    let mut groups = 0;
    while whole > 0 {
        // Most numbers fit into 64 bits, which are many times faster to divide.
        let digit = match u64::try_from(whole) {
            Ok(small) => {
                whole = u128::from(small / 10_000);
                small % 10_000
            }
            Err(_) => {
                let digit = (whole % 10_000) as u64;
                whole /= 10_000;
                digit
            }
        };
        digits[groups] = digit as u16;
        groups += 1;
    }
    digits[..groups].reverse();
    let weight = groups as i16 - 1;
    let mut left = u32::from(scale);
    while left > 0 && fraction > 0 {
        digits[groups] = if left >= 4 {
            let power = 10_u128.pow(left - 4);
            let digit = fraction / power;
            fraction %= power;
            left -= 4;
            digit as u16
        } else {
            let digit = fraction * 10_u128.pow(4 - left);
            (fraction, left) = (0, 0);
            digit as u16
        };
        groups += 1;
    }
    body.extend_from_slice(&(8 + 2 * groups as u32).to_be_bytes());
    for word in [groups as u16, weight as u16, if negative { 0x4000 } else { 0 }, u16::from(scale)] {
        body.extend_from_slice(&word.to_be_bytes());
    }
    digits[..groups].iter().for_each(|digit| body.extend_from_slice(&digit.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(magnitude: u128, scale: u8) -> Vec<u16> {
        let mut body = Vec::new();
        write(false, magnitude, scale, &mut body);
        assert_eq!(body[..4], (body.len() as u32 - 4).to_be_bytes());
        body[4..].chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn digits_are_grouped_from_the_point() {
        assert_eq!(words(0, 0), [0, 0xffff, 0, 0]);
        assert_eq!(words(1234, 2), [2, 0, 0, 2, 12, 3400]);
        assert_eq!(words(10_000, 0), [2, 1, 0, 0, 1, 0]);
        assert_eq!(words(5, 8), [2, 0xffff, 0, 8, 0, 5]);
        assert_eq!(words(123, 3), [1, 0xffff, 0, 3, 1230]);
    }

    #[test]
    fn the_largest_numbers_fit() {
        for scale in 0..=38 {
            let written = words(10_u128.pow(38) - 1, scale);
            assert_eq!(usize::from(written[0]), written.len() - 4, "{scale}");
        }
        assert_eq!(words(u128::MAX, 0)[4..], [340, 2823, 6692, 938, 4634, 6337, 4607, 4317, 6821, 1455]);
    }
}
