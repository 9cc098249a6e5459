//! Letters of a JSON string.

/// How many bytes stand for themselves inside a string, eight at a time: no quote, backslash or control character.
///
/// The tests for a byte are those of <https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord>; the lowest
/// byte that they find is always right.
#[inline(always)]
pub fn plain(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut rest = text;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGH;
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = tail;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_needs_an_escape_is_found() {
        for length in 0..40 {
            let text = vec![b'a'; length];
            assert_eq!(plain(&text), length);
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = text.clone();
                    text[at] = byte;
                    let stands = !matches!(byte, b'"' | b'\\' | 0..=0x1f);
                    assert_eq!(plain(&text), if stands { length } else { at }, "{byte} at {at}");
                }
            }
        }
    }
}
