//! Folders of pictures as users have them.

use std::{fs, io::Cursor};

use image::{DynamicImage, ImageFormat};

use crate::harness::{Cli, train_args};

/// A sound WebP picture whose EXIF chunk claims to be 4 GiB long.
fn webp_with_endless_exif() -> Vec<u8> {
    let mut plain = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(96, 96).write_to(&mut plain, ImageFormat::WebP).unwrap();
    let chunks = &plain.get_ref()[12..];
    let mut extended = b"VP8X\x0a\0\0\0\x08\0\0\0".to_vec();
    extended.extend([95, 0, 0, 95, 0, 0]); // width and height, less one
    let body = [b"WEBP", &extended[..], chunks, b"EXIF\xff\xff\xff\xffMM\0\x2a"].concat();
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[cfg(target_os = "linux")]
#[test]
fn a_picture_that_claims_4_gib_of_exif_data_takes_no_such_memory() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    fs::write(cli.path("pictures/a.webp"), webp_with_endless_exif()).unwrap();
    let steps = ["-o", "run", "--max-train-steps", "1", "--num-samples", "1"];
    let program = cli.command(&train_args(&steps));
    let mut limited = std::process::Command::new("sh");
    // 4,000,000 KiB of address space, of which a plain run takes a fraction
    limited.args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\""]).arg(program.get_program());
    limited.args(program.get_args()).current_dir(cli.path(""));
    cli.ran(limited.output().unwrap()).ok();
}

/// A picture of one colour, half of which is transparent.
fn half_transparent(color: [u8; 3]) -> Vec<u8> {
    let [red, green, blue] = color;
    let picture = image::RgbaImage::from_fn(64, 64, |x, _| {
        image::Rgba([red, green, blue, if x < 32 { 255 } else { 0 }])
    });
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgba8(picture).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// The losses of a run of two steps, `loss` and `eval_loss` of each.
fn losses(cli: &Cli, folder: &str, more: &[&str]) -> (String, Vec<(f64, f64)>) {
    let steps = ["-o", folder, "--max-train-steps", "2", "--num-samples", "1"];
    let said = cli.train(&[&steps[..], more].concat()).ok();
    let metrics = String::from_utf8(cli.read(&format!("{folder}/metrics.jsonl"))).unwrap();
    let figures = metrics.lines().map(|line| {
        let step: serde_json::Value = serde_json::from_str(line).unwrap();
        (step["loss"].as_f64().unwrap(), step["eval_loss"].as_f64().unwrap())
    });
    (said, figures.collect())
}

fn refused(cli: &Cli, more: &[&str]) -> String {
    let ran = cli.train(&[&["-o", "refused"], more].concat());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!cli.path("refused").exists(), "nothing is left behind");
    ran.stderr
}

#[test]
fn captions_beside_the_pictures_are_trained_on_and_fixed_for_the_evaluation() {
    let cli = Cli::new();
    let pictures = cli.concept("koala", "pictures");
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("0.png` has no caption: write one to `"), "{said}");
    for (number, text) in
        ["a {} on grass, grey", "<umb>, grey", "a {}", "{}", "{}"].iter().enumerate()
    {
        fs::write(pictures.join(format!("{number}.txt")), text).unwrap();
    }
    let (_, plain) = losses(&cli, "plain", &[]);
    let (_, own) = losses(&cli, "own", &["--captions"]);
    assert_ne!(own, plain);
    let (_, again) = losses(&cli, "again", &["--caption-template", "[caption]"]);
    assert_eq!(own, again, "the same captions by another way");
    let tags = ["--captions", "--shuffle-tags", "--tag-dropout", "0.5"];
    let (_, shuffled) = losses(&cli, "shuffled", &tags);
    assert_ne!(shuffled, own);
    assert_eq!(losses(&cli, "repeated", &tags).1, shuffled, "drawn from the seed");

    fs::write(pictures.join("1.txt"), "grey").unwrap();
    let said = refused(&cli, &["--captions"]);
    assert!(said.contains("the caption `grey` does not name the concept"), "{said}");
    losses(&cli, "named", &["--caption-template", "a photo of {}, [caption]"]);
    let said = refused(&cli, &["--caption-template", "a photo"]);
    assert!(
        said.contains("`caption_template` is `a photo`; it must be a text with `{}`"),
        "{said}"
    );
    let said = refused(&cli, &["--shuffle-tags"]);
    assert!(said.contains("given with `captions`"), "{said}");
}

#[test]
fn more_vectors_than_a_caption_has_room_for_are_refused() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let long = format!("a photo of a {{}}{}", " on grass".repeat(40));
    losses(&cli, "first", &["--caption-template", &long, "--num-vectors", "2"]);
    let last = format!("{}of a {{}}", "a photo ".repeat(40));
    let said = refused(&cli, &["--caption-template", &last]);
    assert!(said.contains("reads only 0 of them") && said.contains("num_vectors"), "{said}");
}

#[test]
fn a_transparent_picture_is_said_and_takes_a_background_or_masks_the_loss() {
    let cli = Cli::new();
    fs::create_dir(cli.path("pictures")).unwrap();
    fs::write(cli.path("pictures/a.png"), half_transparent([200, 40, 40])).unwrap();
    let (said, plain) = losses(&cli, "plain", &[]);
    assert!(said.contains("1 with transparent parts, whose hidden colours show"), "{said}");
    let (said, white) = losses(&cli, "white", &["--background", "white"]);
    assert!(!said.contains("transparent") && white != plain, "{said}");
    assert_eq!(losses(&cli, "same", &["--background", "#c82828"]).1, plain, "its own colour");

    let (_, masked) = losses(&cli, "masked", &["--masked-loss"]);
    for ((loss, eval), (masked_loss, masked_eval)) in plain.iter().zip(&masked) {
        assert!(masked_loss < loss && masked_eval < eval, "a part of all errors counts");
    }
    let white = image::GrayImage::from_pixel(64, 64, image::Luma([255]));
    white.save(cli.path("pictures/a.mask.png")).unwrap();
    let (_, whole) = losses(&cli, "whole", &["--masked-loss"]);
    for ((loss, eval), (masked_loss, masked_eval)) in plain.iter().zip(&whole) {
        assert!((loss - masked_loss).abs() < 1e-5 && (eval - masked_eval).abs() < 1e-5);
    }
    image::GrayImage::new(32, 64).save(cli.path("pictures/a.mask.png")).unwrap();
    let said = refused(&cli, &["--masked-loss"]);
    assert!(said.contains("has 32 x 64 pixels, its picture 64 x 64"), "{said}");
    let said = refused(&cli, &["--background", "red"]);
    assert!(said.contains("`red` is no colour"), "{said}");
}

#[test]
fn masks_are_wanted_where_they_are_asked_for() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    assert!(refused(&cli, &["--masked-loss"]).contains("no picture has a mask"));
    let custom = ["--method", "custom-diffusion", "--class-prompt", "bear", "--masked-loss"];
    assert!(refused(&cli, &custom).contains("left out with custom-diffusion"));
}

#[test]
fn folders_of_kohya_count_by_their_numbers_and_what_is_hidden_or_unread_is_left_out() {
    let cli = Cli::new();
    for (folder, files) in [("10_mine", 0..2), ("5_others", 2..5)] {
        let from = cli.concept("koala", "all");
        fs::create_dir_all(cli.path("pictures").join(folder)).unwrap();
        for file in files {
            let name = format!("{file}.png");
            fs::copy(from.join(&name), cli.path("pictures").join(folder).join(name)).unwrap();
        }
    }
    fs::write(cli.path("pictures/10_mine/._0.png"), "left by macOS").unwrap();
    fs::write(cli.path("pictures/phone.HEIC"), "not read").unwrap();
    let said = refused(&cli, &[]);
    assert!(said.contains("no png, jpg, webp, bmp, gif or tiff files"), "{said}");
    let (said, _) = losses(&cli, "kohya", &["--kohya-folders"]);
    assert!(said.contains("7 pictures of 64 px"), "2 x 2 + 3: {said}");
    assert!(said.contains("left out   `phone.HEIC`"), "{said}");
    fs::remove_dir_all(cli.path("pictures/10_mine")).unwrap();
    fs::remove_dir_all(cli.path("pictures/5_others")).unwrap();
    assert!(refused(&cli, &["--kohya-folders"]).contains("no folders such as `10_mycat`"));
}

#[test]
fn the_learning_rate_follows_its_list() {
    let cli = Cli::new();
    cli.concept("koala", "pictures");
    let train = |folder: &str, rates: &str| {
        let steps = ["-o", folder, "--max-train-steps", "4", "--num-samples", "1"];
        cli.train(&[&steps[..], &["--lr-schedule", rates]].concat())
    };
    train("run", "0.005:1, 1e-3:3, 1e-5").ok();
    let metrics = String::from_utf8(cli.read("run/metrics.jsonl")).unwrap();
    let rates: Vec<f64> = metrics
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["lr"].as_f64().unwrap()
        })
        .collect();
    assert_eq!(rates, [0.005, 1e-3, 1e-3, 1e-5]);
    let short = train("short", "0.005:1, 1e-3:3");
    assert_eq!(short.code, Some(2));
    assert!(short.stderr.contains("as long as `max_train_steps`"), "{short:?}");
    assert_eq!(train("other", "fast").code, Some(2));
}
