//! The client is put into the binary when this crate is compiled, so it is compiled again when the client was built.

fn main() {
    let dist = std::path::Path::new("../../client/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // What is missing can't be watched: the nearest folder that is there tells when it comes.
    let watched = if dist.exists() {
        dist
    } else {
        std::path::Path::new("../../client")
    };
    println!("cargo::rerun-if-changed={}", watched.display());
}
