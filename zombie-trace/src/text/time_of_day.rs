use jiff::tz::TimeZone;

/// With µs.
pub(crate) fn time_of_day(ts: jiff::Timestamp, zone: &TimeZone) -> String {
    ts.to_zoned_datetime(zone.clone())
        .strftime("%H:%M:%S.%6f")
        .to_string()
}
