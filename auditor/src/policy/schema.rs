//! `docs/policy.schema.json`, made of the types of this module: for editors, and for CI that has no auditor.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Policy;

/// JSON Schema (draft 2020-12) of the policy file, pretty-printed, with a newline at its end.
///
/// # Errors
/// Never for these types; serde_json's signature.
pub fn generate() -> serde_json::Result<String> {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Policy>();
    let mut schema: Value = schema.into();
    schema["title"] = json!("A policy of the EKS Credential Auditor");
    schema["$id"] = json!("urn:eks-credential-auditor:policy/1");
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
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.schema.json");
        let want = generate().unwrap();
        if env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &want).unwrap();
        }
        let have = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            have == want,
            "docs/policy.schema.json differs from the types in auditor/src/policy. If the change is meant, run\n  \
             UPDATE_SCHEMA=1 cargo test -p auditor --lib policy::schema\nand say so in CHANGELOG.md: it is a contract."
        );
    }
}
