//! Letters of a JSON string.

/// How many bytes stand for themselves inside a string, eight at a time: no quote, backslash or control character.
///
/// The tests for a byte are those of <https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord>; the lowest
/// byte that they find is always right.
#[inline(always)]
pub fn plain(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let found = escaped(u64::from_le_bytes(*chunk));
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = tail;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

/// Whether all bytes stand for themselves and are ASCII, so that they are UTF-8 too.
#[inline]
pub fn is_plain_ascii(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let found = words.iter().fold(0, |found, chunk| {
        let word = u64::from_le_bytes(*chunk);
        found | escaped(word) | word & HIGH
    });
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7f if !matches!(byte, b'"' | b'\\'));
    found == 0 && rest.iter().all(is_plain)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bits of bytes that need an escape; those above the lowest may be wrong.
#[inline(always)]
fn escaped(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
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
                    assert_eq!(is_plain_ascii(&text), stands && byte < 0x80, "{byte} at {at}");
                }
            }
        }
    }
}
