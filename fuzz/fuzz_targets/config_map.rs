//! The ConfigMap that `auditor sync-associations` writes: lines `key=value`, an empty line, then the document.
#![no_main]

use std::io::{self, Read as _, Write};

use auditor::association::config_map::{DOCUMENT, MAX_DOCUMENT, decode, encode};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use libfuzzer_sys::fuzz_target;

// Where no line says `hash`, the one that belongs to the document; where none says `format`, those that every sheet has. A
// document that begins with a brace is compressed first.
fuzz_target!(|data: &[u8]| {
    let at = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, document) = match at {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (&b""[..], data),
    };
    let compressed = if document.starts_with(b"{") {
        zstd::bulk::compress(document, 1).expect("it is in memory")
    } else {
        document.to_vec()
    };
    let plain = Plain::of(&compressed);
    let mut object = ConfigMap::default();
    let values = object.data.get_or_insert_default();
    for line in String::from_utf8_lossy(head).lines() {
        if let Some((key, value)) = line.split_once('=') {
            values.insert(key.to_owned(), value.to_owned());
        }
    }
    for (key, value) in [
        ("format", "1"),
        ("generation", "7"),
        ("startedAt", "2026-09-21T14:13:20Z"),
        ("complete", "true"),
        ("source", "eks"),
    ] {
        if !head.starts_with(b"format") {
            values.entry(key.to_owned()).or_insert(value.to_owned());
        }
    }
    if !values.contains_key("hash") {
        // The decoder tells the hash that it found.
        values.insert("hash".to_owned(), String::new());
        object.binary_data = Some([(DOCUMENT.to_owned(), ByteString(compressed))].into());
        if let Err(auditor::association::config_map::DecodeError::Hash { found, .. }) =
            decode(&object)
        {
            object
                .data
                .get_or_insert_default()
                .insert("hash".to_owned(), found);
        }
    } else {
        object.binary_data = Some([(DOCUMENT.to_owned(), ByteString(compressed))].into());
    }
    // The document's buffer doubles while its old half is still there; the texts that are kept of it, in a list that grows so, too;
    // and so much for each object in it.
    let limit = (64 << 10) + 8 * data.len() + 7 * plain.bytes + 1024 * plain.objects;
    let Ok(sheet) = fuzz::bounded(limit, || decode(&object)) else {
        return;
    };
    let Ok((values, binary)) = encode(&sheet) else {
        return;
    };
    // What was read is written in today's words, with the hash of those.
    let mut again = ConfigMap {
        data: Some(values),
        binary_data: Some(binary),
        ..ConfigMap::default()
    };
    let hash = match decode(&again) {
        Err(auditor::association::config_map::DecodeError::Hash { found, .. }) => found,
        other => {
            let other = other.expect("what was written is read");
            assert_eq!(other, sheet);
            return;
        }
    };
    again
        .data
        .get_or_insert_default()
        .insert("hash".to_owned(), hash);
    let mut read = decode(&again).expect("what was written is read");
    read.ledger.hash.clone_from(&sheet.ledger.hash);
    assert_eq!(read, sheet);
});

/// The document, decompressed as far as it can be.
#[derive(Default)]
struct Plain {
    bytes: usize,
    /// Opening braces.
    objects: usize,
}

impl Plain {
    fn of(compressed: &[u8]) -> Self {
        let mut this = Self::default();
        if let Ok(decoder) = zstd::Decoder::with_buffer(compressed) {
            // A frame that is damaged gives what stands before the damage.
            let _ = io::copy(&mut decoder.take(MAX_DOCUMENT as u64 + 1), &mut this);
        }
        this
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        self.objects += bytes.iter().filter(|byte| **byte == b'{').count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
