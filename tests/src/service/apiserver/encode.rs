//! Objects on the wire: `kind` and `apiVersion` come first, and are left out of a list's items.

use std::fmt::Write;

use serde_json::{Value, json};

use super::resource::Resource;

/// What the client's Accept header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    /// `application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1`
    Metadata,
    /// An item of a list of whole objects.
    Item,
}

impl Form {
    #[must_use]
    pub fn of(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    pub(super) fn in_list(self) -> Self {
        match self {
            // Its items do carry them.
            Self::Metadata => Self::Metadata,
            Self::Whole | Self::Item => Self::Item,
        }
    }

    pub(super) fn list_kind(self, resource: Resource) -> (String, String) {
        match self {
            Self::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            _ => (format!("{}List", resource.kind()), resource.api_version()),
        }
    }
}

pub fn write_object(text: &mut String, resource: Resource, object: &Value, form: Form) {
    let partial;
    let (kind, version, object) = match form {
        Form::Metadata => {
            partial = json!({"metadata": object["metadata"]});
            (
                "PartialObjectMetadata",
                "meta.k8s.io/v1".to_owned(),
                &partial,
            )
        }
        _ => (resource.kind(), resource.api_version(), object),
    };
    let fields = object.to_string();
    if form == Form::Item {
        text.push_str(&fields);
        return;
    }
    // Fails never: it is a String.
    let _ = write!(
        text,
        r#"{{"kind":"{kind}","apiVersion":"{version}",{}"#,
        fields.get(1..).unwrap_or("}")
    );
}

/// One object and a newline, as Go's encoder ends it.
#[must_use]
pub fn line(resource: Resource, object: &Value, form: Form) -> String {
    let mut text = String::new();
    write_object(&mut text, resource, object, form);
    text.push('\n');
    text
}
