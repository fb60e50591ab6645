//! Limits of a rate, as they are typed.

use std::num::NonZeroU32;

use bms_adapters_http::RateLimit;

/// Reads `20/s`, `600/m`, `1000/h`, or any time as in `5/10s`.
pub(crate) fn rate_limit(text: &str) -> Result<RateLimit, String> {
    let form = || "a number of requests, a slash and a time, such as 20/s, 600/m or 5/10s".to_owned();
    let (requests, time) = text.split_once('/').ok_or_else(form)?;
    let requests: NonZeroU32 = requests.trim().parse().map_err(|_| form())?;
    let time = time.trim();
    let time = if time.starts_with(|c: char| c.is_ascii_digit()) { time.to_owned() } else { format!("1{time}") };
    let time = humantime::parse_duration(&time).map_err(|_| form())?;
    RateLimit::new(requests, time).ok_or_else(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limits_are_read() {
        for good in ["20/s", "600/m", "5/10s", "1/h"] {
            assert!(rate_limit(good).is_ok(), "{good}");
        }
        for bad in ["", "20", "0/s", "-1/s", "20/", "20/x", "/s"] {
            assert!(rate_limit(bad).is_err(), "{bad}");
        }
    }
}
