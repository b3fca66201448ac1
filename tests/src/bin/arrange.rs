//! Makes names for files without opening them; and new files.
//!
//! `arrange mkdir DIR | symlink TARGET LINK | hardlink FILE LINK | bind SOURCE TARGET | tmpfs DIR | script FILE TEXT |
//! address DEVICE ADDRESS`

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use anyhow::{Context, Result, bail};
use lab::sys::{mounts, netlink::Netlink};
use rustix::mount::MountPropagationFlags;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mkdir", dir] => fs::create_dir(dir).context(dir.to_owned()),
        ["symlink", target, link] => symlink(target, link).context(link.to_owned()),
        ["hardlink", file, link] => {
            fs::hard_link(file, link).with_context(|| format!("{file} as {link}"))
        }
        ["bind", source, target] => mounts::bind(
            Path::new(source),
            Path::new(target),
            false,
            MountPropagationFlags::PRIVATE,
        ),
        ["tmpfs", dir] => {
            fs::create_dir_all(dir).context(dir.to_owned())?;
            mounts::tmpfs(Path::new(dir), "mode=1777")
        }
        ["address", device, address] => {
            let address: IpAddr = address.parse()?;
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            Netlink::open()?.add_address(device, address, prefix)
        }
        ["script", file, text] => {
            fs::write(file, text).context(file.to_owned())?;
            Ok(fs::set_permissions(
                file,
                fs::Permissions::from_mode(0o755),
            )?)
        }
        _ => bail!(
            "usage: arrange mkdir DIR | symlink TARGET LINK | hardlink FILE LINK | bind SOURCE TARGET | tmpfs DIR | \
             script FILE TEXT | address DEVICE ADDRESS"
        ),
    }
}
