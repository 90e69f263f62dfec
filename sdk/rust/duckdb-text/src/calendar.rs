//! The proleptic Gregorian calendar: days since 1970-01-01 and back.

/// Days from 0000-03-01 to 1970-01-01. Years start in March here, so that the leap day is the last day of a year.
const EPOCH: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// The days since 1970-01-01 of a date; `None` for a date that does not exist. The year before 1 is 0.
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era.checked_mul(ERA)?.checked_add(of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH)
}

/// How many days a month has; 0 for a month that does not exist.
pub fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Year, month and day of a day since 1970-01-01.
pub fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(EPOCH);
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_one_date_and_every_date_one_day() {
        for (year, month, day, expected) in [
            (1970, 1, 1, 0),
            (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017),
            (1, 1, 1, -719_162),
            (0, 2, 29, -719_469),
            (-4712, 1, 1, -2_440_550),
            (9999, 12, 31, 2_932_896),
        ] {
            assert_eq!(days(year, month, day), Some(expected));
            assert_eq!(date(expected), (year, month, day));
        }
        assert!((-150_000..150_000).all(|day| {
            let (year, month, of_month) = date(day);
            days(year, month, of_month) == Some(day)
        }));
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 13, 1), (2024, 0, 1), (2024, 1, 0)]
        {
            assert_eq!(days(year, month, day), None);
        }
        assert_eq!((days(i64::MAX, 1, 1), days(i64::MIN, 1, 1)), (None, None));
    }
}
