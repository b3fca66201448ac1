//! `auditor sync-associations`: reads all associations in one place, and writes them where the nodes read them.
//!
//! One replica writes, by a Lease. What it writes grows old when reading fails, and never loses anything.

mod leadership;
mod objects;
mod origin;
mod run;
mod target;
mod work;
mod writer;

pub use run::run;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
