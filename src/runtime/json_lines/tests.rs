use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

fn convert(chunks: &[&[u8]]) -> Result<(String, u64), Invalid> {
    let mut converter = Converter::with_record_limit(RECORD_LIMIT);
    let mut out = Vec::new();
    for chunk in chunks {
        for piece in Converter::pieces(chunk) {
            converter.push(piece)?;
            out.extend(converter.take());
        }
    }
    let rows = converter.finish()?;
    out.extend(converter.take());
    Ok((String::from_utf8(out).unwrap(), rows))
}

fn lines(text: &str) -> String {
    convert(&[text.as_bytes()]).unwrap().0
}

fn invalid(bytes: &[u8]) -> (String, Option<(u64, u64, u64)>) {
    let invalid = convert(&[bytes]).unwrap_err();
    (
        invalid.reason,
        invalid.position.map(|at| (at.line, at.column, at.offset)),
    )
}

fn gzip(members: &[&[u8]]) -> Vec<u8> {
    members
        .iter()
        .flat_map(|bytes| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        })
        .collect()
}

#[test]
fn every_layout_becomes_lines() {
    let wanted = "{\"a\":1}\n{\"b\":[1,{}]}\n";
    for text in [
        "{\"a\":1}\n{\"b\":[1,{}]}\n",
        "{\"a\":1}{\"b\":[1,{}]}",
        "\u{feff} { \"a\" :\t1 }\r\n\n{\"b\": [ 1 , { } ] }  ",
        "[{\"a\":1},{\"b\":[1,{}]}]",
        "[{\"a\":1}]\n[{\"b\":[1,{}]}]",
        "[\n  {\n    \"a\": 1\n  },\n  {\n    \"b\": [1, {}]\n  }\n]\n",
    ] {
        assert_eq!(convert(&[text.as_bytes()]), Ok((wanted.to_owned(), 2)), "{text}");
    }
}

#[test]
fn text_is_kept_exactly() {
    let text = r#"{"n":[0.10,1E+400,-0,123456789012345678901234567890.00,1e-7],"k":1,"k":2,"s":"a\nb\u00e9\/ é \ud800","t":[true,false,null]}"#;
    assert_eq!(lines(text), format!("{text}\n"));
}

#[test]
fn nested_arrays_stay_and_the_outer_one_goes() {
    assert_eq!(lines("[[1, 2], [], [[3]]]"), "[1,2]\n[]\n[[3]]\n");
}

#[test]
fn nothing_gives_nothing() {
    for text in ["", " \n", "\u{feff}", "[]", " [ ] [\n]"] {
        assert_eq!(convert(&[text.as_bytes()]), Ok((String::new(), 0)), "{text:?}");
    }
    assert_eq!(convert(&[&gzip(&[b""])]), Ok((String::new(), 0)));
}

#[test]
fn scalars_are_no_records() {
    for (text, name) in [
        ("42", "a number"),
        ("[\"a\"]", "a string"),
        ("{} null", "null"),
        ("[[1],true]", "a boolean"),
        ("-1", "a number"),
    ] {
        let (reason, _) = invalid(text.as_bytes());
        assert_eq!(
            reason,
            format!("a record must be an object or an array, found {name}"),
            "{text}"
        );
    }
}

#[test]
fn faults_are_told_with_their_place() {
    let at = |line, column, offset| Some((line, column, offset));
    assert_eq!(
        invalid(b"{\"a\":1}\n{\"b\" 2}"),
        ("expected `:` after a key, found `2`".into(), at(2, 6, 13))
    );
    assert_eq!(
        invalid("{\"é\":1,}".as_bytes()),
        ("expected a key in double quotes, found `}`".into(), at(1, 8, 8))
    );
    assert_eq!(invalid(b"[{},]"), ("expected a value, found `]`".into(), at(1, 5, 4)));
    assert_eq!(
        invalid(b"{\"a\":01}"),
        ("expected `,` or `}`, found `1`".into(), at(1, 7, 6))
    );
    assert_eq!(
        invalid(b"{\"a\":1.}"),
        ("a number may not go on with `}`".into(), at(1, 8, 7))
    );
    assert_eq!(
        invalid(b"{\"a\":nul}"),
        ("expected `true`, `false` or `null`, found `}`".into(), at(1, 9, 8))
    );
    assert_eq!(
        invalid(b"{\"a\":\"\n\"}"),
        (
            "a string holds an unescaped control character, the byte 0x0A".into(),
            at(1, 7, 6)
        )
    );
    assert_eq!(
        invalid(b"{\"a\":\"\\x\"}").0,
        "a string holds an unknown escape, a backslash before `x`"
    );
    assert_eq!(
        invalid(b"{\"\xff\":1}"),
        ("a string holds bytes that are not UTF-8".into(), at(1, 3, 2))
    );
    assert_eq!(
        invalid(b"{\"\xed\xa0\x80\":1}").0,
        "a string holds bytes that are not UTF-8"
    );
    assert_eq!(
        invalid(b"\xff\xfe{\0}\0").0,
        "the file is UTF-16, but JSON must be UTF-8"
    );
    assert_eq!(
        invalid(b"\xef\xbb{}").0,
        "the file starts with a broken byte order mark"
    );
    assert_eq!(
        invalid(b"{\"a\":1"),
        ("the file ends inside an object".into(), at(1, 7, 6))
    );
    assert_eq!(invalid(b"[{\"a\":\"").0, "the file ends inside a string");
    assert_eq!(invalid(b"[{}").0, "the file ends inside an array");
    assert_eq!(invalid(b"{},{}").0, "expected a value, found `,`");
    assert_eq!(invalid(b"{}]").0, "expected a value, found `]`");
    assert_eq!(invalid(b"\x1f").0, "expected a value, found the byte 0x1F");
    assert_eq!(invalid(b"hello").0, "expected a value, found `h`");
}

#[test]
fn gzip_is_known_by_its_bytes() {
    let whole = gzip(&[b"{\"a\":1}\n{\"b\"", b":2}"]);
    assert_eq!(convert(&[&whole]).unwrap().0, "{\"a\":1}\n{\"b\":2}\n");
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(convert(&bytes).unwrap().1, 2);
    for end in 2..whole.len() {
        // Where a member ends exactly, only the JSON can tell that something is missing.
        let reason = invalid(&whole[..end]).0;
        assert!(
            reason.starts_with("the gzip data is truncated") || reason == "the file ends inside an object",
            "{end}: {reason}"
        );
    }
    let mut corrupt = whole.clone();
    corrupt[16] ^= 0xFF;
    assert!(convert(&[&corrupt]).is_err());
    let mut checksum = gzip(&[b"{}"]);
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    assert!(invalid(&checksum).0.contains("checksum"));
    let mut trailing = gzip(&[b"{}"]);
    trailing.extend(b"garbage");
    assert!(invalid(&trailing).0.starts_with("the gzip data is"));
    assert_eq!(
        invalid(&gzip(&[b"{\n\"a\"}"])),
        ("expected `:` after a key, found `}`".into(), Some((2, 4, 5)))
    );
}

#[test]
fn limits_are_faults_not_crashes() {
    let mut converter = Converter::with_record_limit(10);
    assert!(converter.push(b"{\"a\":1234}\n").is_ok());
    let invalid = converter.push(b" {\"a\":   12345}").unwrap_err();
    assert_eq!(
        invalid.position,
        Some(Position {
            line: 2,
            column: 2,
            offset: 12
        })
    );
    assert!(converter.push(b"{}").is_err() && converter.finish().is_err());
    let deep = "[".repeat(DEPTH_LIMIT + 1);
    assert!(self::invalid(deep.as_bytes()).0.contains("deeper than"));
    let fits = "[".repeat(DEPTH_LIMIT) + &"]".repeat(DEPTH_LIMIT);
    assert_eq!(convert(&[fits.as_bytes()]).unwrap().1, 1);
}

/// JSON text of any value, with any blanks between its tokens; numbers and strings in odd spellings.
fn value() -> impl Strategy<Value = String> {
    let blank = || "[ \t\r\n]{0,2}";
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let string = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\u00e9\/\n""#.to_owned())
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let padded = (blank(), inner, blank()).prop_map(|(before, text, after)| format!("{before}{text}{after}"));
        let member = (any::<String>(), blank(), padded.clone(), blank()).prop_map(|(key, after, value, before)| {
            format!("{before}{}{after}:{value}", serde_json::to_string(&key).unwrap())
        });
        prop_oneof![
            prop::collection::vec(padded, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    (value(), "[ \n]{0,2}").prop_map(|(value, blank)| format!("{{\"v\":{blank}{value}{blank}}}"))
}

/// Whitespace between tokens removed, everything else kept: the simple, slow way.
fn squeezed(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&letter| {
            let quote = letter == '"' && !escaped;
            escaped = inside && letter == '\\' && !escaped;
            inside ^= quote;
            inside || !letter.is_ascii_whitespace()
        })
        .collect()
}

fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        let (chunk, tail) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    chunks
}

/// What serde_json thinks of the same bytes: an independent judge of the grammar.
fn judged(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut rows = 0;
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Box<RawValue>>() {
        let value = value.ok()?;
        let text = value.get();
        let elements: Vec<Box<RawValue>> = match text.as_bytes().first()? {
            b'[' => serde_json::from_str(text).ok()?,
            _ => vec![value],
        };
        if elements.iter().any(|element| !element.get().starts_with(['{', '['])) {
            return None;
        }
        rows += elements.len() as u64;
    }
    Some(rows)
}

proptest! {
    #[test]
    fn values_come_back_whatever_their_layout(
        records in prop::collection::vec(object(), 0..6), layout in 0..4usize, mark: bool, zipped: bool,
        sizes in prop::collection::vec(1..40usize, 1..8),
    ) {
        let body = match layout {
            0 => records.join("\n"),
            1 => records.concat(),
            2 => format!(" [{}]\n", records.join(" , ")),
            _ => records.join(" \r\n\t "),
        };
        let text = if mark { format!("\u{feff}{body}") } else { body };
        let bytes = if zipped { gzip(&[text.as_bytes()]) } else { text.into_bytes() };
        let (lines, rows) = convert(&cut(&bytes, &sizes)).unwrap();
        prop_assert_eq!(rows, records.len() as u64);
        let wanted: String = records.iter().map(|record| squeezed(record) + "\n").collect();
        prop_assert_eq!(&lines, &wanted);
        for (line, record) in lines.lines().zip(&records) {
            // Numbers past f64 are not values of serde_json without its arbitrary precision; their text was compared.
            if let Ok(value) = serde_json::from_str::<Value>(record) {
                prop_assert_eq!(serde_json::from_str::<Value>(line).unwrap(), value);
            }
        }
    }

    #[test]
    fn damaged_json_is_judged_as_serde_json_does(
        records in prop::collection::vec(object(), 1..4), batch: bool, at: prop::sample::Index, how in 0..4u8, byte: u8,
    ) {
        let mut bytes = if batch { format!("[{}]", records.join(",")) } else { records.join(" ") }.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => { bytes.remove(at); }
            2 => bytes.insert(at, b"{}[]\",:\\0-.eE+ntu"[usize::from(byte) % 17]),
            _ => bytes.truncate(at),
        }
        prop_assert_eq!(convert(&[&bytes]).ok().map(|(_, rows)| rows), judged(&bytes), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes: Vec<u8>, zip_magic: bool, sizes in prop::collection::vec(1..9usize, 1..4)) {
        if zip_magic {
            bytes.splice(0..0, [0x1F, 0x8B, 8, 0]);
        }
        let pieces = convert(&cut(&bytes, &sizes));
        let whole = convert(&[&bytes]);
        prop_assert_eq!(pieces.is_ok(), whole.is_ok());
        if !zip_magic {
            prop_assert_eq!(&pieces, &whole);
            prop_assert_eq!(pieces.ok().map(|(_, rows)| rows), judged(&bytes));
        }
    }

    #[test]
    fn any_letters_of_json_are_judged_as_serde_json_does(text in "[\\{\\}\\[\\],:\"\\\\0-9eE+.tfn u-]{0,24}") {
        prop_assert_eq!(convert(&[text.as_bytes()]).ok().map(|(_, rows)| rows), judged(text.as_bytes()), "{}", text);
    }
}
