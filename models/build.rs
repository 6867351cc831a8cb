//! Looks whether the default model's files are here. A registry's copy of this package comes without
//! them: they are larger than it takes.

fn main() {
    let index = "pretrained/dvar-tiny-emoji/model_index.json";
    let is_here = std::path::Path::new(index).exists();
    println!("cargo::rustc-check-cfg=cfg(has_default_model)");
    // a file that is not there would count as changed, and all be compiled anew, at every build
    println!("cargo::rerun-if-changed={}", if is_here { index } else { "build.rs" });
    if is_here {
        println!("cargo::rustc-cfg=has_default_model");
    }
}
