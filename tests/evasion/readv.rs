//! Open and readv(2).

use std::{fs::File, io::IoSliceMut};

use anyhow::Result;

use crate::common::{only, token};

pub fn run(args: &[String]) -> Result<()> {
    let file = File::open(only(args)?)?;
    let (mut first, mut second) = ([0; 16], vec![0; 16_384]);
    let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    let length = rustix::io::readv(&file, &mut parts)?;
    let all = [&first[..], &second].concat();
    token(all.get(..length).unwrap_or_default())
}
