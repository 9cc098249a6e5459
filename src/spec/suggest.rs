//! "Did you mean": the nearest of the words that would be right.

/// The option nearest to what was written, if any is near.
pub(crate) fn nearest<'a>(written: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let length = written.chars().count();
    let allowed = match length {
        0..=2 => return None,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    options
        .into_iter()
        // Words of another length cannot be near; most are, and measuring is slow.
        .filter(|option| option.chars().count().abs_diff(length) <= allowed)
        .map(|option| (strsim::damerau_levenshtein(&written, &option.to_lowercase()), option))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, option)| option)
}

/// A hint: the nearest option, or all of them.
pub(crate) fn hint(written: &str, options: &[&str]) -> String {
    match nearest(written, options.iter().copied()) {
        Some(option) => format!("did you mean `{option}`?"),
        None => format!("known here: {}", quoted(options)),
    }
}

/// `a`, `b`, `c`.
pub(crate) fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
