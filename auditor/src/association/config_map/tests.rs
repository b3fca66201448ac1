use proptest::prelude::*;

use super::*;
use crate::association::{Association, Reading, testing::association};

fn sheet(associations: Vec<Association>) -> Sheet {
    let mut ledger = Ledger::default();
    ledger.take(Reading {
        started_at: Timestamp::from_second(1_790_000_000).unwrap(),
        associations,
        complete: true,
        trouble: Some("2 roles are unknown".to_owned()),
    });
    Sheet {
        ledger,
        interval: Some(Duration::from_secs(60)),
        cluster: Some("prod".into()),
        source: "eks".into(),
    }
}

fn object(sheet: &Sheet) -> ConfigMap {
    let (data, binary) = encode(sheet).unwrap();
    ConfigMap {
        data: Some(data),
        binary_data: Some(binary),
        ..ConfigMap::default()
    }
}

fn few() -> Sheet {
    sheet(vec![association("a-1", "web"), association("a-2", "api")])
}

#[test]
fn what_is_written_is_read_again() {
    for sheet in [
        few(),
        Sheet {
            interval: None,
            cluster: None,
            ledger: Ledger::default(),
            source: "ack".into(),
        },
    ] {
        let mut expected = sheet.clone();
        expected.ledger.hash = content_hash(&sheet.ledger.payload());
        let written = if sheet.ledger.hash.is_empty() {
            &expected
        } else {
            &sheet
        };
        assert_eq!(decode(&object(written)), Ok(expected.clone()));
    }
    let data = object(&few()).data.unwrap();
    for (key, value) in [
        ("format", "1"),
        ("generation", "1"),
        ("startedAt", "2026-09-21T14:13:20Z"),
        ("complete", "true"),
        ("intervalSeconds", "60"),
        ("cluster", "prod"),
        ("source", "eks"),
        ("count", "2"),
        ("trouble", "2 roles are unknown"),
    ] {
        assert_eq!(data.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(data["hash"].len(), 16);
}

/// Xorshift: incompressible, and the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| char::from(LETTERS[usize::try_from(self.next() % 36).unwrap()]))
            .collect()
    }
}

/// As EKS gives them: ids of 17 random characters, times to the millisecond; names and roles that share nothing.
fn realistic(count: usize) -> Vec<Association> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    (0..count)
        .map(|index| {
            let (id, name) = (format!("a-{}", noise.text(17)), noise.text(8));
            let time = Timestamp::from_millisecond(
                1_700_000_000_000 + i64::try_from(noise.next() % 90_000_000_000).unwrap(),
            )
            .unwrap();
            Association {
                namespace: format!("team-{}", noise.text(6)).into(),
                role_arn: Some(
                    format!(
                        "arn:aws:iam::111122223333:role/prod-{name}-{}",
                        noise.text(12)
                    )
                    .into(),
                ),
                // A tenth of them assume a role of another account in turn.
                target_role_arn: (index % 10 == 0).then(|| {
                    let account = 100_000_000_000 + noise.next() % 800_000_000_000;
                    format!("arn:aws:iam::{account}:role/{}", noise.text(16)).into()
                }),
                external_id: (index % 10 == 0).then(|| noise.text(40).into()),
                created: Some(time),
                modified: Some(time),
                ..association(&id, &format!("{name}-service"))
            }
        })
        .collect()
}

fn size(object: &ConfigMap) -> usize {
    let data = object.data.iter().flatten();
    let binary = object.binary_data.iter().flatten();
    data.map(|(key, value)| key.len() + value.len())
        .chain(binary.map(|(key, value)| key.len() + value.0.len()))
        .sum()
}

#[test]
fn five_thousand_are_less_than_one_mebibyte() {
    for count in [1000, 5000] {
        let sheet = sheet(realistic(count));
        assert_eq!(sheet.ledger.len(), count);
        let document = sheet.ledger.payload().len();
        let object = object(&sheet);
        let size = size(&object);
        println!("{count} associations: {document} bytes of JSON, {size} in the ConfigMap");
        assert!(size < MAX_SIZE, "{size}");
        // Not by luck of the noise: an association carries at least 17 and 12 random characters, 5.17 bits each.
        assert!(size > count * 18, "{size}");
        assert_eq!(decode(&object), Ok(sheet));
    }
}

#[test]
fn more_than_a_mebibyte_is_refused() {
    let mut noise = Noise(1);
    let associations = (0..300).map(|index| Association {
        policy: Some(noise.text(6000).into()),
        ..association(&format!("a-{index}"), &format!("sa-{index}"))
    });
    let error = encode(&sheet(associations.collect())).unwrap_err();
    let EncodeError::TooLarge { count, size, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*count, 300);
    assert!(*size > MAX_SIZE - RESERVE);
    let message = error.to_string();
    for part in ["300 associations", "1032192", "what it held before stays"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_is_damaged_is_refused_and_says_how() {
    let alter = |change: &dyn Fn(&mut BTreeMap<String, String>)| {
        let mut object = object(&few());
        change(object.data.as_mut().unwrap());
        decode(&object).unwrap_err().to_string()
    };
    let set = |key: &str, value: &str| {
        alter(&|data| {
            data.insert(key.to_owned(), value.to_owned());
        })
    };
    let without = |key: &str| alter(&|data| drop(data.remove(key)));
    for (error, part) in [
        (set("format", "2"), "upgrade the auditors on the nodes"),
        (without("format"), "no \"format\""),
        (without("generation"), "no \"generation\""),
        (set("generation", "-1"), "\"-1\""),
        (set("startedAt", "noon"), "\"noon\""),
        (set("complete", "yes"), "\"yes\""),
        (set("intervalSeconds", "1.5"), "\"1.5\""),
        (
            set("intervalSeconds", "18446744073709551615"),
            "\"18446744073709551615\"",
        ),
        (set("hash", "0000000000000000"), "changed by hand"),
    ] {
        assert!(error.contains(part), "{error}\nlacks {part}");
    }
    assert_eq!(
        decode(&ConfigMap::default()),
        Err(DecodeError::Missing("format"))
    );
    let mut object = object(&few());
    object.binary_data = None;
    assert_eq!(decode(&object), Err(DecodeError::Missing(DOCUMENT)));
}

fn with_document(document: Vec<u8>) -> ConfigMap {
    let mut object = object(&few());
    object.binary_data = Some(BTreeMap::from([(
        DOCUMENT.to_owned(),
        ByteString(document),
    )]));
    object
}

#[test]
fn a_bomb_is_refused() {
    let bomb = zstd::bulk::compress(&vec![b' '; MAX_DOCUMENT + 1], 3).unwrap();
    assert!(bomb.len() < 100_000);
    assert_eq!(decode(&with_document(bomb)), Err(DecodeError::Bomb));
    // A frame whose window is 2 GiB: refused before the memory is taken. RFC 8878, 3.1.1.1.
    let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x03, 0x00, 0x00];
    let error = decode(&with_document(window)).unwrap_err();
    assert!(matches!(error, DecodeError::Compression(_)), "{error}");
}

proptest! {
    #[test]
    fn never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut document = object(&few()).binary_data.unwrap().remove(DOCUMENT).unwrap().0;
        for (at, byte) in damage {
            let at = at.index(document.len());
            document[at] = byte;
        }
        let _ = decode(&with_document(document));
        let _ = decode(&with_document(noise));
    }
}
