//! server-time: `YYYY-MM-DDThh:mm:ss.sssZ` from and to milliseconds since 1970.

/// The last millisecond that four digits of a year can name.
const MAX: i64 = 253_402_300_799_999;

/// Formats Unix milliseconds (IRCv3 server-time); before 1970 and after 9999 are brought inside.
pub fn format(unix_ms: i64) -> String {
    let ms = unix_ms.clamp(0, MAX);
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let mut out = String::with_capacity(24);
    for (value, width, after) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (rest / 3_600_000, 2, ':'),
        (rest / 60_000 % 60, 2, ':'),
        (rest / 1000 % 60, 2, '.'),
        (rest % 1000, 3, 'Z'),
    ] {
        let mut unit = 10_i64.pow(width - 1);
        while unit > 0 {
            out.push(char::from(
                b'0' + u8::try_from(value / unit % 10).unwrap_or(0),
            ));
            unit /= 10;
        }
        out.push(after);
    }
    out
}

/// Reads a timestamp as clients send them: the fraction may be missing or of any length up to 9
/// digits. A leap second counts as the second after.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let (hour, time) = time.split_once(':')?;
    let (minute, second) = time.split_once(':')?;
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let width = u32::try_from(fraction.len())
        .ok()
        .filter(|n| (1..=9).contains(n))?;
    let ms = digits(fraction, fraction.len())? * 1000 / 10_i64.pow(width);
    let in_month = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !in_month || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(
        days_from(year, month, day) * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1000 + ms,
    )
}

fn digits(text: &str, width: usize) -> Option<i64> {
    let good = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that
/// the leap day comes last, in eras of 400 years (146,097 days).
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from`].
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_319_042_451_234, "2011-10-19T16:40:51.234Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(ms), text);
            assert_eq!(parse(text), Some(ms));
        }
        assert_eq!(format(-5), format(0));
        assert_eq!(format(i64::MAX), format(MAX));
    }

    #[test]
    fn what_clients_send() {
        assert_eq!(parse("2011-10-19T16:40:51Z"), Some(1_319_042_451_000));
        assert_eq!(parse("2011-10-19T16:40:51.6Z"), Some(1_319_042_451_600));
        assert_eq!(
            parse("2011-10-19T16:40:51.620123Z"),
            Some(1_319_042_451_620)
        );
        assert_eq!(
            parse("2012-06-30T23:59:60.419Z"),
            parse("2012-07-01T00:00:00.419Z")
        );
        for bad in [
            "",
            "Z",
            "2011-10-19",
            "2011-10-19T16:40:51",
            "2011-13-19T16:40:51Z",
            "2011-02-29T16:40:51Z",
            "2011-10-19T24:40:51Z",
            "2011-10-19T16:40:51.Z",
            "+011-10-19T16:40:51Z",
            "2011-10-19T16:40:51.1234567890Z",
            "2011-1é-19T16:40:51Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_round_trips() {
        for day in (0..MAX / 86_400_000).step_by(97) {
            let ms = day * 86_400_000 + 12_345;
            assert_eq!(parse(&format(ms)), Some(ms));
        }
    }
}
