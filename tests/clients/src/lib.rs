//! The lab's servers, asked by the field's own clients. A package of its own: what tests the node does not wait for these clients to be
//! compiled.

#[cfg(test)]
mod apiserver;
#[cfg(test)]
mod eks;
