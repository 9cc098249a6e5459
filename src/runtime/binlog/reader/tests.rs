//! Bytes that no server sends, and numbers that wrap.

use proptest::prelude::*;

use super::super::charset::Charset;
use super::super::rows::{Field, Shape};
use super::*;

fn every_shape() -> Vec<Field> {
    let members = vec![b"\"a\"".to_vec()];
    let charset = Charset::Utf16 { little: true };
    let shapes = [
        Shape::Integer {
            bytes: 3,
            unsigned: false,
        },
        Shape::Decimal {
            precision: 20,
            scale: 7,
        },
        Shape::Bit { bytes: 2 },
        Shape::Year,
        Shape::Date,
        Shape::Local(6),
        Shape::Utc(3),
        Shape::Time(2),
        Shape::OldLocal,
        Shape::OldUtc,
        Shape::OldTime,
        Shape::Text { prefix: 1, charset },
        Shape::Padded { prefix: 1, length: 4 },
        Shape::Json,
        Shape::CheckedJson { prefix: 1 },
        Shape::Geometry { prefix: 1 },
        Shape::Vector { prefix: 1 },
        Shape::Enum {
            bytes: 1,
            members: members.clone(),
        },
        Shape::Set { bytes: 8, members },
        Shape::Uuid,
        Shape::Inet4,
        Shape::Inet6,
    ];
    shapes.into_iter().map(|shape| Field::new("c", shape)).collect()
}

fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut event = vec![0; 4];
    event.push(kind);
    event.extend_from_slice(&1_u32.to_le_bytes());
    event.extend_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
    event.extend_from_slice(&[9, 0, 0, 0, 0, 0]);
    event.extend_from_slice(body);
    event
}

fn read(reader: &mut Reader, event: &[u8], cut: usize) {
    let cut = cut.clamp(HEADER, event.len());
    let whole = cut == event.len();
    let parts = [(&event[..cut], true, whole), (&event[cut..], false, true)];
    for (bytes, first, last) in parts.into_iter().take(if whole { 1 } else { 2 }) {
        let part = Part { bytes, first, last };
        if reader.take(&part).is_err() {
            return;
        }
        while let Ok(Some(_)) = reader.next(&part) {}
    }
}

proptest! {
    #[test]
    fn no_event_makes_it_panic(kind in 0_u8..180, body in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
        let mut reader = Reader::new(HashSet::new(), 1, false);
        read(&mut reader, &event(kind, &body), cut);
        let _ = TableMap::read(&body);
    }

    #[test]
    fn no_rows_make_it_panic(kind in prop::sample::select(vec![23_u8, 24, 25, 30, 31, 32, 39, 166]), rows in prop::collection::vec(any::<u8>(), 0..600), cut in 30_usize..600) {
        let fields = every_shape();
        let count = fields.len();
        let layout = Layout::new("s", "t", fields, vec![0]);
        let _ = layout.image(&rows, &mut Encoded::default());
        let mut reader = Reader::new(HashSet::new(), 1, false);
        let mapped = Mapped { body: Vec::new(), layout: Some(Arc::new(layout)) };
        reader.maps.insert(0, mapped);
        let mut body = vec![0; 8];
        if (30..=39).contains(&kind) {
            body.extend_from_slice(&[2, 0]);
        }
        body.push(count as u8);
        let bitmaps = if matches!(kind, 24 | 31 | 39) { 2 } else { 1 };
        body.resize(body.len() + bitmaps * count.div_ceil(8), 0xff);
        body.extend_from_slice(&rows);
        read(&mut reader, &event(kind, &body), cut);
    }

    #[test]
    fn no_payload_makes_it_panic(inner in prop::collection::vec((0_u8..45, prop::collection::vec(any::<u8>(), 0..60)), 0..5), more in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..300) {
        let mut plain: Vec<u8> = inner.iter().flat_map(|(kind, body)| event(*kind, body)).collect();
        plain.extend_from_slice(&more);
        let mut body = vec![2, 1, 0, 0];
        body.extend_from_slice(&zstd::bulk::compress(&plain, 3).unwrap());
        let mut reader = Reader::new(HashSet::new(), 1, false);
        read(&mut reader, &event(kind::TRANSACTION_PAYLOAD, &body), cut);
    }
}

#[test]
fn positions_beyond_4_gib_are_known() {
    assert_eq!(unwrapped(0xffff_fff0, 16), 0x1_0000_0010);
    assert_eq!(unwrapped(0x1_0000_0010, 99), 0x1_0000_0063);
    assert_eq!(unwrapped(500, 400), 400);
}
