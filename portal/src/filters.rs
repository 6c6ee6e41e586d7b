//! How templates write values.

/// A number with a comma between thousands.
#[expect(clippy::unnecessary_wraps, reason = "templates take filters that may fail")]
pub fn grouped(number: impl ToString, _: &dyn askama::Values) -> askama::Result<String> {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Ok(grouped)
}

/// A number of things: `1 user`, `2,000 users`.
pub fn of(number: &u64, values: &dyn askama::Values, thing: &str) -> askama::Result<String> {
    Ok(format!("{} {thing}{}", grouped(number, values)?, if *number == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_kept_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number, askama::NO_VALUES).unwrap(), text);
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        for (number, text) in [(0, "0 users"), (1, "1 user"), (1234, "1,234 users")] {
            assert_eq!(of(&number, askama::NO_VALUES, "user").unwrap(), text);
        }
    }
}
