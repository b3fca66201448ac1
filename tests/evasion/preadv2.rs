//! Open and preadv2(2).

use std::{fs::File, io::IoSliceMut};

use anyhow::Result;
use rustix::io::{ReadWriteFlags, preadv2};

use crate::common::{only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let mut bytes = vec![0; 16_384];
    let flags = ReadWriteFlags::empty();
    let length = preadv2(&file, &mut [IoSliceMut::new(&mut bytes)], 0, flags)?;
    token(bytes.get(..length).unwrap_or_default())
}
