//! A hard link in the volume, beside the timestamp directory, with a harmless name.

use std::fs::{self, File};

use anyhow::Result;

use crate::common::{apart, only, read};

pub fn run(args: &[String]) -> Result<()> {
    let path = only(args)?;
    let link = apart(path)?.0.join("readme.txt");
    // The link itself would be linked otherwise, and not what it leads to.
    fs::hard_link(path.canonicalize()?, &link)?;
    read(File::open(link)?)
}
