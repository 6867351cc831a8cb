//! The documents: their links, and a list that must follow the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The pages that users read, and their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    others.into_iter().chain(docs).map(read).collect()
}

/// What a page says outside of its blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    text.split("```").step_by(2)
}

/// Whether a page has the heading that GitHub calls so in addresses.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = prose(text).flat_map(str::lines).filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let pages = pages();
    let mut links = 0;
    for (page, text) in &pages {
        let after = prose(text).flat_map(|part| part.split("](").skip(1));
        let targets = after.filter_map(|rest| rest.split(')').next());
        for link in targets.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                assert!(has_heading(&text, anchor), "{}: {link}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links} links were found");
}

#[test]
fn every_feature_is_explained() {
    let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    let page = include_str!("../../docs/library.md");
    let (_, features) = page.split_once("# Features").unwrap();
    for name in manifest["features"].as_table().unwrap().keys().filter(|name| *name != "default") {
        assert!(features.contains(&format!("`{name}`")), "{name}");
    }
}
