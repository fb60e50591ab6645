//! Lists of numbers and of row names as people write them: `1-12,15-26`, `A-H,J`.

/// The most characters of a wrong entry that an error repeats.
const QUOTED_CHARS: usize = 20;

/// Why a list such as `1-12,15-26` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// An entry that is neither a number (or name) nor a range of them. Holds the entry's first characters.
    #[error("cannot read {0:?}; a list is written 1-12,15 (rows also A-H,J)")]
    Malformed(String),
    /// More entries than there is room for.
    #[error("more than {0} entries")]
    TooMany(usize),
}

impl ListError {
    fn malformed(entry: &str) -> Self {
        Self::Malformed(entry.chars().take(QUOTED_CHARS).collect())
    }
}

/// The numbers of a list, in the order in which they are written. `12-1` counts down.
///
/// A range is measured before it is written out: the work is bounded by `limit` and the length of `text`, not by the numbers.
pub(super) fn numbers(text: &str, limit: usize) -> Result<Vec<u32>, ListError> {
    let mut list = Vec::new();
    for entry in entries(text) {
        let (first, last) = match entry.split_once('-') {
            Some((first, last)) => (number(first), number(last)),
            None => (number(entry), number(entry)),
        };
        let (Some(first), Some(last)) = (first, last) else { return Err(ListError::malformed(entry)) };
        push_range(&mut list, first, last, limit)?;
    }
    Ok(list)
}

/// The names of a list, in the order in which they are written: numbers, single letters, ranges of either, other names.
pub(super) fn names(text: &str, limit: usize) -> Result<Vec<String>, ListError> {
    let mut list = Vec::new();
    for entry in entries(text) {
        let Some((first, last)) = entry.split_once('-') else {
            if entry.is_empty() {
                return Err(ListError::malformed(entry));
            }
            if list.len() >= limit {
                return Err(ListError::TooMany(limit));
            }
            list.push(entry.to_owned());
            continue;
        };
        let mut codes = Vec::new();
        let room = limit.saturating_sub(list.len());
        let too_many = |_| ListError::TooMany(limit);
        if let (Some(first), Some(last)) = (number(first), number(last)) {
            push_range(&mut codes, first, last, room).map_err(too_many)?;
            list.extend(codes.iter().map(u32::to_string));
        } else if let (Some(first), Some(last)) = (letter(first), letter(last))
            && first.is_ascii_lowercase() == last.is_ascii_lowercase()
        {
            push_range(&mut codes, u32::from(first), u32::from(last), room).map_err(too_many)?;
            list.extend(codes.into_iter().filter_map(char::from_u32).map(String::from));
        } else {
            return Err(ListError::malformed(entry));
        }
    }
    Ok(list)
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

fn number(text: &str) -> Option<u32> {
    // A leading zero would be lost in the seat's name.
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn letter(text: &str) -> Option<char> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some(letter),
        _ => None,
    }
}

fn push_range(list: &mut Vec<u32>, first: u32, last: u32, limit: usize) -> Result<(), ListError> {
    if first.abs_diff(last) as usize >= limit.saturating_sub(list.len()) {
        return Err(ListError::TooMany(limit));
    }
    if first <= last {
        list.extend(first..=last)
    } else {
        list.extend((last..=first).rev())
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_may_skip_and_count_down() {
        assert_eq!(numbers("1-3,7", 10), Ok(vec![1, 2, 3, 7]));
        assert_eq!(numbers(" 3-1 , 9 ", 10), Ok(vec![3, 2, 1, 9]));
        assert_eq!(names("A-C,AA,9-11", 10).unwrap().join(" "), "A B C AA 9 10 11");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["", ",", "1,", "-", "1-", "-3", "1-2-3", "a", "+1", "01", "1.5", "4294967296", "1–3"] {
            assert!(matches!(numbers(text, 100), Err(ListError::Malformed(_))), "{text:?}");
        }
        for text in ["", "A,", "A-", "A-c", "AA-CC", "A-3"] {
            assert!(matches!(names(text, 100), Err(ListError::Malformed(_))), "{text:?}");
        }
        let Err(ListError::Malformed(quoted)) = numbers(&"x".repeat(100_000), 1) else { panic!() };
        assert_eq!(quoted.len(), QUOTED_CHARS);
    }

    #[test]
    fn a_huge_range_is_refused_without_being_written_out() {
        assert_eq!(numbers("1-4000000000", 200_000), Err(ListError::TooMany(200_000)));
        assert_eq!(numbers("0-4294967295", 200_000), Err(ListError::TooMany(200_000)));
        assert_eq!(names("1-4000000000", 200_000), Err(ListError::TooMany(200_000)));
        assert_eq!(numbers("1-3,5-6", 5).map(|list| list.len()), Ok(5));
        assert_eq!(numbers("1-3,5-7", 5), Err(ListError::TooMany(5)));
        assert_eq!(names("A,B,C", 2), Err(ListError::TooMany(2)));
        assert_eq!(names("A,1-2", 2), Err(ListError::TooMany(2)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_within_the_limit(text in "[0-9A-C,\\- ]{0,30}", limit in 0_usize..50) {
            prop_assert!(numbers(&text, limit).map_or(0, |list| list.len()) <= limit);
            prop_assert!(names(&text, limit).map_or(0, |list| list.len()) <= limit);
        }
    }
}
