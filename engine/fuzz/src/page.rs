//! Bytes from a store or an origin: heads, pages and frames that nobody vouches for.

use std::sync::Arc;

use scim_engine::edge;
use scim_engine::store::head::Root;
use scim_engine::store::{Head, Page, Place};

pub fn check(data: &[u8]) {
    decode(data);
    // A checksum would stop nearly every input at the door: the same bytes, sealed.
    for magic in [*b"sh", *b"sp"] {
        let level = data.first().copied().unwrap_or_default() % 4;
        let body = data.get(1..).unwrap_or_default();
        let mut sealed = [&magic[..], &[1 + (level & 1), if magic == *b"sh" { 0 } else { level }]].concat();
        let sum = crc(&[&sealed, body].concat());
        sealed.extend(sum.to_le_bytes());
        sealed.extend(body);
        decode(&sealed);
    }
}

fn decode(data: &[u8]) {
    if let Ok(head) = Head::decode(Arc::from(data)) {
        assert_eq!(&**head.bytes(), data);
        assert!(head.recent().len() <= 32);
        let _ = (head.version(), head.record(), head.root(), head.garbage());
    }
    if let Ok(page) = Page::decode(Arc::from(data)) {
        assert_eq!(&**page.bytes(), data);
        let at = Place::from(Root { id: *page.id(), level: page.level(), count: 0 });
        assert!(!page.is_empty() && page.children(&at).count() <= page.len());
    }
    if let Some(items) = edge::decode(data) {
        let again = edge::encode(&items);
        assert_eq!(edge::decode(&again), Some(items));
    }
    if let Some(ids) = edge::decode_ids(data) {
        assert_eq!(edge::encode_ids(&ids), data);
    }
}

/// CRC-32, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 })
    })
}
