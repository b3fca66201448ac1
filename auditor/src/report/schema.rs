//! `docs/event.schema.json`, made of the types in [`crate::event`].

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::event::{Line, SCHEMA};

/// JSON Schema (draft 2020-12) of one line, pretty-printed, with a newline at its end.
///
/// # Errors
/// Never for these types; serde_json's signature.
pub fn generate() -> serde_json::Result<String> {
    // As written, not as read: what is null is there.
    let schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Line>();
    let mut schema: Value = schema.into();
    schema["title"] = json!("A line of EKS Credential Auditor's events");
    schema["$id"] = json!(format!("urn:eks-credential-auditor:{SCHEMA}"));
    schema["properties"]["schema"]["const"] = json!(SCHEMA);
    for time in [
        "/properties/time",
        "/$defs/Summary/properties/first",
        "/$defs/Summary/properties/last",
        "/$defs/Loss/properties/from",
        "/$defs/Loss/properties/to",
        "/$defs/Process/properties/start_time",
    ] {
        if let Some(time) = schema.pointer_mut(time) {
            time["format"] = json!("date-time");
        }
    }
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_file_is_what_the_types_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/event.schema.json");
        let want = generate().unwrap();
        if env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &want).unwrap();
        }
        let have = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            have == want,
            "docs/event.schema.json differs from the types in auditor/src/event. If the change is meant, run\n  \
             UPDATE_SCHEMA=1 cargo test -p auditor --lib report::schema\nand say so in CHANGELOG.md: it is a contract."
        );
    }
}
