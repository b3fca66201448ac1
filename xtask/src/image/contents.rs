//! What is in an image, and whether it is what was meant: read out of the layout, not out of what made it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{archive, source::Source};
use crate::process::capture;

/// Compressed, of each architecture.
pub const MOST: u64 = 15 * MIB;
const MIB: u64 = 1 << 20;

/// One architecture's image.
#[derive(Clone, Debug)]
pub struct Image {
    pub architecture: String,
    /// Of its manifest.
    pub digest: String,
    pub config: Value,
    /// Compressed.
    pub size: u64,
    pub media_types: Vec<String>,
    layers: Vec<PathBuf>,
}

/// A file of a layer, as `tar --verbose` lists it.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    pub mode: String,
    pub owner: String,
    pub path: String,
}

impl Image {
    /// Like `9.31 MiB`.
    pub fn shown_size(&self) -> String {
        let hundredths = self.size * 100 / MIB;
        format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
    }
}

/// The digest of the index, by which the image of all architectures is pulled, and what it names.
///
/// # Errors
/// When it is no OCI image layout with one index.
pub fn read(layout: &Path) -> Result<(String, Vec<Image>)> {
    let top = json(&layout.join("index.json"))?;
    let descriptor = &top["manifests"][0];
    let digest = text(descriptor, "digest")?;
    let index = json(&blob(layout, &digest)?)?;
    let manifests = index["manifests"]
        .as_array()
        .context("no index of images")?;
    let images = manifests.iter().map(|descriptor| {
        let digest = text(descriptor, "digest")?;
        let manifest = json(&blob(layout, &digest)?)?;
        let layers = manifest["layers"].as_array().context("no layers")?;
        let size = |layer: &Value| layer["size"].as_u64().unwrap_or(u64::MAX);
        Ok(Image {
            architecture: text(&descriptor["platform"], "architecture")?,
            config: json(&blob(layout, &text(&manifest["config"], "digest")?)?)?,
            size: layers.iter().map(size).sum(),
            media_types: layers
                .iter()
                .map(|layer| text(layer, "mediaType"))
                .collect::<Result<_>>()?,
            layers: layers
                .iter()
                .map(|layer| blob(layout, &text(layer, "digest")?))
                .collect::<Result<_>>()?,
            digest,
        })
    });
    Ok((digest, images.collect::<Result<_>>()?))
}

/// Everything that must hold of an image, each with why it does not.
pub fn checks(image: &Image, source: &Source) -> Vec<(&'static str, Result<()>)> {
    vec![
        ("size", size(image.size)),
        ("config", config(image, source)),
        ("one file", files(image).and_then(|files| one_file(&files))),
    ]
}

fn size(size: u64) -> Result<()> {
    ensure!(
        size < MOST,
        "{size} bytes compressed, and it may be {MOST} at most; `cargo bloat --release -p auditor` tells what takes the room"
    );
    Ok(())
}

fn config(image: &Image, source: &Source) -> Result<()> {
    let Image {
        config: whole,
        architecture,
        ..
    } = image;
    let config = &whole["config"];
    ensure!(
        config["Entrypoint"] == serde_json::json!([archive::PROGRAM]),
        "the entrypoint is {}",
        config["Entrypoint"]
    );
    for name in [
        "Cmd",
        "Env",
        "User",
        "Volumes",
        "ExposedPorts",
        "WorkingDir",
    ] {
        ensure!(config[name].is_null(), "it sets {name}: {}", config[name]);
    }
    ensure!(
        whole["os"] == "linux" && whole["architecture"] == **architecture,
        "the index says {architecture}, the image {}",
        whole["architecture"]
    );
    for (label, value) in archive::labels(source) {
        ensure!(
            config["Labels"][&label] == *value,
            "label {label} is {}",
            config["Labels"][&label]
        );
    }
    let mut date = Command::new("date");
    date.args([
        "--utc",
        &format!("--date=@{}", source.epoch),
        "+%Y-%m-%dT%H:%M:%SZ",
    ]);
    let created = capture(&mut date)?;
    ensure!(
        whole["created"] == created.trim(),
        "it says that it was made at {}, the commit is of {created}",
        whole["created"]
    );
    Ok(())
}

fn files(image: &Image) -> Result<Vec<File>> {
    ensure!(image.layers.len() == 1, "{} layers", image.layers.len());
    ensure!(
        image.media_types == ["application/vnd.oci.image.layer.v1.tar+gzip"],
        "the layer is {:?}",
        image.media_types
    );
    let mut tar = Command::new("tar");
    tar.args(["--list", "--verbose", "--numeric-owner", "--gzip", "--file"]);
    Ok(listed(&capture(tar.args(&image.layers))?))
}

/// Neither a shell nor a library nor a file that somebody must keep up to date.
fn one_file(files: &[File]) -> Result<()> {
    let wanted = File {
        mode: "-rwxr-xr-x".into(),
        owner: "0/0".into(),
        path: archive::PROGRAM.trim_start_matches('/').into(),
    };
    ensure!(*files == [wanted], "it holds {files:?}");
    Ok(())
}

fn listed(listing: &str) -> Vec<File> {
    let lines = listing.lines().map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let (mode, owner) = (next(), next());
        File {
            mode,
            owner,
            // After size, date and time.
            path: words.skip(3).collect::<Vec<_>>().join(" "),
        }
    });
    lines.collect()
}

/// Takes the program out of the image.
pub fn unpack(image: &Image, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--gzip", "--directory"])
        .arg(directory);
    capture(tar.arg("--file").args(&image.layers))?;
    Ok(directory.join(archive::PROGRAM.trim_start_matches('/')))
}

fn blob(layout: &Path, digest: &str) -> Result<PathBuf> {
    let hash = digest
        .strip_prefix("sha256:")
        .with_context(|| format!("{digest} is no SHA-256"))?;
    Ok(layout.join("blobs/sha256").join(hash))
}

fn json(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", file.display()))
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str();
    text.map(str::to_owned)
        .with_context(|| format!("no {name} in {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> Source {
        Source {
            epoch: 1_700_000_000,
            revision: "0123".into(),
        }
    }

    fn image() -> Image {
        let labels: serde_json::Map<String, Value> = archive::labels(&source())
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        Image {
            architecture: "arm64".into(),
            digest: "sha256:00".into(),
            config: json!({"os": "linux", "architecture": "arm64", "created": "2023-11-14T22:13:20Z",
                "config": {"Entrypoint": ["/auditor"], "Labels": labels}}),
            size: 1,
            media_types: Vec::new(),
            layers: Vec::new(),
        }
    }

    #[test]
    fn each_thing_that_is_wrong_with_a_config_is_told() {
        assert!(config(&image(), &source()).is_ok());
        for (pointer, value) in [
            ("/config/Entrypoint", json!(["/bin/sh", "-c", "/auditor"])),
            ("/config/Cmd", json!(["/bin/sh"])),
            ("/config/User", json!("1000")),
            ("/config/Env", json!(["PATH=/bin"])),
            (
                "/config/Labels/org.opencontainers.image.revision",
                json!("4567"),
            ),
            ("/architecture", json!("amd64")),
            ("/created", json!("2026-11-14T22:13:20Z")),
        ] {
            let mut image = image();
            match image.config.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => image.config["config"][&pointer[8..]] = value,
            }
            assert!(config(&image, &source()).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_second_file_is_one_too_many() {
        let one = "-rwxr-xr-x 0/0        35664 2023-11-14 22:13 auditor\n";
        assert!(one_file(&listed(one)).is_ok());
        for other in [
            "drwxr-xr-x 0/0            0 2023-11-14 22:13 bin/\n",
            "-rwxr-xr-x 0/0            1 2023-11-14 22:13 bin/sh\n",
        ] {
            assert!(one_file(&listed(&format!("{one}{other}"))).is_err());
        }
        for wrong in [
            one.replace("-rwxr-xr-x", "-rwsr-xr-x"),
            one.replace("0/0", "1000/0"),
            one.replace("auditor", "audit or"),
            String::new(),
        ] {
            assert!(one_file(&listed(&wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fifteen_mebibytes_are_too_many() {
        assert!(size(MOST - 1).is_ok());
        assert!(size(MOST).is_err());
    }
}
