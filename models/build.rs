//! Looks whether the default model's files are here. A registry's copy of this package comes without
//! them: they are larger than it takes.

fn main() {
    let index = "pretrained/dvar-tiny-emoji/model_index.json";
    println!("cargo::rustc-check-cfg=cfg(has_default_model)");
    println!("cargo::rerun-if-changed={index}");
    if std::path::Path::new(index).exists() {
        println!("cargo::rustc-cfg=has_default_model");
    }
}
