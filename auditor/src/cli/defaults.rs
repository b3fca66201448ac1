//! What is looked up on the machine when a flag leaves it out.

use std::{env, fs, path::Path, sync::Arc};

/// What this machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub host_name: Option<Arc<str>>,
    /// `i-…`.
    pub instance_id: Option<Arc<str>>,
    pub region: Option<Arc<str>>,
}

impl NodeFacts {
    /// Never fails: what cannot be found is none.
    #[must_use]
    pub fn look_up() -> Self {
        let host_name = rustix::system::uname()
            .nodename()
            .to_str()
            .ok()
            .filter(|name| !name.is_empty())
            .map(Arc::from);
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
            .map(Arc::from);
        Self {
            host_name,
            instance_id: instance_id(Path::new("/sys/devices/virtual/dmi/id")),
            region,
        }
    }
}

/// Nitro instances carry their id as the board's asset tag (EC2 user guide, "Detect whether a host is an EC2 instance");
/// other machines carry anything there.
fn instance_id(dmi: &Path) -> Option<Arc<str>> {
    let tag = fs::read_to_string(dmi.join("board_asset_tag")).ok()?;
    let tag = tag.trim();
    let digits = tag.strip_prefix("i-")?;
    let hex = (8..=17).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| Arc::from(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_come_from_nitro_asset_tags_only() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(instance_id(dir.path()), None, "no DMI at all");
        for (tag, want) in [
            ("i-0123456789abcdef0\n", Some("i-0123456789abcdef0")),
            ("i-1a2b3c4d\n", Some("i-1a2b3c4d")),
            ("Not Specified\n", None),
            ("i-am-a-laptop\n", None),
            ("", None),
        ] {
            fs::write(dir.path().join("board_asset_tag"), tag).unwrap();
            assert_eq!(instance_id(dir.path()).as_deref(), want, "{tag:?}");
        }
    }

    #[test]
    fn this_machine_has_a_name() {
        let said = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(
            NodeFacts::look_up().host_name.as_deref(),
            Some(said.trim_end())
        );
    }
}
